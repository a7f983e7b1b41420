#pragma once

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "vmm/base/err.h"

/*
 * Runs of before: what is remembered of them, out of files that anybody may
 * have written. What is not as it should be is passed over.
 */

enum { PAST_RATIOS_MAX = 128, PAST_NAME_MAX = 32, PAST_RUNS_MAX = 100 };

struct past_ratio {
	char bench[PAST_NAME_MAX];
	char peer[PAST_NAME_MAX];
	double ratio;
	double low, high; /* its interval */
};

struct past_run {
	char time[PAST_NAME_MAX];
	char version[PAST_NAME_MAX];
	struct past_ratio ratios[PAST_RATIOS_MAX];
	unsigned count;
};

struct past {
	struct past_run *runs; /* owned; the oldest first */
	unsigned count;
	unsigned passed_over; /* lines */
};

/* Of a report (report.h). -EBADMSG where it is none. */
int past_run_read(struct past_run *run, const json_t *report, struct err *e);

/* NULL where the run has no such pair. */
const struct past_ratio *past_find(const struct past_run *run,
				   const char *bench, const char *peer);

/*
 * $XDG_STATE_HOME/mayfly-bench, /var/lib/mayfly/bench or
 * ~/.local/state/mayfly-bench, and history.jsonl in it; the folder is made, and
 * it is an error where files can't.
 */
int past_path(char out[PATH_MAX], struct err *e);

/* The last PAST_RUNS_MAX of a history; none where there is no such file. */
int past_read(struct past *p, const char *path, struct err *e);

/* Adds a report to a history, which keeps the last PAST_RUNS_MAX. */
int past_add(const char *path, const json_t *report, struct err *e);

/* Accepts a zeroed struct. */
void past_fini(struct past *p);
