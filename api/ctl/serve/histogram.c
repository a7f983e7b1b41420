#include "api/ctl/serve/histogram.h"

const uint64_t histogram_bounds_ns[HISTOGRAM_BUCKETS] = {
	100000,	   250000,    500000,	  1000000,    2500000,
	5000000,   10000000,  25000000,	  50000000,   100000000,
	250000000, 500000000, 1000000000, 5000000000, 30000000000,
};

void histogram_add(struct histogram *h, uint64_t ns)
{
	unsigned i = 0;

	while (i < HISTOGRAM_BUCKETS && ns > histogram_bounds_ns[i])
		i++;
	h->buckets[i]++;
	h->count++;
	h->sum_ns += ns;
}

uint64_t histogram_quantile_ns(const struct histogram *h, unsigned per_mille)
{
	const uint64_t rank = (h->count * per_mille + 999) / 1000;
	uint64_t seen = 0;
	unsigned i;

	if (!h->count)
		return 0;
	for (i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= rank)
			return histogram_bounds_ns[i];
	}
	return UINT64_MAX;
}
