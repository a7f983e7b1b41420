#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "vmm/base/err.h"

/* Programs that are measured: their processes, and what these say. */

enum { SPAWN_API_FD = 3, SPAWN_WORDS_MAX = 48 };

struct spawned {
	pid_t pid;	   /* 0: none */
	int in;		   /* the other end of its stdin, 0: /dev/null */
	int out;	   /* of its stdout, 0: /dev/null */
	uint64_t begin_ns; /* right before it was made */
};

struct spawn_how {
	const char *const *argv; /* ends with NULL */
	bool has_in;		 /* a pipe */
	bool has_out;
	int out;      /* its stdout, where that is no pipe; 0: /dev/null */
	int err;      /* its stderr, 0: /dev/null */
	int listener; /* becomes SPAWN_API_FD, 0: none */
	const char *const *env; /* NULL: an empty one, as jailers have it */
};

/* Starts it. It is killed when this process ends, however that may be. */
int spawn_begin(struct spawned *s, const struct spawn_how *how, struct err *e);

/* Until a descriptor can be read. -ETIMEDOUT after two minutes, or -EINTR as
 * below. */
int spawn_await(int fd);

/*
 * Waits for a byte of its stdout. -EPIPE where it ends before, -ETIMEDOUT;
 * -EINTR where a signal is to end us.
 */
int spawn_hear(const struct spawned *s, char *byte, struct err *e);

/*
 * Waits for its end; how long it lived, in ms. -ECHILD unless it ends with 0,
 * -ETIMEDOUT and -EINTR as above, when it is ended.
 */
int spawn_wait(struct spawned *s, double *ms, struct rusage *used,
	       struct err *e);

/* Ends it, with all it has started. Accepts a zeroed struct. */
void spawn_kill(struct spawned *s);

/* From begin_ns until now, in ms. */
double spawn_age_ms(const struct spawned *s);

/*
 * Memory that a process has for itself (Private_Dirty), in KiB; -1 where it
 * can't be told.
 */
double spawn_private_kib(pid_t pid);
