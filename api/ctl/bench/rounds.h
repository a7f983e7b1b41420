#pragma once

#include "api/ctl/bench/result.h"
#include "vmm/base/err.h"

/* Several programs in turns: A B C, A B C, so that all see the same machine. */

enum { ROUNDS_LANES_MAX = RESULT_SERIES_MAX, ROUNDS_MEASURES_MAX = 8 };

struct lane {
	const char *name;
	/*
	 * Measures once. context is the lane's; value has a place for each
	 * measure (rounds_run_all()).
	 */
	int (*once)(void *context, double *value, struct err *e);
	void *context;
	char command[1024]; /* for the record */
};

struct pace {
	unsigned warm_ups;
	unsigned rounds;
	double seconds;	     /* no round begins after so many; 0 for no bound */
	bool is_told;	     /* a progress bar on stderr */
	const char *prepare; /* for a shell, before each measure; or NULL */
};

/*
 * Runs lanes[0], which is mayfly's and has to work, and those beside it; a peer
 * that fails while it warms up is left out. Adds a series for each that stays.
 */
int rounds_run(struct result *r, const struct lane *lanes, unsigned count,
	       const struct pace *pace, struct err *e);

/*
 * The same where each lane's once measures several things, one for each of so
 * many results; who is left out is told in the first.
 */
int rounds_run_all(struct result *results, unsigned measures,
		   const struct lane *lanes, unsigned count,
		   const struct pace *pace, struct err *e);

/* The bar by itself, for what has no rounds; of 0 wipes it. */
void rounds_tell(const struct pace *pace, const char *name, unsigned done,
		 unsigned of);
