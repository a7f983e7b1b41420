#pragma once

#include "vmm/arch/arch.h"
#include "vmm/base/err.h"
#include "vmm/mem/guest_mem.h"

/*
 * Writes the MP table into the EBDA, where kernels without ACPI look for
 * processors and interrupt pins. -EFAULT where low memory is missing. Thread:
 * the loop's, before the guest runs.
 */
int mptable_write(const struct guest_mem *mem,
		  const struct arch_topology *topology, struct err *e);
