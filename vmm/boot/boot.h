#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/mem/guest_mem.h"

/*
 * Words shared by the loaders of this folder and by the architectures that
 * call them. A kernel file is hostile input: every offset and length in it is
 * checked against the file and against guest memory before use.
 */

/* What to boot. Files are open; paths are for messages. All borrowed. */
struct boot_source {
	int kernel_fd;
	const char *kernel_path;
	int initrd_fd; /* -1 for none */
	const char *initrd_path;
	const char *cmdline; /* the caller's part; devices are appended */
};

/* A kernel's file, and its first bytes, which tell what it is. */
struct boot_file {
	int fd; /* borrowed */
	uint8_t head[4096];
	size_t head_len;
};

/* Where a loader put a kernel, and how it wants to be entered. */
struct kernel_image {
	uint64_t entry;	    /* gpa of the native 64-bit entry, 0 for none */
	uint64_t pvh_entry; /* gpa of the PVH entry, 0 for none */
	/*
	 * [start, end): all the memory the kernel needs before it reads its
	 * memory map, .bss and decompression room included.
	 */
	uint64_t start;
	uint64_t end;
	/*
	 * bzImage only: the setup header from file offset 0x1f1 on, for the
	 * zero page; header_len is 0 for other formats.
	 */
	uint8_t header[0x290 - 0x1f1];
	size_t header_len;
	uint64_t initrd_max; /* highest gpa of the initrd's last byte */
};

/* How the boot vCPU starts. */
enum boot_protocol {
	BOOT_PVH,     /* 32-bit, flat, paging off, %ebx = start_info */
	BOOT_LINUX64, /* 64-bit, identity mapped, %rsi = zero page */
	BOOT_ARM64,   /* 64-bit, no MMU, x0 = device tree */
};

struct boot_entry {
	enum boot_protocol protocol;
	uint64_t entry;	   /* gpa of the first instruction */
	uint64_t argument; /* gpa of start_info, zero page or device tree */
};
