#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "vmm/base/err.h"

/*
 * Namespaces and processes: the network namespace that is joined, and the
 * second process that a daemon or a PID namespace needs.
 *
 * The first process then stays until the monitor has been executed, so that
 * its exit status is the truth, and so that there is still a root to take back
 * what was made when the second fails after it has given up its privileges.
 */
struct ns {
	int channel; /* owned; to the other process, -1 where there is none */
	pid_t child; /* in the first process */
	bool is_second;
	bool reported; /* in the first: the second failed and said why */
};

#define NS_INIT {.channel = -1}

/* Joins the network namespace behind path, as in /run/netns/blue. */
int ns_join_net(const char *path, struct err *e);

/*
 * Makes the second process, in a new PID namespace where pid_ns is set.
 * Returns 0 in the second, its PID in the first, or a
 * negative errno.
 */
int ns_fork(struct ns *ns, bool pid_ns, struct err *e);

/* First process: lets the second go on. */
int ns_release(struct ns *ns, struct err *e);

/*
 * First process: waits until the second has executed the monitor (0) or failed
 * (its negative errno and sentence), in which case it is gone.
 */
int ns_wait_exec(struct ns *ns, struct err *e);

/* First process: ends a second one that has not been released. */
void ns_abandon(struct ns *ns);

/* Second process: waits for the first to call ns_release(). */
int ns_wait_release(struct ns *ns, struct err *e);

/* Second process: tells the first why there will be no monitor. */
void ns_report(struct ns *ns, const struct err *e);

/* A session of its own; null_fd becomes descriptors 0 to 2. */
int ns_daemonize(int null_fd, struct err *e);
