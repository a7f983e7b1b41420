#pragma once

#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/mem/guest_mem.h"
#include "vmm/mem/working_set.h"

/*
 * Records the order in which pages of a loaded guest are first touched, by
 * whomever: vCPUs, devices, KVM. Each first touch then waits for another
 * thread.
 */
struct touches;

struct touches_config {
	uint32_t pages_max; /* with so many it ends by itself */
	/* Takes from its thread what it won't need; 0 or a negative errno. */
	int (*confine)(void *context, struct err *e);
	/* A page can't be given: ends the process. Thread: its own. */
	void (*lost)(void *context, const struct err *e);
	void *context;
};

/*
 * Begins, on memory of GUEST_MEM_FILE that nobody has touched. Its mapping is
 * another until touches_end(). Thread: the loop's.
 */
int touches_begin(struct touches **out, const struct guest_mem *m,
		  const struct touches_config *config, struct err *e);

/* Has it end soon, without waiting for that. */
void touches_stop(struct touches *t);

/* An eventfd that is raised once it has stopped, or ended by itself. */
int touches_ended_fd(const struct touches *t);

/*
 * Ends: the memory is mapped as it was before the begin, less what was written.
 * What was touched goes to *set, which has no id yet, and a bit for each page
 * to *seen; both are then the caller's. t is freed. Where it has not stopped
 * yet, waits for a system call for each page apart. Thread: the loop's.
 */
void touches_end(struct touches *t, struct working_set *set, uint64_t **seen);
