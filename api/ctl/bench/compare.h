#pragma once

#include <stdio.h>

#include "api/ctl/bench/past.h"

/* Two runs beside each other: whether their ratios are the same. */
enum compare_outcome {
	COMPARE_ALIKE,	   /* each within a tenth */
	COMPARE_CANT_TELL, /* not so, but their intervals meet */
	COMPARE_DIFFERENT,
	COMPARE_NOTHING, /* they have no pair in common */
};

/* Prints a line a ratio and one for all of them. Returns the worst. */
enum compare_outcome compare_runs(const struct past_run *a,
				  const struct past_run *b, FILE *to);
