/*
 * bench fork: how long a fork (PUT /snapshot/fork) holds a guest that writes to
 * all of its memory. The first of a machine makes its memory a file; later ones
 * copy it.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/machine.h"
#include "api/ctl/bench/wire.h"
#include "api/json/json.h"
#include "vmm/base/clock.h"

struct forks {
	const struct bench *b;
	struct series answers; /* ms until the descriptors are there */
	struct series later;   /* us, of the second fork of each */
};

static int fork_once(const struct bench_machine *m, double *pause_us,
		     double *answer_ms, struct err *e)
{
	const uint64_t begin = clock_now_ns();
	char answer[WIRE_TEXT_MAX];
	int rc = wire_ask(m->api, "PUT", "/snapshot/fork",
			  "{\"resume_vm\": true}", answer, sizeof(answer), e);
	json_t *body, *pause;

	if (rc)
		return rc;
	*answer_ms = (double)(clock_now_ns() - begin) / 1e6;
	body = json_parse(answer, strlen(answer), NULL);
	pause = json_object_get(body, "pause_us");
	if (!json_is_integer(pause))
		rc = err_set(e, -EBADMSG, "the answer to a fork has no pause");
	else
		*pause_us = (double)json_integer_value(pause);
	json_decref(body);
	return rc;
}

static int once(void *context, double *us, struct err *e)
{
	struct forks *f = context;
	struct bench_machine m;
	double first_ms, second_ms, second_us;
	int rc = machine_begin(&m, f->b, "D", MACHINE_MIB, e);

	if (rc)
		return rc;
	rc = fork_once(&m, us, &first_ms, e);
	if (!rc)
		rc = fork_once(&m, &second_us, &second_ms, e);
	machine_end(&m);
	if (!rc && (series_add(&f->answers, first_ms) ||
		    series_add(&f->later, second_us)))
		rc = err_set(e, -ENOMEM, "no memory for rounds");
	return rc;
}

int bench_fork(struct result *r, const struct bench *b, struct err *e)
{
	struct forks f = {.b = b};
	struct lane lane = {.name = "mayfly", .once = once, .context = &f};
	int rc;

	snprintf(lane.command, sizeof(lane.command),
		 "%.200s --api-fd 3 --config-file; PUT /snapshot/fork",
		 b->parts->mayfly);
	rc = rounds_run(r, &lane, 1, &b->pace, e);
	if (!rc) {
		result_figure(r, "a first fork, until its answer",
			      stats_median(f.answers.values, f.answers.count),
			      "ms");
		result_figure(r, "a second fork holds the guest for",
			      stats_median(f.later.values, f.later.count),
			      "us");
		result_leave_out(r, "floor",
				 "the bare KVM program has no fork of a "
				 "running guest");
	}
	series_fini(&f.answers);
	series_fini(&f.later);
	return rc;
}
