#pragma once

#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/boot/boot.h"
#include "vmm/mem/guest_mem.h"

/* One form of kernel file, told by its first bytes. */
struct kernel_format {
	bool (*is)(const struct boot_file *f);
	/*
	 * Reads it into memory, no lower than min_gpa, where tables are, and
	 * fills *out. Returns 0, -ENOEXEC for a file that is no such kernel,
	 * -ENOMEM where it needs more guest memory, or what reading gave; *e is
	 * a sentence without the file's name.
	 */
	int (*load)(const struct boot_file *f, const struct guest_mem *mem,
		    uint64_t min_gpa, struct kernel_image *out, struct err *e);
};

/* Those that an architecture boots. */
struct kernel_formats {
	const char *wanted; /* "an uncompressed vmlinux (ELF) or a bzImage" */
	uint64_t min_gpa;
	unsigned count;
	struct kernel_format formats[2];
};

/*
 * Loads a kernel of any of these forms. path is for messages, and *e names it.
 * Thread: the loop's, before the guest runs.
 */
int kernel_load(int fd, const char *path, const struct guest_mem *mem,
		const struct kernel_formats *formats, struct kernel_image *out,
		struct err *e);
