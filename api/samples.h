#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Counters gathered at one moment, and the two forms in which they leave: one
 * line of JSON, as readers of microVM metrics know it, and the text format of
 * Prometheus. Thread: the loop's.
 */
enum sample_kind {
	SAMPLE_COUNTER, /* only grows */
	SAMPLE_GAUGE,
};

struct sample {
	/* JSON: {"GROUP": {"NAME": value}}, and for an id {"GROUP_ID": …}. */
	char group[32];
	char id[68];
	char name[64];
	/* Prometheus: mayfly_FAMILY{LABELS}; made of the above where empty. */
	char family[64];
	char labels[128];
	enum sample_kind kind;
	uint64_t value;
};

/* Grows as needed; *samples starts zeroed. */
struct samples {
	struct sample *items; /* owned */
	size_t count;
	size_t room;
	int error; /* -ENOMEM where one could not be added */
};

void samples_fini(struct samples *s);

/*
 * Adds a sample. What is no letter, digit or underscore becomes an underscore
 * in group, id and name. Returns it, so that family and labels can be set, or
 * NULL without memory. Valid until the next one is added.
 */
struct sample *samples_add(struct samples *s, const char *group, const char *id,
			   const char *name, enum sample_kind kind,
			   uint64_t value);

/*
 * One JSON object and a line feed: utc_timestamp_ms, then the groups in the
 * order in which they were added. A group with ids stands there once more
 * without any, holding the sums. Returns malloced text, NULL without memory.
 */
char *samples_json(const struct samples *s, uint64_t utc_ms);

/* Prometheus' text format 0.0.4. Sorts s. Malloced; NULL without memory. */
char *samples_text(struct samples *s);
