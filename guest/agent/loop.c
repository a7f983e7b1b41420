/*
 * The loop. What is ready is asked for in small batches; a callback may end any
 * other object, whose watch is then struck from the batch.
 */
#include "guest/agent/loop.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32 };

static int epoll_fd = -1;
static struct epoll_event batch[BATCH];
static int batch_len;
static struct timer *timers;

int loop_open(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return epoll_fd < 0 ? -errno : 0;
}

void watch_set(struct watch *w, uint32_t events)
{
	struct epoll_event e = {.events = events, .data.ptr = w};
	int op = EPOLL_CTL_MOD;

	if (w->events == events)
		return;
	/* One that is not wanted leaves epoll, which reports hang-ups of all
	 * that it has, and would again and again. */
	if (!events)
		op = EPOLL_CTL_DEL;
	else if (!w->events)
		op = EPOLL_CTL_ADD;
	w->events = events;
	if (epoll_ctl(epoll_fd, op, w->fd, &e))
		w->events = 0; /* no memory, or no file that can wait */
	if (events)
		return;
	for (int i = 0; i < batch_len; i++)
		if (batch[i].data.ptr == w)
			batch[i].data.ptr = NULL;
}

void watch_start(struct watch *w, int fd, uint32_t events,
		 void (*ready)(struct watch *w, uint32_t events))
{
	w->fd = fd;
	w->events = 0;
	w->ready = ready;
	watch_set(w, events);
}

void watch_close(struct watch *w)
{
	watch_set(w, 0);
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

void timer_set(struct timer *t, uint32_t ms, void (*expired)(struct timer *))
{
	if (!t->at_ns) {
		t->next = timers;
		timers = t;
	}
	t->at_ns = now_ns() + (uint64_t)ms * 1000000U;
	t->expired = expired;
}

/* In ms, for epoll; -1 without timers. */
static int timers_wait(void)
{
	uint64_t first = 0, now;

	for (const struct timer *t = timers; t; t = t->next)
		if (!first || t->at_ns < first)
			first = t->at_ns;
	if (!first)
		return -1;
	now = now_ns();
	if (first <= now)
		return 0;
	first = (first - now) / 1000000U + 1;
	return first > 60000 ? 60000 : (int)first;
}

static void timers_run(void)
{
	struct timer **at = &timers;
	const uint64_t now = timers ? now_ns() : 0;

	while (*at) {
		struct timer *t = *at;

		if (t->at_ns > now) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		t->at_ns = 0;
		t->expired(t);
		at = &timers; /* it may have set others */
	}
}

void loop_turn(void)
{
	batch_len = epoll_wait(epoll_fd, batch, BATCH, timers_wait());
	for (int i = 0; i < batch_len; i++) {
		struct watch *w = batch[i].data.ptr;

		if (w)
			w->ready(w, batch[i].events);
	}
	batch_len = 0;
	timers_run();
}
