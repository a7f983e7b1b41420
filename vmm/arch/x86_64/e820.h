#pragma once

#include <stdint.h>

#include "vmm/mem/guest_mem.h"

/* The guest's memory map. Type numbers are those of E820 and of PVH alike. */
enum e820_type { E820_RAM = 1, E820_RESERVED = 2 };

struct e820_range {
	uint64_t gpa;
	uint64_t size;
	enum e820_type type;
};

enum { E820_MAX = 4 + GUEST_MEM_REGIONS_MAX };

/* Fills out in ascending order and returns the count. */
unsigned e820_list(const struct guest_mem *mem,
		   struct e820_range out[E820_MAX]);
