#pragma once

#include <linux/kvm.h>

#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/arch/x86_64/ioapic.h"

/* What x86_64 keeps for a VM. Private to this folder. */
struct arch {
	const struct kvm *kvm; /* borrowed: machine */
	const struct vm *vm;   /* the same, from arch_attach() on */
	struct arch_topology topology;
	struct ioapic ioapic;
	struct cpuid
		*cpuid; /* owned; of no entries before arch_prepare_cpus() */
	/* The model that was loaded, for arch_prepare_cpus(); owned. */
	struct cpuid *wanted;
	uint64_t host_tsc;  /* at the save, or the load */
	uint64_t tsc_shift; /* the save's less the load's */
	struct arch_slot slots[ARCH_SLOTS_MAX];
	unsigned slot_count;
};
