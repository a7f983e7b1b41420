/*
 * The event loop. epoll hands out pointers to watches, fetched in batches; a
 * callback may delete any watch of the batch it is in, so loop_delete() takes
 * the watch out of the batch too, and its owner may be freed at once.
 *
 * Timers are a sorted list. There are a few dozen at most, one for each limiter
 * and one for each device that has time-outs, so a list beats a heap; and the
 * next one is a time-out of the wait, so that arming costs no system call.
 */
#include "vmm/event/loop.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <time.h>

#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/base/newer.h"

enum { BATCH = 32 };

#define NS_PER_S  1000000000
#define NS_PER_MS 1000000

int loop_open(struct loop *l, struct err *e)
{
	memset(l, 0, sizeof(*l));
	l->fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->fd < 0)
		return err_errno(e, "epoll_create1");
	return 0;
}

void loop_close(struct loop *l)
{
	fd_close(&l->fd);
}

int loop_add(struct loop *l, struct loop_watch *w, int fd, uint32_t events,
	     struct err *e)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	if (epoll_ctl(l->fd, EPOLL_CTL_ADD, fd, &ev)) {
		w->fd = -1;
		return err_errno(e, "can't watch descriptor %d", fd);
	}
	w->fd = fd;
	return 0;
}

int loop_add_signals(struct loop *l, struct loop_watch *w, const sigset_t *set,
		     int *fd, struct err *e)
{
	const int made = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);

	if (made < 0)
		return err_errno(e, "signalfd");
	*fd = made;
	return loop_add(l, w, made, EPOLLIN, e);
}

void loop_change(struct loop *l, struct loop_watch *w, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = w};

	if (w->fd >= 0)
		epoll_ctl(l->fd, EPOLL_CTL_MOD, w->fd, &ev);
}

void loop_delete(struct loop *l, struct loop_watch *w)
{
	int i;

	if (w->fd < 0)
		return;
	epoll_ctl(l->fd, EPOLL_CTL_DEL, w->fd, NULL);
	w->fd = -1;
	for (i = 0; i < l->batch_count; i++)
		if (l->batch[i] == w)
			l->batch[i] = NULL;
}

static void serve(struct loop *l, const struct epoll_event *events, int count)
{
	struct loop_watch *batch[BATCH];
	int i;

	for (i = 0; i < count; i++)
		batch[i] = events[i].data.ptr;
	l->batch = batch;
	l->batch_count = count;
	for (i = 0; i < count && !l->stopping; i++)
		if (batch[i])
			batch[i]->ready(batch[i], events[i].events);
	l->batch = NULL;
	l->batch_count = 0;
}

void loop_arm(struct loop *l, struct loop_timer *t, uint64_t due_ns)
{
	struct loop_timer **at = &l->timers;

	loop_disarm(l, t);
	t->due_ns = due_ns ? due_ns : 1;
	while (*at && (*at)->due_ns <= t->due_ns)
		at = &(*at)->next;
	t->next = *at;
	*at = t;
}

void loop_disarm(struct loop *l, struct loop_timer *t)
{
	struct loop_timer **at = &l->timers;

	if (!t->due_ns)
		return;
	while (*at && *at != t)
		at = &(*at)->next;
	if (*at)
		*at = t->next;
	t->due_ns = 0;
	t->next = NULL;
}

/*
 * Those that are due now. One that is armed anew for a moment that has passed
 * waits for the next round, or it would keep the watches out for ever.
 */
static void fire_timers(struct loop *l)
{
	const uint64_t now = l->timers ? clock_now_ns() : 0;
	struct loop_timer *t;
	unsigned left = 0;

	for (t = l->timers; t && t->due_ns <= now; t = t->next)
		left++;
	while (left-- && !l->stopping && (t = l->timers) && t->due_ns <= now) {
		loop_disarm(l, t);
		t->fire(t);
	}
}

/* As epoll_wait(), but waits to the nanosecond for the first timer. */
static int wait_for(struct loop *l, struct epoll_event *events)
{
	struct timespec left = {0};
	uint64_t now, ns;
	int n;

	if (!l->timers)
		return epoll_pwait(l->fd, events, BATCH, -1, NULL);
	now = clock_now_ns();
	ns = l->timers->due_ns > now ? l->timers->due_ns - now : 0;
	left.tv_sec = (time_t)(ns / NS_PER_S);
	left.tv_nsec = (long)(ns % NS_PER_S);
	n = epoll_pwait2(l->fd, events, BATCH, &left, NULL);
	if (n >= 0 || errno != ENOSYS)
		return n;
	/* Before Linux 5.11. Rounded up, so that nothing fires early. */
	ns = (ns + NS_PER_MS - 1) / NS_PER_MS;
	return epoll_pwait(l->fd, events, BATCH,
			   ns < INT_MAX ? (int)ns : INT_MAX, NULL);
}

int loop_run(struct loop *l, struct err *e)
{
	struct epoll_event events[BATCH];
	int n;

	l->stopping = false;
	while (!l->stopping) {
		n = wait_for(l, events);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, "epoll_wait");
		serve(l, events, n);
		fire_timers(l);
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	l->stopping = true;
}
