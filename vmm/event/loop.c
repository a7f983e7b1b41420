/*
 * The event loop. epoll hands out pointers to watches, fetched in batches; a
 * callback may delete any watch of the batch it is in, so loop_delete() takes
 * the watch out of the batch too, and its owner may be freed at once.
 */
#include "vmm/event/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "vmm/base/fd.h"

enum { BATCH = 32 };

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

int loop_run(struct loop *l, struct err *e)
{
	struct epoll_event events[BATCH];
	int n;

	l->stopping = false;
	while (!l->stopping) {
		n = epoll_wait(l->fd, events, BATCH, -1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(e, "epoll_wait");
		serve(l, events, n);
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	l->stopping = true;
}
