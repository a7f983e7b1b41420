#pragma once

#include <stdbool.h>

#include "api/ctl/vm/monitor.h"
#include "api/ctl/vm/warm.h"
#include "vmm/base/err.h"

/*
 * The guest at rest that a microVM goes on from: one that has seen no image
 * (warm.h), kept in the store's folder `warm`, of which there are at most
 * WARMING_MOST.
 */
enum { WARMING_MOST = 8 };

struct warming {
	struct warm warm;
	bool is_lacking; /* one is to be made for the next */
	int order_fd;	 /* owned; to the monitor, while it loads; or -1 */
};

/*
 * Whether there is one for a plan, which is complete; it goes on from that
 * then. One that can't be opened is given up. id is for the log, which is
 * stderr.
 */
bool warming_choose(struct warming *w, struct monitor_plan *plan,
		    const char *id);

/* It was of no use: it is removed, and the plan is one that boots. */
void warming_give_up(struct warming *w, struct monitor_plan *plan,
		     const char *id, const char *why);

/*
 * The guest works: what it was loaded of is the monitor's alone. One that is
 * lacking is made, in a process of its own that outlives this one; what it
 * can't make is not told.
 */
void warming_settle(struct warming *w, const struct monitor_plan *plan,
		    bool has_jail);

/* The same at once, waiting for it. */
int warming_make(const struct monitor_plan *plan, bool has_jail, struct err *e);

/* Accepts one that is zeroed but for order_fd. */
void warming_fini(struct warming *w);
