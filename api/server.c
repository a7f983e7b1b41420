/*
 * The socket, and who may be connected to it.
 *
 * A connection may be silent for ever between two requests. A request that has
 * begun, an answer that waits for its reader and the rubbish after an error
 * have a time each (patience_ns), whatever trickles: from the moment the phase
 * begins, not from the last byte. All phases have the same time, so the next
 * one to run out is never earlier than the timer that is armed already: one
 * timer serves all, and a request costs no more than a look at the clock.
 */
#include "api/server.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/connection.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

enum { BACKLOG = 64, ACCEPTS_AT_ONCE = 16 };

#define PATIENCE_NS 10000000000ULL

static void timer_fire(struct loop_timer *t)
{
	struct server *s = container_of(t, struct server, timer);
	const uint64_t now_ns = clock_now_ns();
	uint64_t next_ns = 0;
	unsigned i;

	for (i = 0; i < SERVER_CONNECTIONS_MAX; i++) {
		struct connection *c = s->connections[i];

		if (c && c->due_ns && c->due_ns <= now_ns)
			connection_expire(c);
		c = s->connections[i];
		if (c && c->due_ns && (!next_ns || c->due_ns < next_ns))
			next_ns = c->due_ns;
	}
	if (next_ns)
		loop_arm(s->loop, &s->timer, next_ns);
}

/* A place for a connection; the one that was silent longest may lose its. */
static struct connection **take_place(struct server *s)
{
	struct connection **silent = &s->connections[0];
	unsigned i;

	for (i = 0; i < SERVER_CONNECTIONS_MAX; i++) {
		struct connection **at = &s->connections[i];

		if (!*at)
			return at;
		if ((*at)->turn < (*silent)->turn)
			silent = at;
	}
	log_info("API client: %d connections are open, closing the one that "
		 "was silent longest",
		 SERVER_CONNECTIONS_MAX);
	connection_free(*silent);
	return silent;
}

/*
 * No descriptor is left for a client, and the listener would be ready for ever:
 * take it with the spare one and send it away.
 */
static void turn_away(struct server *s)
{
	log_warn_limited("API client sent away: no file descriptors left");
	fd_close(&s->spare_fd);
	s->spare_fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
	fd_close(&s->spare_fd);
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void listener_ready(struct loop_watch *w, uint32_t events)
{
	struct server *s = container_of(w, struct server, listener);
	unsigned i;

	(void)events;
	for (i = 0; i < ACCEPTS_AT_ONCE; i++) {
		CLEAN_FD int fd = accept4(s->fd, NULL, NULL,
					  SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE))
			turn_away(s);
		if (fd < 0 || connection_new(take_place(s), s, &fd))
			return;
	}
}

static void server_init(struct server *s, struct loop *loop,
			struct controller *controller, uint64_t payload_max)
{
	memset(s, 0, sizeof(*s));
	s->loop = loop;
	s->controller = controller;
	s->payload_max = (size_t)payload_max;
	s->patience_ns = PATIENCE_NS;
	s->timer.fire = timer_fire;
	s->listener.fd = -1;
	s->listener.ready = listener_ready;
	s->is_open = true;
}

/* The socket listens: clients may come. */
static int server_start(struct server *s, struct err *e)
{
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return loop_add(s->loop, &s->listener, s->fd, EPOLLIN, e);
}

int server_open(struct server *s, struct loop *loop,
		struct controller *controller, const char *path,
		uint64_t payload_max, struct err *e)
{
	int rc;

	server_init(s, loop, controller, payload_max);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (s->fd < 0)
		return err_errno(e, "can't make the API socket");
	rc = socket_file_bind(&s->file, s->fd, path, e);
	if (rc)
		return rc;
	if (listen(s->fd, BACKLOG))
		return err_errno(e, "can't listen at %s", path);
	return server_start(s, e);
}

static int socket_option(int fd, int option)
{
	socklen_t len = sizeof(int);
	int value = -1;

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) ? -1 : value;
}

int server_adopt(struct server *s, struct loop *loop,
		 struct controller *controller, int fd, uint64_t payload_max,
		 struct err *e)
{
	int flags = fcntl(fd, F_GETFL);

	server_init(s, loop, controller, payload_max);
	if (flags < 0)
		return err_set(e, -EBADF,
			       "descriptor %d, for the API, is not open", fd);
	if (socket_option(fd, SO_DOMAIN) != AF_UNIX ||
	    socket_option(fd, SO_TYPE) != SOCK_STREAM)
		return err_set(e, -EINVAL,
			       "descriptor %d, for the API, is not a Unix "
			       "stream socket",
			       fd);
	if (socket_option(fd, SO_ACCEPTCONN) != 1)
		return err_set(e, -EINVAL,
			       "descriptor %d, for the API, is a socket that "
			       "does not listen; call listen() first",
			       fd);
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC))
		return err_errno(e, "descriptor %d, for the API", fd);
	s->fd = fd;
	return server_start(s, e);
}

void server_close(struct server *s)
{
	unsigned i;

	if (!s->is_open)
		return;
	s->is_open = false;
	loop_delete(s->loop, &s->listener);
	loop_disarm(s->loop, &s->timer);
	for (i = 0; i < SERVER_CONNECTIONS_MAX; i++) {
		if (!s->connections[i])
			continue;
		(void)connection_flush(s->connections[i]);
		connection_free(s->connections[i]);
	}
	fd_close(&s->fd);
	fd_close(&s->spare_fd);
	socket_file_remove(&s->file);
}
