#pragma once

#include <jansson.h>
#include <stdio.h>

#include "api/ctl/bench/host.h"
#include "api/ctl/bench/parts.h"
#include "api/ctl/bench/result.h"

/* What a run has found, in the forms in which it leaves. */
struct report {
	const struct host *host;
	const struct parts *parts;
	const struct result *results;
	unsigned count;
};

/*
 * {time, mayfly, host, versions, benches: [{name, …, peers: [{peer, median,
 * interval, ratio, …}]}]}. with_samples: every round, too. A new reference;
 * NULL without memory.
 */
json_t *report_json(const struct report *r, bool with_samples);

/* A line a round: bench, peer, round, value, unit. */
void report_csv(const struct report *r, FILE *to);

/* For people. */
void report_text(const struct report *r, FILE *to);

/* "measured", "noisy", "not run". */
const char *report_state(const struct result *r);
