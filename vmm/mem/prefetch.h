#pragma once

#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/mem/guest_mem.h"
#include "vmm/mem/working_set.h"

/*
 * Has the pages of a working set read and mapped before the guest asks for
 * them, in a thread beside everybody.
 */
struct prefetch;

struct prefetch_config {
	/* Takes from its thread what it won't need; 0 or a negative errno. */
	int (*confine)(void *context, struct err *e);
	void *context;
};

struct prefetch_figures {
	uint64_t pages; /* mapped so far */
	uint64_t us;	/* it took for all; 0 until then */
};

/*
 * Begins, on memory of GUEST_MEM_FILE; set, which is taken over in every case,
 * is of its pages. Thread: the loop's.
 */
int prefetch_begin(struct prefetch **out, const struct guest_mem *m,
		   struct working_set *set,
		   const struct prefetch_config *config, struct err *e);

void prefetch_count(const struct prefetch *p, struct prefetch_figures *out);

/*
 * Stops where it is and frees it; takes NULL. Waits for the disk where it does.
 * Before the memory goes. Thread: the loop's.
 */
void prefetch_end(struct prefetch *p);
