/*
 * bench restore: from exec of a monitor, whose request to load lies in its
 * socket already, until the guest's first act has ended it.
 */
#include <stdio.h>

#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/machine.h"
#include "api/ctl/bench/rival.h"
#include "api/ctl/bench/spawn.h"
#include "api/ctl/bench/wire.h"
#include "vmm/base/fd.h"

enum { LARGE_MIB = 4096, LARGE_ROUNDS = 9 };

struct restore {
	const struct parts *parts;
	char place[PATH_MAX + 16];
	char memory[PATH_MAX + 32];
	char mib[16];
	char body[WIRE_TEXT_MAX / 2];
};

static int once_mayfly(void *context, double *ms, struct err *e)
{
	const struct restore *c = context;
	const char *argv[] = {c->parts->mayfly, "--api-fd", "3", NULL};
	struct spawn_how how = {.argv = argv};
	CLEAN_FD int api = -1;
	struct spawned s;
	int rc = wire_pair(&how.listener, &api, e);

	if (!rc)
		rc = wire_send(api, "PUT", "/snapshot/load", c->body, e);
	if (!rc)
		rc = spawn_begin(&s, &how, e);
	fd_close(&how.listener);
	if (!rc)
		rc = spawn_wait(&s, ms, NULL, e);
	/* A refusal says more than a status, and an end says nothing. */
	if (rc)
		(void)wire_hear(api, NULL, 0, e);
	return rc;
}

static int once_floor(void *context, double *ms, struct err *e)
{
	const struct restore *c = context;
	const char *argv[] = {c->parts->floor, "restore", c->memory, c->mib,
			      NULL};
	const struct spawn_how how = {.argv = argv};
	struct spawned s;
	int rc = spawn_begin(&s, &how, e);

	return rc ? rc : spawn_wait(&s, ms, NULL, e);
}

static int prepare(struct restore *c, const struct bench *b, unsigned mib,
		   struct err *e)
{
	*c = (struct restore){.parts = b->parts};
	snprintf(c->place, sizeof(c->place), "%s/w%u", b->parts->scratch, mib);
	snprintf(c->memory, sizeof(c->memory), "%s.mem", c->place);
	snprintf(c->mib, sizeof(c->mib), "%u", mib);
	snprintf(c->body, sizeof(c->body),
		 "{\"snapshot_path\": \"%.1500s.state\", \"resume_vm\": true, "
		 "\"mem_backend\": {\"backend_type\": \"File\", "
		 "\"backend_path\": \"%.1500s\"}}",
		 c->place, c->memory);
	return machine_saved(b, c->place, mib, 1, e);
}

/* A machine of 4 GiB should take no longer: its memory is not read. */
static int large(struct result *r, const struct bench *b, struct err *e)
{
	struct series times = {0};
	struct restore c;
	double ms;
	unsigned i;
	int rc = prepare(&c, b, LARGE_MIB, e);

	for (i = 0; i <= LARGE_ROUNDS && !rc; i++) {
		rc = once_mayfly(&c, &ms, e);
		if (!rc && i) /* the first one warms the caches */
			rc = series_add(&times, ms);
	}
	if (!rc)
		result_figure(r, "a restore of 4 GiB",
			      stats_median(times.values, times.count), "ms");
	series_fini(&times);
	return rc;
}

int bench_restore(struct result *r, const struct bench *b, struct err *e)
{
	struct restore c;
	struct rival rival = {
		.program = b->parts->peers[PEER_FIRECRACKER],
		.guest = b->parts->guest,
	};
	struct lane lanes[] = {
		{.name = "mayfly", .once = once_mayfly, .context = &c},
		{.name = "floor", .once = once_floor, .context = &c},
		{.name = "firecracker",
		 .once = rival_restore_once,
		 .context = &rival},
	};
	struct err why = {0};
	unsigned count = 2;
	int rc = prepare(&c, b, MACHINE_MIB, e);

	if (rc)
		return rc;
	snprintf(lanes[0].command, sizeof(lanes[0].command),
		 "%.200s --api-fd 3; PUT /snapshot/load", b->parts->mayfly);
	snprintf(lanes[1].command, sizeof(lanes[1].command),
		 "%.200s restore %.300s %s", b->parts->floor, c.memory, c.mib);
	snprintf(lanes[2].command, sizeof(lanes[2].command),
		 "%.200s --api-sock; PUT /snapshot/load", rival.program);
	if (*rival.program &&
	    rival_save(&rival, b->parts->scratch, MACHINE_MIB, &why))
		result_leave_out(r, lanes[2].name, why.text);
	else if (*rival.program)
		count++;
	rc = rounds_run(r, lanes, count, &b->pace, e);
	return rc ? rc : large(r, b, e);
}
