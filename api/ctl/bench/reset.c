/*
 * bench reset: back to a mark in place (PUT /snapshot/reset), after the guest
 * has written to some of its memory, from the request to its answer, with the
 * guest running again.
 */
#include <stdio.h>
#include <unistd.h>

#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/machine.h"
#include "api/ctl/bench/wire.h"
#include "vmm/base/clock.h"

enum { WORK_US = 2000 }; /* of the guest, between two resets */

static int once(void *context, double *us, struct err *e)
{
	const struct bench_machine *m = context;
	uint64_t begin;
	int rc;

	usleep(WORK_US);
	begin = clock_now_ns();
	rc = wire_ask(m->api, "PUT", "/snapshot/reset", "{\"resume_vm\": true}",
		      NULL, 0, e);
	*us = (double)(clock_now_ns() - begin) / 1e3;
	return rc;
}

int bench_reset(struct result *r, const struct bench *b, struct err *e)
{
	struct bench_machine m;
	struct lane lane = {.name = "mayfly", .once = once, .context = &m};
	struct pace pace = b->pace;
	int rc = machine_begin(&m, b, "S", MACHINE_MIB, e);

	if (rc)
		return rc;
	snprintf(lane.command, sizeof(lane.command),
		 "%.200s --api-fd 3 --config-file; PUT /snapshot/mark, reset",
		 b->parts->mayfly);
	pace.warm_ups += 5; /* the first ones fault pages in */
	rc = wire_ask(m.api, "PUT", "/snapshot/mark", "{}", NULL, 0, e);
	if (!rc)
		rc = rounds_run(r, &lane, 1, &pace, e);
	machine_end(&m);
	if (!rc)
		result_leave_out(r, "floor",
				 "the bare KVM program knows no reset in "
				 "place");
	return rc;
}
