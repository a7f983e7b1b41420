#pragma once

#include <linux/kvm.h>

#include "vmm/arch/arch.h"
#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/arch/x86_64/ioapic.h"

/* What x86_64 keeps for a VM. Private to this folder. */
struct arch {
	const struct kvm *kvm; /* borrowed: machine */
	struct arch_topology topology;
	struct ioapic ioapic;
	struct cpuid cpuid; /* filled by arch_prepare_cpus() */
	struct arch_slot slots[ARCH_SLOTS_MAX];
	unsigned slot_count;
};
