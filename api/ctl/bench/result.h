#pragma once

#include <stdbool.h>

#include "api/ctl/bench/stats.h"
#include "vmm/base/err.h"

/* What one bench has found, from which all that is shown is made. */

enum {
	RESULT_SERIES_MAX = 8,
	RESULT_FIGURES_MAX = 16,
	RESULT_CURVES_MAX = 8,
	RESULT_PHASES_MAX = 12,
	RESULT_LEFT_OUT_MAX = 8,
	RESULT_NAME_MAX = 48,
};

/* Rounds of one program; those of mayfly come first. */
struct series {
	char name[RESULT_NAME_MAX]; /* "mayfly", "floor", "qemu" … */
	char command[1024];	    /* what was run, and so its flags */
	double *values;		    /* owned */
	unsigned count;
	unsigned room;
};

/* A number beside the rounds. */
struct figure {
	char name[96];
	char unit[12];
	double value;
};

struct curve {
	char plot[64]; /* curves of one plot share it */
	char name[RESULT_NAME_MAX];
	char x[48];
	char y[48];
	double *xs, *ys; /* owned */
	unsigned count;
	unsigned room;
};

/* Where the time of one round goes, medians. */
struct phase {
	char name[RESULT_NAME_MAX];
	double us;
};

struct left_out {
	char name[RESULT_NAME_MAX];
	char why[256];
};

enum result_state {
	RESULT_MEASURED,
	RESULT_NOISY,	/* the figures are there, and can't be trusted */
	RESULT_NOT_RUN, /* why says why */
};

struct result {
	char name[RESULT_NAME_MAX]; /* "start" */
	char what[128];		    /* in words */
	const char *unit;
	bool is_rate; /* more of it is better */
	struct phase phases[RESULT_PHASES_MAX];
	struct curve curves[RESULT_CURVES_MAX];
	struct figure figures[RESULT_FIGURES_MAX];
	struct series series[RESULT_SERIES_MAX];
	enum result_state state;
	unsigned series_count;
	unsigned figure_count;
	unsigned curve_count;
	unsigned phase_count;
	unsigned left_out_count;
	struct left_out left_out[RESULT_LEFT_OUT_MAX];
	char why[512]; /* of state */
};

/* Frees what r holds. Accepts a zeroed struct. */
void result_fini(struct result *r);

/* NULL where there is no room for more. */
struct series *result_series(struct result *r, const char *name);
struct curve *result_curve(struct result *r, const char *plot, const char *name,
			   const char *x, const char *y);

/* Accepts a zeroed struct. */
void series_fini(struct series *s);

/* 0 or -ENOMEM. */
int series_add(struct series *s, double value);
int curve_add(struct curve *c, double x, double y);

void result_figure(struct result *r, const char *name, double value,
		   const char *unit);
void result_phase(struct result *r, const char *name, double us);

/* A peer that is not beside us this time, and why. */
void result_leave_out(struct result *r, const char *peer, const char *why);

/* Of mayfly to the peer in that place. */
struct stats_estimate result_ratio(const struct result *r, unsigned peer);

/*
 * Whether the figures hold: sets the state of a result that was measured. A
 * ratio whose interval is wider than a tenth to both sides is none, and without
 * a peer the median's own interval is looked at.
 */
void result_judge(struct result *r);
