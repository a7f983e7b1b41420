/*
 * Accepting. Descriptors may run out in this process or in the whole system,
 * and another thread may take the one that was just given up, so sending
 * somebody away is tried and not relied on.
 */
#include "api/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

enum { BACKLOG = 64, ACCEPTS_AT_ONCE = 16 };

#define REST_NS 100000000ULL

/* What there is in every jail, and needs no permission. */
static void take_spare(struct listener *l)
{
	if (l->spare_fd < 0)
		l->spare_fd = openat(AT_FDCWD, "/", O_PATH | O_CLOEXEC);
}

static void rest(struct listener *l)
{
	loop_change(l->loop, &l->watch, 0);
	loop_arm(l->loop, &l->timer, clock_now_ns() + REST_NS);
}

static void timer_fire(struct loop_timer *t)
{
	struct listener *l = container_of(t, struct listener, timer);

	take_spare(l);
	loop_change(l->loop, &l->watch, EPOLLIN);
}

/*
 * No descriptor is left for a client, and the listener would be ready for ever:
 * take it with the spare one and send it away.
 */
static void turn_away(struct listener *l)
{
	int fd;

	log_warn_limited("API client sent away: no file descriptors left");
	fd_close(&l->spare_fd);
	fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0 && errno != EAGAIN)
		rest(l);
	fd_close(&fd);
	take_spare(l);
}

static void listener_ready(struct loop_watch *w, uint32_t events)
{
	struct listener *l = container_of(w, struct listener, watch);
	unsigned i;

	(void)events;
	for (i = 0; i < ACCEPTS_AT_ONCE; i++) {
		CLEAN_FD int fd = accept4(l->fd, NULL, NULL,
					  SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE))
			turn_away(l);
		else if (fd < 0 && (errno == ENOMEM || errno == ENOBUFS))
			rest(l);
		if (fd < 0 || !l->accepted(l, &fd))
			return;
	}
}

/* The socket listens: clients may come. */
static int start(struct listener *l, struct err *e)
{
	l->watch.ready = listener_ready;
	l->timer.fire = timer_fire;
	l->spare_fd = -1;
	take_spare(l);
	return loop_add(l->loop, &l->watch, l->fd, EPOLLIN, e);
}

int listener_open(struct listener *l, const char *path, struct err *e)
{
	int rc;

	l->watch.fd = -1;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return err_errno(e, "can't make the API socket");
	rc = socket_file_listen(&l->file, l->fd, path, BACKLOG, e);
	return rc ? rc : start(l, e);
}

int listener_adopt(struct listener *l, int fd, struct err *e)
{
	int rc = fd_check_listener(fd, "for the API", e);

	l->watch.fd = -1;
	if (rc)
		return rc;
	l->fd = fd;
	return start(l, e);
}

void listener_close(struct listener *l)
{
	loop_delete(l->loop, &l->watch);
	loop_disarm(l->loop, &l->timer);
	fd_close(&l->fd);
	fd_close(&l->spare_fd);
	socket_file_remove(&l->file);
}
