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
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/connection.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

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
		if (*at != s->waiting &&
		    (*silent == s->waiting || (*at)->turn < (*silent)->turn))
			silent = at;
	}
	log_info("API client: %d connections are open, closing the one that "
		 "was silent longest",
		 SERVER_CONNECTIONS_MAX);
	connection_free(*silent);
	return silent;
}

static bool client_accepted(struct listener *l, int *fd)
{
	struct server *s = container_of(l, struct server, listener);

	return connection_new(take_place(s), s, fd) == 0;
}

/* Who asked may have gone; then nobody wants it. */
static void fork_ended(void *context, json_t *json, int fds[RIGHTS_MAX],
		       const struct err *e)
{
	struct server *s = context;
	struct reply reply = {.status = json ? 200 : 204,
			      .json = json_incref(json)};

	if (e) {
		reply_fault(&reply, e->text);
		log_info("PUT /snapshot/fork: 400: %s", e->text);
	}
	if (s->waiting)
		connection_answer(s->waiting, &reply, fds);
	reply_fini(&reply);
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
	s->listener.loop = loop;
	s->listener.accepted = client_accepted;
	s->is_open = true;
	controller->forked = fork_ended;
	controller->forked_context = s;
}

int server_open(struct server *s, struct loop *loop,
		struct controller *controller, const char *path,
		uint64_t payload_max, struct err *e)
{
	server_init(s, loop, controller, payload_max);
	return listener_open(&s->listener, path, e);
}

int server_adopt(struct server *s, struct loop *loop,
		 struct controller *controller, int fd, uint64_t payload_max,
		 struct err *e)
{
	server_init(s, loop, controller, payload_max);
	return listener_adopt(&s->listener, fd, e);
}

void server_close(struct server *s)
{
	unsigned i;

	if (!s->is_open)
		return;
	s->is_open = false;
	/* Who is answered now, and sent more ahead, has nobody to serve it. */
	s->is_closing = true;
	snapshot_fork_cancel(s->controller);
	loop_disarm(s->loop, &s->timer);
	for (i = 0; i < SERVER_CONNECTIONS_MAX; i++) {
		if (!s->connections[i])
			continue;
		(void)connection_flush(s->connections[i]);
		connection_free(s->connections[i]);
	}
	listener_close(&s->listener);
}
