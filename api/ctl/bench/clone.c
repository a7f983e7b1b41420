/*
 * bench clone: monitors that were prepared wait for the message that makes
 * clones of them (PUT /snapshot/finish); from that until the guest's first act,
 * one after the other, and many at once.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/ctl/base/interrupt.h"
#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/machine.h"
#include "api/ctl/bench/spawn.h"
#include "api/ctl/bench/wire.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"

enum { REST_US = 3000 }; /* until all of them sleep */

struct clones {
	const struct parts *parts;
	char memory[PATH_MAX + 32];
	char body[WIRE_TEXT_MAX / 2];
};

struct clone {
	struct spawned process;
	int api; /* 0: of the floor, which hears by its stdin */
};

static int make_mayfly(struct clone *m, const struct clones *c, struct err *e)
{
	const char *argv[] = {c->parts->mayfly, "--api-fd", "3", NULL};
	struct spawn_how how = {.argv = argv, .has_out = true};
	int rc = wire_pair(&how.listener, &m->api, e);

	if (!rc)
		rc = spawn_begin(&m->process, &how, e);
	fd_close(&how.listener);
	return rc ? rc
		  : wire_ask(m->api, "PUT", "/snapshot/prepare", c->body, NULL,
			     0, e);
}

static int make_floor(struct clone *m, const struct clones *c, struct err *e)
{
	const char *argv[] = {c->parts->floor, "restore", c->memory,
			      "128",	       "wait",	  NULL};
	const struct spawn_how how = {
		.argv = argv,
		.has_in = true,
		.has_out = true,
	};
	int rc = spawn_begin(&m->process, &how, e);
	char byte;

	return rc ? rc : spawn_hear(&m->process, &byte, e);
}

static int make(struct clone *m, const struct clones *c, bool is_floor,
		struct err *e)
{
	*m = (struct clone){0};
	return is_floor ? make_floor(m, c, e) : make_mayfly(m, c, e);
}

static int let_go(const struct clone *m, struct err *e)
{
	if (m->api)
		return wire_send(m->api, "PUT", "/snapshot/finish",
				 "{\"resume_vm\": true}", e);
	if (write(m->process.in, "g", 1) != 1)
		return err_errno(e, "the floor");
	return 0;
}

static void end(struct clone *m)
{
	spawn_kill(&m->process);
	fd_close(&m->api);
}

static int once(const struct clones *c, bool is_floor, double *us,
		struct err *e)
{
	struct clone m;
	uint64_t begin;
	char byte;
	int rc = make(&m, c, is_floor, e);

	if (!rc) {
		usleep(REST_US);
		begin = clock_now_ns();
		rc = let_go(&m, e);
		if (!rc)
			rc = spawn_hear(&m.process, &byte, e);
		*us = (double)(clock_now_ns() - begin) / 1e3;
	}
	if (!rc && m.api)
		rc = wire_hear(m.api, NULL, 0, e);
	end(&m);
	return rc;
}

static int once_mayfly(void *context, double *us, struct err *e)
{
	return once(context, false, us, e);
}

static int once_floor(void *context, double *us, struct err *e)
{
	return once(context, true, us, e);
}

/* How long so many take that are let go at once, until all have acted. */
static int at_once(const struct clones *c, bool is_floor, unsigned count,
		   double *ms, double *kib, struct err *e)
{
	struct clone *all = calloc(count, sizeof(*all));
	uint64_t begin;
	unsigned i, made;
	char byte;
	int rc = 0;

	if (!all)
		return err_set(e, -ENOMEM, "no memory for clones");
	for (made = 0; made < count && !rc; made++) {
		rc = make(&all[made], c, is_floor, e);
		if (!rc && interrupt_pending())
			rc = err_set(e, -EINTR, "ended by a signal");
	}
	usleep(20 * REST_US);
	begin = clock_now_ns();
	for (i = 0; i < count && !rc; i++)
		rc = let_go(&all[i], e);
	for (i = 0; i < count && !rc; i++)
		rc = spawn_hear(&all[i].process, &byte, e);
	*ms = (double)(clock_now_ns() - begin) / 1e6;
	usleep(50 * REST_US);
	*kib = rc ? 0 : spawn_private_kib(all[0].process.pid);
	for (i = 0; i < made; i++)
		end(&all[i]);
	free(all);
	return rc;
}

static int fan_out(struct result *r, const struct bench *b,
		   const struct clones *c, struct err *e)
{
	static const unsigned counts[] = {1, 10, 30, 100, 300, 1000};
	struct curve *curves[2];
	unsigned i, k;
	double ms = 0, kib = 0;
	char text[96];
	int rc;

	for (k = 0; k < 2; k++)
		curves[k] = result_curve(r, "clones let go at once",
					 k ? "floor" : "mayfly", "clones",
					 "ms until all have acted");
	if (!curves[0] || !curves[1])
		return err_set(e, -ENOMEM, "no memory for curves");
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		if (b->count && counts[i] > b->count)
			break;
		for (k = 0; k < 2; k++) {
			double dirty = 0;

			rc = at_once(c, k, counts[i], &ms, &dirty, e);
			if (!rc)
				rc = curve_add(curves[k], counts[i], ms);
			if (rc)
				return rc;
			kib = k ? kib : dirty;
			snprintf(text, sizeof(text), "%u at once, %s",
				 counts[i], curves[k]->name);
			if (i >= 3)
				result_figure(r, text, ms, "ms");
		}
	}
	result_figure(r, "private memory of a clone", kib, "KiB");
	return 0;
}

int bench_clone(struct result *r, const struct bench *b, struct err *e)
{
	struct clones c = {.parts = b->parts};
	struct lane lanes[] = {
		{.name = "mayfly", .once = once_mayfly, .context = &c},
		{.name = "floor", .once = once_floor, .context = &c},
	};
	char place[PATH_MAX + 16];
	int rc;

	snprintf(place, sizeof(place), "%s/clone", b->parts->scratch);
	snprintf(c.memory, sizeof(c.memory), "%s.mem", place);
	snprintf(c.body, sizeof(c.body),
		 "{\"snapshot_path\": \"%.1500s.state\", \"mem_backend\": "
		 "{\"backend_type\": \"File\", \"backend_path\": "
		 "\"%.1500s\"}}",
		 place, c.memory);
	snprintf(lanes[0].command, sizeof(lanes[0].command),
		 "%.200s --api-fd 3; PUT /snapshot/prepare, finish",
		 b->parts->mayfly);
	snprintf(lanes[1].command, sizeof(lanes[1].command),
		 "%.200s restore %.300s 128 wait", b->parts->floor, c.memory);
	rc = machine_saved(b, place, MACHINE_MIB, 2, e);
	if (!rc)
		rc = rounds_run(r, lanes, 2, &b->pace, e);
	return rc ? rc : fan_out(r, b, &c, e);
}
