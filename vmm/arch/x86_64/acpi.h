#pragma once

#include <stdint.h>

#include "vmm/arch/arch.h"
#include "vmm/base/err.h"
#include "vmm/mem/guest_mem.h"

/*
 * Writes the ACPI tables of a hardware-reduced platform: RSDP, XSDT, FADT,
 * MADT and a DSDT with the given slots, into [LAYOUT_BIOS, LAYOUT_GENERATION).
 * Gives the address of the RSDP. -EFAULT where low memory is missing, -ENOSPC
 * where the slots don't fit. Thread: the loop's, before the guest runs.
 */
int acpi_write(const struct guest_mem *mem, const struct arch_slot *slots,
	       unsigned count, const struct arch_topology *topology,
	       uint64_t *rsdp, struct err *e);
