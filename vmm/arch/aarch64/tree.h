#pragma once

#include <stddef.h>
#include <stdint.h>

#include "vmm/arch/arch.h"
#include "vmm/base/err.h"

/* A cache of the guest's processors, as its own registers tell. */
struct tree_cache {
	uint32_t size; /* bytes; 0 where there is none */
	uint32_t line_bytes;
	uint32_t sets;
};

enum { TREE_LEVELS = 3, TREE_SEED = 64 };

/*
 * The first level is for instructions and for data; the others hold both. The
 * second belongs to one processor, the third to all.
 */
struct tree_caches {
	struct tree_cache instructions;
	struct tree_cache levels[TREE_LEVELS];
};

/* All that a device tree of ours says. Borrowed for the call. */
struct tree_plan {
	const struct arch_topology *topology;
	const struct arch_slot *slots;
	unsigned slot_count;
	struct guest_range memory; /* what the kernel may call its own */
	const char *cmdline;
	uint64_t initrd_gpa; /* 0 for none */
	uint64_t initrd_size;
	struct tree_caches caches;
	uint64_t kaslr_seed; /* 0 for none */
	uint8_t rng_seed[TREE_SEED];
};

/*
 * Writes a flattened tree of the Devicetree Specification 0.4 to out, of size
 * bytes. Returns its length, or -ENOSPC.
 */
int tree_write(const struct tree_plan *plan, void *out, size_t size,
	       struct err *e);
