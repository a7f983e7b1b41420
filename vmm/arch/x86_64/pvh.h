#pragma once

#include "vmm/arch/x86_64/load.h"
#include "vmm/base/err.h"
#include "vmm/mem/guest_mem.h"

/*
 * Writes struct hvm_start_info at LAYOUT_PVH_INFO. -EFAULT where low memory is
 * missing. Thread: the loop's, before the guest runs.
 */
int pvh_write(const struct guest_mem *mem, const struct load_plan *plan,
	      struct err *e);
