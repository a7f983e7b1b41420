#pragma once

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "api/ctl/containerd/host.h"
#include "api/ctl/containerd/resources.h"
#include "api/ctl/containerd/rootfs.h"
#include "api/ctl/vm/cell.h"
#include "api/ctl/vm/monitor.h"
#include "api/ctl/vm/vm.h"
#include "vmm/event/loop.h"

/*
 * The microVM of a shim: packed, started, watched, ended. As any of mayctl's it
 * has a state, an owner, which is the shim, and a cell, so that `mayctl ps`
 * lists it and what a killed shim leaves is found.
 */
struct machine {
	struct loop *loop; /* borrowed */
	/* The owner's: once, when its monitor runs or why it does not. */
	void (*made)(struct machine *m, const struct err *e);
	/* The owner's: its monitor has ended, unasked. */
	void (*lost)(struct machine *m);
	const struct host_config *config; /* borrowed */
	uint32_t vcpus;
	uint64_t memory_mib;
	struct monitor_files files;
	struct monitor_plan plan;
	struct cell cell;
	struct vm vm;
	char image[PATH_MAX];
	char vsock[VM_PATH_MAX];
	struct loop_watch packer; /* its pipe is packer.fd */
	struct loop_watch monitor;
	struct loop_timer deadline; /* its monitor is killed then */
	struct err why;
	pid_t packer_pid, pid;
	int packer_fd, monitor_fd; /* owned */
	int ready_fd;		   /* owned; the agent calls there */
	bool is_made;		   /* there is something to unmake */
};

/*
 * How many vCPUs and how much memory it is to have: what is configured, or
 * where its container may use more than that, so much, as far as the host has.
 */
void machine_size(struct machine *m, const struct resources *r);

/* Makes it and begins to pack; made() tells how it went. */
int machine_begin(struct machine *m, const struct host *h,
		  const struct rootfs *r, struct err *e);

/*
 * Ends its monitor when so many nanoseconds have passed; lost() tells of it,
 * as of any end. Of several calls the first counts.
 */
void machine_kill(struct machine *m, uint64_t in_ns);

/* Ends it and removes all of it. Accepts one that was never begun. */
void machine_end(struct machine *m);
