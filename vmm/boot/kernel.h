#pragma once

#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/boot/boot.h"
#include "vmm/mem/guest_mem.h"

/*
 * Loads a kernel of any form we know, told apart by its first bytes. path is
 * for messages. Contract as elf_load(), but *e names the file.
 */
int kernel_load(int fd, const char *path, const struct guest_mem *mem,
		uint64_t min_gpa, struct kernel_image *out, struct err *e);
