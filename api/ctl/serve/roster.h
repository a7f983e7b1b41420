#pragma once

#include <limits.h>

#include "api/ctl/serve/front.h"
#include "api/ctl/serve/function.h"
#include "api/ctl/serve/leftover.h"
#include "vmm/base/err.h"
#include "vmm/event/loop.h"

/* The functions of a host, which come, change and go while it serves. */
struct roster {
	struct front *front; /* borrowed; it has those that are there */
	struct loop *loop;   /* borrowed */
	char prefix[LEFTOVER_PREFIX];
	char place[PATH_MAX - 120];
	unsigned made;		  /* microVMs there were */
	struct function *leaving; /* owned: gone for clients that come */
	struct loop_timer look;	  /* whether one of these is gone */
};

/* What became of them. */
struct roster_change {
	unsigned added, changed, removed;
};

/* Of a zeroed struct. */
int roster_init(struct roster *r, struct front *front, struct loop *loop,
		struct err *e);

/*
 * Functions are to be these, and no others; takes what the plans own, and
 * leaves them zeroed. Whose name is there goes on as what it is to be now,
 * whose name is not any more ends when it has served who waits. Without memory
 * for it everything stays as it was: -ENOMEM.
 */
int roster_set(struct roster *r, struct function_plan *plans, unsigned count,
	       struct roster_change *change, struct err *e);

/* Nobody comes any more. */
void roster_leave(struct roster *r);

/* No microVM is made any more, whoever lets go of one. Accepts a zeroed one. */
void roster_stop(struct roster *r);

/* Ends all. Accepts a zeroed one. */
void roster_fini(struct roster *r);
