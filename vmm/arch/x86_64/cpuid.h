#pragma once

#include <stddef.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "vmm/arch/arch.h"
#include "vmm/base/err.h"
#include "vmm/kvm/kvm.h"
#include "vmm/kvm/vcpu.h"

enum { CPUID_ENTRIES_MAX = 256 };

/* A CPU model: the table KVM answers the guest's CPUID from. */
struct cpuid {
	uint32_t count; /* laid out as struct kvm_cpuid2 */
	uint32_t padding;
	struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
};

/*
 * Fills c with what KVM supports on this host, less what a guest of ours
 * should not see, plus what a VM of this topology must. Takes about 0.3 ms
 * where CPUID itself is virtualised, so it runs beside the rest of a start.
 */
int cpuid_prepare(struct cpuid *c, const struct kvm *kvm,
		  const struct arch_topology *topology, struct err *e);

/* What there is of it; the room behind it is never touched. */
static inline size_t cpuid_bytes(const struct cpuid *c)
{
	return offsetof(struct cpuid, entries) +
	       c->count * sizeof(c->entries[0]);
}

/* Gives vcpu the model, with its own APIC id and the TSC's frequency in it. */
int cpuid_set(const struct cpuid *c, struct vcpu *vcpu, struct err *e);
