#pragma once

#include "vmm/arch/x86_64/cpuid.h"
#include "vmm/base/err.h"

/*
 * Whether a guest that was shown wanted can go on where the host offers has:
 * same vendor, and no feature that is not there. -ENOTSUP with a sentence that
 * names the first that is missing.
 */
int features_check(const struct cpuid *wanted, const struct cpuid *has,
		   struct err *e);
