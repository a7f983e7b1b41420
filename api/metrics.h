#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/samples.h"
#include "vmm/base/err.h"
#include "vmm/event/loop.h"

/*
 * The metrics: what the API was asked, and a file or FIFO that gets a line of
 * all counters every minute, when a client asks (FlushMetrics) and at the end.
 * Counters grow from the start of the process and are never set back, so a line
 * that got lost takes nothing with it. Nothing here ever blocks: a line that a
 * reader doesn't take is dropped and counted. Thread: the loop's.
 */
enum { METRICS_CALLS_MAX = 64 };

/* One method and path of the API. */
struct metrics_call {
	uint64_t count;
	uint64_t fails;
	uint64_t sum_us;
	uint64_t max_us;
};

/* Adds all samples of the moment. Thread: the loop's. */
typedef void metrics_collect(void *context, struct samples *samples);

struct metrics {
	struct loop *loop; /* borrowed: main */
	metrics_collect *collect;
	void *context;
	struct loop_timer timer;
	struct loop_watch watch; /* waits to write the rest of a line */
	int fd;			 /* owned; 0 while there is no file */
	char *rest;		 /* owned; of the last line, from rest_at on */
	size_t rest_at;
	size_t rest_len;
	uint64_t lost; /* lines */
	uint64_t start_utc_ms;
	uint64_t start_ns;
	uint64_t startup_us; /* what whoever started us told; 0 for nothing */
	uint64_t startup_cpu_us;
	struct metrics_call calls[METRICS_CALLS_MAX]; /* by row of the routes */
	struct metrics_call unknown;		      /* no such route */
};

void metrics_init(struct metrics *m, struct loop *loop,
		  metrics_collect *collect, void *context);

/*
 * Opens the file, made where it is missing; a FIFO nobody reads is fine. Once:
 * -EEXIST then. The loop must be open.
 */
int metrics_open(struct metrics *m, const char *path, struct err *e);

/* Writes the last line as far as it goes at once. Accepts a zeroed struct. */
void metrics_close(struct metrics *m);

/* Writes a line now. -ENOENT without a file; -EAGAIN where it was lost. */
int metrics_flush(struct metrics *m);

/* All of it in Prometheus' text format; malloced, NULL without memory. */
char *metrics_text(const struct metrics *m);

/* Counts a request that took from begin_ns until now. */
void metrics_count_call(struct metrics_call *call, uint64_t begin_ns,
			bool has_failed);
