#pragma once

#include <stdbool.h>

/*
 * What is said of measurements: medians, and how far they can be trusted. No
 * normal distribution is assumed: times have a floor and a long tail.
 */

struct stats_interval {
	double low;
	double high;
};

/* The value below which q (0 to 1) of n lie; 0 for none. v stays as it is. */
double stats_quantile(const double *v, unsigned n, double q);
double stats_median(const double *v, unsigned n);

/*
 * Where the median lies with 95 % confidence, by the percentile bootstrap
 * (Efron 1979): medians of samples drawn from the sample, with put back. The
 * same numbers give the same interval, for the generator's seed is fixed.
 */
struct stats_interval stats_bootstrap(const double *v, unsigned n);

struct stats_estimate {
	double median;
	struct stats_interval interval;
};

struct stats_estimate stats_estimate(const double *v, unsigned n);

/*
 * Of ours to theirs, pair by pair: both of a pair were measured one after the
 * other, so what slows the machine down slows both. n is the smaller count;
 * pairs of which one is not positive don't count.
 */
struct stats_estimate stats_ratio(const double *ours, const double *theirs,
				  unsigned n);

/* Half the interval's width, as a share of the median; 0 for no median. */
double stats_spread(const struct stats_estimate *e);
