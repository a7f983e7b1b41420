/*
 * The metrics' file.
 *
 * A line can be longer than what a FIFO takes whole, so a reader that lags may
 * leave us with half a line written. Its rest is kept, written as soon as there
 * is room, and no other line begins before; lines that are due meanwhile are
 * lost, and counted in the next one. A line of which nothing went out is lost
 * at once: the next one has it all.
 */
#include "api/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "api/faults.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

#define PERIOD_NS 60000000000ULL

static uint64_t utc_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Writes what there is of the rest. 0, or why it could not be written. */
static int write_rest(struct metrics *m)
{
	while (m->rest_at < m->rest_len) {
		ssize_t n = write(m->fd, m->rest + m->rest_at,
				  m->rest_len - m->rest_at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EAGAIN;
		m->rest_at += (size_t)n;
	}
	return 0;
}

static void forget_rest(struct metrics *m)
{
	loop_delete(m->loop, &m->watch);
	free(m->rest);
	m->rest = NULL;
	m->rest_at = m->rest_len = 0;
}

static void watch_ready(struct loop_watch *w, uint32_t events)
{
	struct metrics *m = container_of(w, struct metrics, watch);

	(void)events;
	if (write_rest(m) != -EAGAIN)
		forget_rest(m);
}

static int write_line(struct metrics *m)
{
	struct samples samples = {0};
	struct err e;
	int rc;

	m->collect(m->context, &samples);
	if (!samples.error)
		m->rest = samples_json(&samples, utc_ms());
	samples_fini(&samples);
	if (!m->rest)
		return -ENOMEM;
	m->rest_at = 0;
	m->rest_len = strlen(m->rest);
	rc = write_rest(m);
	if (!rc || !m->rest_at) {
		forget_rest(m);
		return rc;
	}
	/* A regular file can't be watched: then the next flush goes on. */
	(void)loop_add(m->loop, &m->watch, m->fd, EPOLLOUT, &e);
	return 0;
}

int metrics_flush(struct metrics *m)
{
	int rc = 0;

	if (!m->fd)
		return -ENOENT;
	if (m->rest) {
		rc = write_rest(m);
		if (!rc)
			forget_rest(m);
	}
	if (!rc)
		rc = write_line(m);
	if (!rc)
		return 0;
	m->lost++;
	if (rc != -EAGAIN)
		log_warn_limited("can't write the metrics: %s", strerror(-rc));
	return rc;
}

static void timer_fire(struct loop_timer *t)
{
	struct metrics *m = container_of(t, struct metrics, timer);

	(void)metrics_flush(m);
	loop_arm(m->loop, t, clock_now_ns() + PERIOD_NS);
}

void metrics_init(struct metrics *m, struct loop *loop,
		  metrics_collect *collect, void *context)
{
	memset(m, 0, sizeof(*m));
	m->loop = loop;
	m->collect = collect;
	m->context = context;
	m->timer.fire = timer_fire;
	m->watch.fd = -1;
	m->watch.ready = watch_ready;
	m->start_ns = clock_now_ns();
	m->start_utc_ms = utc_ms();
}

int metrics_open(struct metrics *m, const char *path, struct err *e)
{
	int fd;

	if (m->fd)
		return err_set(e, -EEXIST,
			       "The metrics have a file already, and it can't "
			       "be changed.");
	/* Read too, so that a FIFO without a reader opens at once. */
	fd = openat(AT_FDCWD, path,
		    O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC |
			    O_NOCTTY,
		    0600);
	if (fd < 0)
		return err_errno(e, "can't open the metrics file %s", path);
	m->fd = fd;
	faults_tell(fd);
	loop_arm(m->loop, &m->timer, clock_now_ns() + PERIOD_NS);
	return 0;
}

void metrics_close(struct metrics *m)
{
	if (!m->fd)
		return;
	(void)metrics_flush(m);
	forget_rest(m);
	loop_disarm(m->loop, &m->timer);
	faults_tell(-1);
	fd_close(&m->fd);
	m->fd = 0;
}

char *metrics_text(const struct metrics *m)
{
	struct samples samples = {0};
	char *text = NULL;

	m->collect(m->context, &samples);
	if (!samples.error)
		text = samples_text(&samples);
	samples_fini(&samples);
	return text;
}

void metrics_count_call(struct metrics_call *call, uint64_t begin_ns,
			bool has_failed)
{
	const uint64_t us = (clock_now_ns() - begin_ns) / 1000;

	call->count++;
	call->fails += has_failed;
	call->sum_us += us;
	if (us > call->max_us)
		call->max_us = us;
}
