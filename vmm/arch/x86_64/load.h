#pragma once

#include <stdint.h>

#include "vmm/boot/kernel.h"

/* The kernels that x86_64 boots. */
extern const struct kernel_formats load_formats;

/* What arch_load() has put into memory, for whoever writes the boot page. */
struct load_plan {
	uint64_t initrd_gpa; /* 0 for no initrd */
	uint64_t initrd_size;
	uint64_t cmdline_gpa;
	uint32_t cmdline_size; /* without the NUL */
	uint64_t rsdp_gpa;     /* 0 for no ACPI */
};
