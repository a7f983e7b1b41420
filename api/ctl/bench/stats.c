/* Medians, their intervals and ratios. */
#include "api/ctl/bench/stats.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { RESAMPLES = 1000 };

static int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Between its two neighbours, as far as q lies between theirs. */
static double of_sorted(const double *v, unsigned n, double q)
{
	const double at = q * (n - 1);
	const unsigned below = (unsigned)at;

	if (below + 1 >= n)
		return v[n - 1];
	return v[below] + (at - below) * (v[below + 1] - v[below]);
}

double stats_quantile(const double *v, unsigned n, double q)
{
	double *sorted, found;

	if (!n)
		return 0;
	sorted = malloc(n * sizeof(*sorted));
	if (!sorted)
		return 0;
	memcpy(sorted, v, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare);
	found = of_sorted(sorted, n, q);
	free(sorted);
	return found;
}

double stats_median(const double *v, unsigned n)
{
	return stats_quantile(v, n, 0.5);
}

/* xorshift64* (Vigna 2016); never 0. */
static uint64_t next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

struct stats_interval stats_bootstrap(const double *v, unsigned n)
{
	struct stats_interval out = {0};
	uint64_t state = 0x9e3779b97f4a7c15ULL;
	double *medians, *drawn;
	unsigned i, k;

	if (!n)
		return out;
	medians = malloc(RESAMPLES * sizeof(*medians));
	drawn = malloc(n * sizeof(*drawn));
	if (medians && drawn) {
		for (i = 0; i < RESAMPLES; i++) {
			for (k = 0; k < n; k++)
				drawn[k] = v[(next(&state) >> 32) * n >> 32];
			qsort(drawn, n, sizeof(*drawn), compare);
			medians[i] = of_sorted(drawn, n, 0.5);
		}
		qsort(medians, RESAMPLES, sizeof(*medians), compare);
		out.low = of_sorted(medians, RESAMPLES, 0.025);
		out.high = of_sorted(medians, RESAMPLES, 0.975);
	}
	free(medians);
	free(drawn);
	return out;
}

struct stats_estimate stats_estimate(const double *v, unsigned n)
{
	return (struct stats_estimate){
		.median = stats_median(v, n),
		.interval = stats_bootstrap(v, n),
	};
}

struct stats_estimate stats_ratio(const double *ours, const double *theirs,
				  unsigned n)
{
	struct stats_estimate out = {0};
	double *ratios = calloc(n + 1, sizeof(*ratios));
	unsigned i, count = 0;

	if (!ratios)
		return out;
	for (i = 0; i < n; i++)
		if (ours[i] > 0 && theirs[i] > 0)
			ratios[count++] = ours[i] / theirs[i];
	out = stats_estimate(ratios, count);
	free(ratios);
	return out;
}

double stats_spread(const struct stats_estimate *e)
{
	if (!(e->median > 0))
		return 0;
	return (e->interval.high - e->interval.low) / 2 / e->median;
}
