#pragma once

#include "api/ctl/agent/session.h"
#include "api/ctl/commands/run_options.h"
#include "api/ctl/vm/monitor.h"
#include "api/ctl/vm/volume.h"

/* What a container of `mayctl run` is to have beside its image. */
struct run_disks {
	struct volume volumes[RUN_VOLUMES_MAX]; /* as of the options */
	struct volume scratch;			/* of --disk */
};

/*
 * Looks at all of it before anything is made: what is not there, what can't be
 * given, and what is too much.
 */
int run_disks_find(struct run_disks *d, const struct run_options *o,
		   struct err *e);

/* Makes what has to be made, and tells the monitor and the agent of it. */
int run_disks_add(struct run_disks *d, const struct run_options *o,
		  const struct vm *vm, struct monitor_plan *monitor,
		  struct session_plan *session, struct err *e);

/*
 * Bytes of the host's memory that writable disks may come to take: of those
 * that lie in memory (tmpfs). dir is where the scratch disk is made.
 */
uint64_t run_disks_memory(const struct run_disks *d,
			  const struct run_options *o, const char *dir);

/* Accepts a zeroed struct. */
void run_disks_fini(struct run_disks *d);
