#pragma once

#include "api/ctl/serve/function.h"
#include "api/ctl/serve/roster.h"
#include "vmm/base/err.h"

/* A function host: an HTTP front, and microVMs that answer. */
struct serve_plan {
	const char *listen; /* "127.0.0.1:8080", "[::1]:80", "unix:PATH" */
	/* serve_run() takes what they own, and leaves them zeroed. */
	struct function_plan *functions;
	unsigned function_count;
	int log_fd;	   /* the access log; -1 for none */
	uint64_t drain_ms; /* what is being answered may take after SIGTERM */
	/*
	 * SIGHUP: mayctl's words that try what there is to be read anew, which
	 * may wait, and what then reads it without waiting, into room for
	 * FRONT_FUNCTIONS_MAX. NULL: SIGHUP is as SIGTERM.
	 */
	const char *const *trial;
	int (*reread)(struct function_plan *functions, unsigned *count,
		      struct err *e);
	void (*reloaded)(const struct roster_change *change);
	/* It listens, at a port that was chosen where 0 was asked for. */
	void (*listening)(const char *where);
};

/*
 * Serves until SIGTERM or SIGINT, and then what is being answered. Takes over
 * what a host that was killed has left. Returns 0 or a negative errno.
 */
int serve_run(const struct serve_plan *plan, struct err *e);
