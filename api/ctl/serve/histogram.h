#pragma once

#include <stdint.h>

/* How long something took, for Prometheus: counts of at most so long. */
enum { HISTOGRAM_BUCKETS = 15 };

struct histogram {
	uint64_t buckets[HISTOGRAM_BUCKETS + 1]; /* the last: longer */
	uint64_t count, sum_ns;
};

/* Upper bounds of the buckets in ns, ascending. */
extern const uint64_t histogram_bounds_ns[HISTOGRAM_BUCKETS];

void histogram_add(struct histogram *h, uint64_t ns);

/*
 * The quantile per mille as the bound of the bucket it is in; 0 where nothing
 * was counted, ~0 where it is longer than all bounds.
 */
uint64_t histogram_quantile_ns(const struct histogram *h, unsigned per_mille);
