/*
 * What the metrics are made of: the process, the API's requests by row of the
 * routes, vCPUs and devices. Names follow the field's where they mean the same.
 */
#include "api/controller.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "api/routes.h"
#include "api/timeline.h"
#include "api/working_set.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"

static void add_process(const struct controller *c, struct samples *s)
{
	const struct metrics *m = &c->metrics;

	samples_add(s, "vmm", "", "start_utc_ms", SAMPLE_GAUGE,
		    m->start_utc_ms);
	samples_add(s, "vmm", "", "uptime_us", SAMPLE_GAUGE,
		    (clock_now_ns() - m->start_ns) / 1000);
	samples_add(s, "logger", "", "missed_log_count", SAMPLE_COUNTER,
		    log_lost());
	samples_add(s, "logger", "", "missed_metrics_count", SAMPLE_COUNTER,
		    m->lost);
	/* Who gets there is gone, and leaves a line of its own (faults.c). */
	samples_add(s, "seccomp", "", "num_faults", SAMPLE_COUNTER, 0);
	samples_add(s, "api_server", "", "process_startup_time_us",
		    SAMPLE_GAUGE, m->startup_us);
	samples_add(s, "api_server", "", "process_startup_time_cpu_us",
		    SAMPLE_GAUGE, m->startup_cpu_us);
}

static void add_call(struct samples *s, const char *method, const char *path,
		     const char *word, const struct metrics_call *call)
{
	const struct {
		const char *suffix;
		const char *family;
		enum sample_kind kind;
		uint64_t value;
	} parts[] = {
		{"count", "api_requests", SAMPLE_COUNTER, call->count},
		{"fails", "api_failures", SAMPLE_COUNTER, call->fails},
		{"sum_us", "api_microseconds", SAMPLE_COUNTER, call->sum_us},
		{"max_us", "api_longest_microseconds", SAMPLE_GAUGE,
		 call->max_us},
	};
	char group[32], name[64];
	unsigned i;

	snprintf(group, sizeof(group), "%s_api_requests", method);
	for (i = 0; group[i]; i++)
		group[i] = (char)tolower((unsigned char)group[i]);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct sample *sample;

		snprintf(name, sizeof(name), "%s_%s", word, parts[i].suffix);
		sample = samples_add(s, group, "", name, parts[i].kind,
				     parts[i].value);
		if (!sample)
			return;
		snprintf(sample->family, sizeof(sample->family), "%s",
			 parts[i].family);
		snprintf(sample->labels, sizeof(sample->labels),
			 "method=\"%s\",path=\"%s\"", method, path);
	}
}

/* "drives/{id}" is "drives" in a name; the path of nothing is the instance. */
static void route_word(const char *pattern, char *out, size_t size)
{
	size_t len = strcspn(pattern, "{*");

	while (len && pattern[len - 1] == '/')
		len--;
	snprintf(out, size, "%.*s", (int)len, pattern);
	if (!len)
		snprintf(out, size, "instance_info");
}

/* Only what this version can do: the rest is counted as unknown. */
static void add_calls(const struct controller *c, struct samples *s)
{
	const struct metrics *m = &c->metrics;
	size_t count, i;
	const struct route *routes = routes_all(&count);

	for (i = 0; i < count && i < METRICS_CALLS_MAX; i++) {
		const struct route *r = &routes[i];
		char word[48], path[64];

		if (!r->handler)
			continue;
		snprintf(path, sizeof(path), "/%s", r->pattern);
		route_word(r->pattern, word, sizeof(word));
		add_call(s, r->method, path, word, &m->calls[i]);
	}
	add_call(s, "other", "other", "all", &m->unknown);
}

struct machine_samples {
	struct machine_counters counters; /* first */
	struct samples *samples;
	const char *name;
	const char *id;
};

/* Messages speak of a drive; readers of metrics look for a block device. */
static const char *class_of(const char *name)
{
	static const char *const words[][2] = {
		{"drive", "block"},
		{"network interface", "net"},
	};
	unsigned i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(name, words[i][0]))
			return words[i][1];
	return name;
}

static void begin(struct machine_counters *c, const char *name, const char *id)
{
	struct machine_samples *m = (void *)c;

	m->name = class_of(name);
	m->id = id;
}

static void put(struct device_counters *c, const char *name, uint64_t value)
{
	struct machine_samples *m = (void *)c;

	samples_add(m->samples, m->name, m->id, name, SAMPLE_COUNTER, value);
}

void controller_collect(void *context, struct samples *samples)
{
	const struct controller *c = context;
	struct machine_samples m = {
		.counters = {.counters = {.put = put}, .begin = begin},
		.samples = samples,
	};

	add_process(c, samples);
	add_calls(c, samples);
	timeline_count(c->machine ? machine_times(c->machine) : &c->times,
		       c->metrics.start_ns, samples);
	working_set_count(c->working, samples);
	if (c->machine)
		machine_count(c->machine, &m.counters);
}
