#include "api/ctl/serve/front.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/ctl/serve/text.h"
#include "vmm/base/fd.h"

enum { LINE_MAX_BYTES = 3800, FIELD_MAX = 1000 };

struct function *front_find(struct front *f, const char *target,
			    const char **path)
{
	const size_t len = strcspn(target + 1, "/?");
	unsigned i;

	*path = target + 1 + len;
	for (i = 0; i < f->function_count; i++)
		if (strlen(f->functions[i]->plan.name) == len &&
		    !memcmp(f->functions[i]->plan.name, target + 1, len))
			return f->functions[i];
	return NULL;
}

/* ---- the access log ----------------------------------------------------- */

/* A client may not end a field, a line, or a terminal's patience. */
static const char *quote(const char *text, char out[FIELD_MAX])
{
	size_t len = 0;

	for (; text && *text && len < FIELD_MAX - 5; text++) {
		const unsigned char c = (unsigned char)*text;

		if (c < ' ' || c >= 127 || c == '"' || c == '\\')
			len += (size_t)snprintf(out + len, 5, "\\x%02x", c);
		else
			out[len++] = (char)c;
	}
	out[len] = '\0';
	return len ? out : "-";
}

void front_log(const struct front *f, const struct front_entry *entry)
{
	char target[FIELD_MAX], referer[FIELD_MAX], agent[FIELD_MAX];
	char line[LINE_MAX_BYTES], when[48];
	const time_t now = time(NULL);
	struct tm tm;
	int n;

	if (f->log_fd < 0)
		return;
	localtime_r(&now, &tm);
	strftime(when, sizeof(when), "%d/%b/%Y:%H:%M:%S %z", &tm);
	n = snprintf(line, sizeof(line),
		     "%s - - [%s] \"%s %s HTTP/1.%u\" %d %llu \"%s\" \"%s\"\n",
		     entry->peer && *entry->peer ? entry->peer : "-", when,
		     entry->method, quote(entry->target, target), entry->minor,
		     entry->status, (unsigned long long)entry->body_bytes,
		     quote(entry->referer, referer),
		     quote(entry->agent, agent));
	/* A reader that is slow costs lines, never time. */
	if (n > 0)
		(void)fd_write_ready(f->log_fd, line, (size_t)n);
}

/* ---- /metrics ----------------------------------------------------------- */

static void put_head(struct text *to, const char *name, const char *type,
		     const char *help)
{
	text_put(to, "# HELP mayfly_serve_%s %s\n# TYPE mayfly_serve_%s %s\n",
		 name, help, name, type);
}

static void put_histogram(struct text *to, const char *function,
			  const char *phase, const struct histogram *h)
{
	uint64_t seen = 0;
	unsigned i;

	for (i = 0; i <= HISTOGRAM_BUCKETS; i++) {
		char bound[32] = "+Inf";

		seen += h->buckets[i];
		if (i < HISTOGRAM_BUCKETS)
			snprintf(bound, sizeof(bound), "%g",
				 (double)histogram_bounds_ns[i] / 1e9);
		text_put(to,
			 "mayfly_serve_phase_seconds_bucket{function=\"%s\","
			 "phase=\"%s\",le=\"%s\"} %llu\n",
			 function, phase, bound, (unsigned long long)seen);
	}
	text_put(
		to,
		"mayfly_serve_phase_seconds_sum{function=\"%s\",phase=\"%s\"} "
		"%.9f\n"
		"mayfly_serve_phase_seconds_count{function=\"%s\",phase=\"%s\"}"
		" %llu\n",
		function, phase, (double)h->sum_ns / 1e9, function, phase,
		(unsigned long long)h->count);
}

static void put_phases(struct text *to, const struct front *f)
{
	unsigned i;

	put_head(to, "phase_seconds", "histogram",
		 "What a request, or the making of a microVM, took.");
	for (i = 0; i < f->function_count; i++) {
		const struct function *fn = f->functions[i];

		put_histogram(to, fn->plan.name, "make", &fn->make);
		put_histogram(to, fn->plan.name, "wait", &fn->wait);
		put_histogram(to, fn->plan.name, "first_byte", &fn->first_byte);
		put_histogram(to, fn->plan.name, "whole", &fn->whole);
	}
}

static void put_answers(struct text *to, const struct front *f)
{
	unsigned i, c;

	put_head(to, "requests_total", "counter", "Answers, by their class.");
	for (i = 0; i < f->function_count; i++)
		for (c = 1; c < 6; c++)
			text_put(to,
				 "mayfly_serve_requests_total{function=\"%s\","
				 "class=\"%uxx\"} %llu\n",
				 f->functions[i]->plan.name, c,
				 (unsigned long long)f->functions[i]
					 ->by_class[c]);
}

static void put_pool(struct text *to, const struct front *f)
{
	unsigned i, stage;

	put_head(to, "microvms", "gauge", "MicroVMs, by what they do.");
	for (i = 0; i < f->function_count; i++)
		for (stage = 0; stage < INSTANCE_STAGES; stage++)
			text_put(to,
				 "mayfly_serve_microvms{function=\"%s\","
				 "stage=\"%s\"} %u\n",
				 f->functions[i]->plan.name,
				 instance_words[stage],
				 function_count(f->functions[i], stage));
	put_head(to, "waiting", "gauge", "Requests that wait for a microVM.");
	for (i = 0; i < f->function_count; i++)
		text_put(to, "mayfly_serve_waiting{function=\"%s\"} %u\n",
			 f->functions[i]->plan.name, f->functions[i]->waiting);
}

static void put_counts(struct text *to, const struct front *f)
{
	static const char *const names[] = {"made", "failed", "resets",
					    "refused"};
	static const char *const help[] = {
		"MicroVMs that got ready.", "MicroVMs that did not.",
		"MicroVMs that were taken back.",
		"Requests that found the queue full."};
	unsigned i, n;

	for (n = 0; n < 4; n++) {
		char name[32];

		snprintf(name, sizeof(name), "%s_total", names[n]);
		put_head(to, name, "counter", help[n]);
		for (i = 0; i < f->function_count; i++) {
			const struct function *fn = f->functions[i];
			const uint64_t counts[] = {
				fn->made_count, fn->failed_count,
				fn->reset_count, fn->refused_count};

			text_put(to, "mayfly_serve_%s{function=\"%s\"} %llu\n",
				 name, fn->plan.name,
				 (unsigned long long)counts[n]);
		}
	}
}

char *front_metrics(const struct front *f)
{
	struct text text = {0};

	put_answers(&text, f);
	put_phases(&text, f);
	put_pool(&text, f);
	put_counts(&text, f);
	put_head(&text, "clients", "gauge", "Connections of clients.");
	text_put(&text, "mayfly_serve_clients %u\n", f->client_count);
	put_head(&text, "bad_requests_total", "counter",
		 "Requests that were not HTTP as it has to be.");
	text_put(&text, "mayfly_serve_bad_requests_total %llu\n",
		 (unsigned long long)f->bad_count);
	if (!text.is_broken)
		return text.bytes;
	free(text.bytes);
	return NULL;
}
