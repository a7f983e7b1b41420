#pragma once

#include "vmm/arch/x86_64/load.h"
#include "vmm/base/err.h"
#include "vmm/boot/boot.h"
#include "vmm/mem/guest_mem.h"

/*
 * Writes the zero page (struct boot_params) at LAYOUT_ZERO_PAGE, with the
 * setup header of a bzImage or a minimal one for an ELF kernel. -EFAULT where
 * low memory is missing. Thread: the loop's, before the guest runs.
 */
int bootparams_write(const struct guest_mem *mem,
		     const struct kernel_image *kernel,
		     const struct load_plan *plan, struct err *e);
