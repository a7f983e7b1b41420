#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/boot/boot.h"
#include "vmm/mem/guest_mem.h"

/* Whether a file claims to be ELF. */
bool elf_is(const struct boot_file *f);

/*
 * Loads an uncompressed ELF kernel (vmlinux): reads every PT_LOAD segment
 * straight into guest memory at its physical address and finds the PVH entry
 * in the notes. Also one of 32 bits, which must have that note. No
 * segment may begin below min_gpa, where our tables are.
 *
 * Fills *out. Returns 0, -ENOEXEC for a file that is no such kernel, -ENOMEM
 * where it needs more guest memory, or what reading gave; *e is a sentence
 * without the file's name. Thread: the loop's, before the guest runs.
 */
int elf_load(const struct boot_file *f, const struct guest_mem *mem,
	     uint64_t min_gpa, struct kernel_image *out, struct err *e);
