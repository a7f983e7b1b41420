#pragma once

#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/boot/boot.h"
#include "vmm/mem/guest_mem.h"

/*
 * Reads an initrd straight into the highest whole pages of the first memory
 * region, clear of the kernel. Gives its place and size in bytes. The error
 * names the file. Thread: the loop's, before the guest runs.
 */
int initrd_load(int fd, const char *path, const struct guest_mem *mem,
		const struct kernel_image *kernel, uint64_t *gpa,
		uint64_t *size, struct err *e);
