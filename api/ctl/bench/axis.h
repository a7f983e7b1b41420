#pragma once

#include <stdbool.h>
#include <stdio.h>

/* From values to places, and the ticks between. */
struct axis {
	double min, max; /* of the values */
	double from, to; /* of the places */
	bool is_log;
};

enum { AXIS_TICKS_MAX = 16 };

/* Widens min and max to something that can be drawn. */
void axis_init(struct axis *a, double min, double max, bool is_log);

/* Logarithmic where that is worth it and possible. */
bool axis_wants_log(double min, double max);

double axis_place(const struct axis *a, double value);

/* Round values within the axis. Returns how many. */
unsigned axis_ticks(const struct axis *a, double ticks[AXIS_TICKS_MAX]);

/* A number as people write it: 0.05, 1.5, 200, 10k. */
void axis_number(double value, char *out, size_t size);
