#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/boot/boot.h"
#include "vmm/mem/guest_mem.h"

/* Whether a file that begins with these bytes claims to be a bzImage. */
bool bzimage_is(const uint8_t *head, size_t len);

/*
 * Loads a bzImage's protected-mode part and keeps its setup header for the
 * zero page. The kernel must have a 64-bit entry (boot protocol 2.12, which
 * every x86_64 kernel since 3.8 has). Contract as elf_load().
 */
int bzimage_load(int fd, const struct guest_mem *mem, uint64_t min_gpa,
		 struct kernel_image *out, struct err *e);
