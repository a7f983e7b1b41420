#pragma once

#include "vmm/base/err.h"
#include "vmm/boot/boot.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/mem/guest_mem.h"

/* What the page tables of a 64-bit entry map, from 0 on. */
#define ENTRY_MAPPED_BYTES (1ULL << 30)

/*
 * Writes the GDT and page tables that a 64-bit entry needs; does nothing for
 * PVH, whose registers carry all of it. -EFAULT where low memory is missing.
 */
int entry_write_tables(const struct guest_mem *mem,
		       const struct boot_entry *entry, struct err *e);

/* Sets the registers of a vCPU to *entry. Thread: the vCPU's. */
int entry_set_registers(struct vcpu *vcpu, const struct boot_entry *entry,
			struct err *e);
