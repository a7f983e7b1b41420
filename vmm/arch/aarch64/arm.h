#pragma once

#include <linux/kvm.h>

#include "vmm/arch/aarch64/gic.h"
#include "vmm/arch/aarch64/tree.h"
#include "vmm/arch/arch.h"

/* As wide as SVE's vectors may be, a bit for each multiple of 16 bytes. */
enum { ARM_SVE_WORDS = 8 };

/* The CPU model: what KVM_ARM_VCPU_INIT is asked for. */
struct arm_model {
	uint32_t target;
	uint32_t features;		     /* bits: KVM_ARM_VCPU_* */
	uint64_t sve_lengths[ARM_SVE_WORDS]; /* where it has SVE */
};

/* What aarch64 keeps for a VM. Private to this folder. */
struct arch {
	const struct kvm *kvm; /* borrowed: machine */
	const struct vm *vm;   /* the same, from arch_attach() on */
	struct arch_topology topology;
	struct gic gic;
	struct arm_model model;
	bool is_loaded; /* the model is that of a state */
	struct arch_slot slots[ARCH_SLOTS_MAX];
	unsigned slot_count;
	struct vcpu *vcpus[ARCH_VCPUS_MAX]; /* borrowed: machine; once set up */
	/* What arch_load() left for the tree; its cmdline is in here. */
	struct tree_plan plan;
	char cmdline[ARCH_CMDLINE_SIZE];
	bool has_plan;
};

/* KVM_ARM_VCPU_INIT, which a second time resets it. 0 or a negative errno. */
int arm_init_vcpu(const struct arch *a, const struct vcpu *vcpu);

/* What the caches of a vCPU's processor are; none where KVM does not say. */
void caches_read(struct tree_caches *c, const struct vcpu *vcpu);
