/*
 * bench api: from exec to the answer of a first request (GET /), in fresh
 * processes; then PUT calls on one connection, and on many that each have one
 * under way all the time.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/spawn.h"
#include "api/ctl/bench/wire.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"

enum { CALLS = 4000, MANY = 50, PATIENCE_MS = 10000 };

#define MACHINE "{\"vcpu_count\": 2, \"mem_size_mib\": 128}"

struct monitor {
	const char *program;
	char sock[PATH_MAX + 16];
};

static int begin(const struct monitor *m, struct spawned *s, int *fd,
		 struct err *e)
{
	return wire_begin(s, m->program, m->sock, false, fd, e);
}

static int once(void *context, double *ms, struct err *e)
{
	CLEAN_FD int fd = -1;
	struct spawned s;
	int rc = begin(context, &s, &fd, e);

	if (rc)
		return rc;
	rc = wire_ask(fd, "GET", "/", NULL, NULL, 0, e);
	*ms = spawn_age_ms(&s);
	spawn_kill(&s);
	return rc;
}

static int call(int fd, struct err *e)
{
	return wire_send(fd, "PUT", "/machine-config", MACHINE, e);
}

static int time_one(int fd, struct series *s, struct err *e)
{
	unsigned i;
	int rc = 0;

	for (i = 0; i < CALLS && !rc; i++) {
		const uint64_t begin_ns = clock_now_ns();

		rc = call(fd, e);
		if (!rc)
			rc = wire_hear(fd, NULL, 0, e);
		if (!rc)
			rc = series_add(s, (double)(clock_now_ns() - begin_ns) /
						   1e3);
	}
	return rc;
}

/* Each of MANY waits for those before it. */
static int time_many(const int fds[MANY], struct series *s, struct err *e)
{
	CLEAN_FD int loop = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event events[MANY];
	uint64_t begins[MANY];
	int i, n, rc = 0;

	for (i = 0; i < MANY && !rc; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.fd = i};

		begins[i] = clock_now_ns();
		if (epoll_ctl(loop, EPOLL_CTL_ADD, fds[i], &ev))
			return err_errno(e, "can't watch a connection");
		rc = call(fds[i], e);
	}
	while (!rc && s->count < CALLS) {
		n = epoll_wait(loop, events, MANY, PATIENCE_MS);
		if (n <= 0)
			return err_set(e, -ETIMEDOUT, "no answer came");
		for (i = 0; i < n && !rc; i++) {
			const int who = events[i].data.fd;

			rc = wire_hear(fds[who], NULL, 0, e);
			if (!rc)
				rc = series_add(s, (double)(clock_now_ns() -
							    begins[who]) /
							   1e3);
			begins[who] = clock_now_ns();
			if (!rc)
				rc = call(fds[who], e);
		}
	}
	return rc;
}

static int calls(struct result *r, const struct monitor *m, struct err *e)
{
	struct series one = {0}, many = {0};
	int fds[MANY] = {0}, i;
	struct spawned s;
	int rc = begin(m, &s, &fds[0], e);

	if (rc)
		return rc;
	rc = time_one(fds[0], &one, e);
	for (i = 1; i < MANY && !rc; i++) {
		fds[i] = wire_dial(m->sock);
		if (fds[i] < 0)
			rc = err_set(e, fds[i], "can't connect once more");
	}
	if (!rc)
		rc = time_many(fds, &many, e);
	for (i = 0; i < MANY; i++)
		fd_close(&fds[i]);
	spawn_kill(&s);
	if (!rc) {
		result_figure(r, "a PUT, median",
			      stats_median(one.values, one.count), "us");
		result_figure(r, "a PUT, 99 in 100",
			      stats_quantile(one.values, one.count, 0.99),
			      "us");
		result_figure(r, "a PUT with 50 at once, median",
			      stats_median(many.values, many.count), "us");
		result_figure(r, "a PUT with 50 at once, 99 in 100",
			      stats_quantile(many.values, many.count, 0.99),
			      "us");
	}
	series_fini(&one);
	series_fini(&many);
	return rc;
}

int bench_api(struct result *r, const struct bench *b, struct err *e)
{
	const char *rival = b->parts->peers[PEER_FIRECRACKER];
	struct monitor ours = {.program = b->parts->mayfly};
	struct monitor theirs = {.program = rival};
	struct lane lanes[] = {
		{.name = "mayfly", .once = once, .context = &ours},
		{.name = "firecracker", .once = once, .context = &theirs},
	};
	int rc;

	snprintf(ours.sock, sizeof(ours.sock), "%s/a.sock", b->parts->scratch);
	snprintf(theirs.sock, sizeof(theirs.sock), "%s/f.sock",
		 b->parts->scratch);
	snprintf(lanes[0].command, sizeof(lanes[0].command),
		 "%.200s --api-sock %.200s; GET /", ours.program, ours.sock);
	snprintf(lanes[1].command, sizeof(lanes[1].command),
		 "%.200s --api-sock %.200s; GET /", theirs.program,
		 theirs.sock);
	rc = rounds_run(r, lanes, *rival ? 2 : 1, &b->pace, e);
	return rc ? rc : calls(r, &ours, e);
}
