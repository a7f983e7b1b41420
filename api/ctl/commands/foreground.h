#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/ctl/agent/session.h"
#include "vmm/base/err.h"

/*
 * A command in a guest on this terminal, for run and exec: its stdin, stdout,
 * stderr are ours, signals and the window's size go to it, and its status comes
 * back.
 */
struct foreground {
	const struct session_plan *session; /* borrowed */
	const char *socket; /* of a microVM that runs; NULL: await the agent */
	int ready_fd;	    /* where the agent calls, with no socket */
	int control;	    /* the shim; -1 for none */
	/* Of one that is being loaded: where its agent is called as soon as
	 * there is a monitor. Where it never answers nothing is complained of,
	 * for it can be booted as well. */
	const char *dialed;

	/* What came of it: CLOCK_MONOTONIC, 0 where it was not reached. */
	uint64_t monitor_ns;
	uint64_t agent_ns;
	uint64_t started_ns;
	uint64_t ended_ns;
	/* µs of the guest: its kernel's boot, and until the agent listened */
	uint64_t agent_us;
	uint64_t agent_ready_us;
	bool is_vm_over; /* the shim said so, and has tidied up */
	char why[256];	 /* dialed in vain; "" where it was not */
};

/*
 * Runs it to its end. Returns its status, or CTL_FAILED and the like after a
 * complaint.
 */
uint32_t foreground_run(struct foreground *f);
