#pragma once

#include <stdbool.h>
#include <stdio.h>

/*
 * Plots as inline SVG, 400 units wide, so that they are read on a phone as they
 * are. Colours are classes (s0 to s7) of the page they stand in.
 */

enum { PLOT_ITEMS_MAX = 64 };

/* One of several in a plot. Everything is borrowed. */
struct plot_item {
	const char *name;
	const double *xs; /* lines: where; strips: NULL */
	const double *ys; /* strips: the values */
	double median, low, high;
	unsigned count;
	unsigned colour;
};

/* As text in HTML. */
void plot_text(const char *text, FILE *to);

/* Dots of all values of each item along one logarithmic axis. */
void plot_strips(const struct plot_item *items, unsigned count,
		 const char *unit, FILE *to);

/*
 * Medians and intervals along one logarithmic axis with a line at 1: of items,
 * median, low and high.
 */
void plot_ratios(const struct plot_item *items, unsigned count, FILE *to);

/* One bar in parts that are as wide as ys[0] of each item. */
void plot_stack(const struct plot_item *items, unsigned count, const char *unit,
		FILE *to);

/* Lines over two axes, each logarithmic where it spans much. */
void plot_lines(const struct plot_item *items, unsigned count, const char *x,
		const char *y, FILE *to);

/* The names of items in their colours, as a list. */
void plot_legend(const struct plot_item *items, unsigned count, FILE *to);
