#pragma once

#include <limits.h>

#include "api/ctl/bench/guest.h"
#include "api/ctl/bench/result.h"
#include "api/ctl/bench/rounds.h"
#include "api/ctl/bench/spawn.h"
#include "vmm/base/err.h"

/*
 * Loads that a guest, or a program of the host's, carries out and measures
 * itself (guest/bench/work.c): it says what it has done on its stdout.
 */

/* One load, and what is made of what it says: of the measure in its place. */
struct work_load {
	const char *name;
	double each; /* a rate: what one of its count is; 0: its time, in us */
};

/* Asked at a load's begin and at its end, when its count is known. */
struct work_watch {
	int (*at)(void *context, unsigned load, bool is_end, double count,
		  struct err *e);
	void *context;
};

/* Who carries them out; a lane's context. */
struct work_lane {
	const struct work_load *loads;
	unsigned count;
	const char *const *argv;
	const char *leftover; /* a file that would be in the way, or NULL */
	/* Of each load, over all rounds; owned. */
	struct series interrupts[ROUNDS_MEASURES_MAX];
};

/* Makes them, and the lane of that name; argv is borrowed. */
void work_lane(struct lane *lane, struct work_lane *work, const char *name,
	       const struct work_load *loads, unsigned count,
	       const char *const *argv);

/* One that is started as how says, with its stdout as a pipe; values or NULL.
 */
int work_watch(struct work_lane *lane, struct spawn_how *how,
	       const struct work_watch *watch, double *values, struct err *e);

/* Accepts a zeroed struct. */
void work_fini(struct work_lane *lane);

/* A server of streams at an address, which listens when this returns. */
int work_serve(struct spawned *s, const char *program, const char *address,
	       struct err *e);

/*
 * What a bench needs whose loads a guest carries out: that Linux can run here,
 * or a sentence, as guest_check() has it; the guest's files, and the program.
 */
int work_begin(struct guest *g, char program[PATH_MAX], const struct bench *b,
	       const char *name, struct err *e);

/* The program, as built or installed. */
int work_find(char out[PATH_MAX], struct err *e);

/* Interrupts of one of what load counts, as figures of r: "NAME: …". */
void work_tell_interrupts(struct result *r, const struct work_lane *lane,
			  unsigned load, const char *name, const char *of);
