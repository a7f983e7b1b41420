#pragma once

#include <linux/kvm.h>

#include "vmm/arch/arch.h"

/*
 * CPU templates: the guest's processor shows no feature that the template's
 * machine lacks, so that guests may move between hosts that all have as much.
 * Takes from one entry of the CPU model what the template does not have; adds
 * nothing, and leaves vendor, family and model the host's.
 */
void template_apply(struct kvm_cpuid_entry2 *x, enum arch_template template);
