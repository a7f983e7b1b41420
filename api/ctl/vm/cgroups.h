#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "vmm/base/err.h"

/*
 * The control groups of one monitor, TOP/mayfly/ID in each hierarchy that has a
 * controller we want, of version 2 where that has it, else of version 1. A
 * process that begins in its groups is moved nowhere, for moving one makes the
 * kernel wait for all processors, 10 ms and more: version 2 has clone3() for
 * that, version 1 the file tasks, by which a process of one thread moves
 * itself.
 */

enum { CGROUPS_MAX = 3 };

struct cgroups {
	int clone_fd;		/* owned; version 2's, for clone3(); -1 */
	int tasks[CGROUPS_MAX]; /* owned; version 1's */
	unsigned task_count;
	char limits[32]; /* "memory cpu pids": those that hold */
};

struct cgroups_limits {
	unsigned vcpu_count;
	uint64_t memory_mib; /* of the guest, and of disks in memory */
};

/*
 * Makes them and writes the limits. What the host has no controller for is left
 * out: limits says what there is. This process, if it was a real-time one, is
 * none any more. Needs root.
 */
void cgroups_make(struct cgroups *c, const char *id,
		  const struct cgroups_limits *limits);

/* Moves this process into those of version 1. In a fresh clone. */
int cgroups_enter(const struct cgroups *c);

/* Closes the descriptors; the groups stay. */
void cgroups_close(struct cgroups *c);

/*
 * Gives the group of that uid so much more memory, or takes it back where mib
 * is negative. No group, or one without a limit, needs none.
 */
int cgroups_lend(uid_t uid, int64_t mib, struct err *e);

/*
 * Removes the groups whose ID ends with `.uid`, once no process is in them any
 * more, for which it waits a moment. Returns 0 or -EBUSY.
 */
int cgroups_remove(uid_t uid);
