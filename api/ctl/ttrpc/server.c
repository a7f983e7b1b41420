#include "api/ctl/ttrpc/server.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <ttrpc.pb-c.h>

#include "api/ctl/ttrpc/wire.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"

enum { TURN = 64 };

struct ttrpc_connection {
	struct ttrpc_connection *next;
	struct ttrpc_server *server;
	struct loop_watch watch;
	struct wire wire;
	struct ttrpc_call *calls; /* owned; that wait */
	unsigned count;
	bool is_serving; /* closing waits until the turn is over */
	bool is_broken;
};

/* ---- calls -------------------------------------------------------------- */

static void free_call(struct ttrpc_call *c)
{
	struct ttrpc_connection *n = c->connection;

	if (n) {
		struct ttrpc_call **at = &n->calls;

		while (*at != c)
			at = &(*at)->next;
		*at = c->next;
		n->count--;
	}
	arena_fini(&c->arena);
	free(c);
}

static struct ttrpc_call *make_call(struct ttrpc_connection *n, uint32_t stream)
{
	struct ttrpc_call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	arena_init(&c->arena, TTRPC_MEMORY);
	c->connection = n;
	c->stream = stream;
	c->next = n->calls;
	n->calls = c;
	n->count++;
	return c;
}

/* ---- connections -------------------------------------------------------- */

/* Of one that is in no list any more. */
static void free_connection(struct ttrpc_connection *n)
{
	(void)wire_flush(&n->wire);
	n->server->count--;
	loop_delete(n->server->loop, &n->watch);
	while (n->calls) {
		struct ttrpc_call *c = n->calls;

		n->calls = c->next;
		c->connection = NULL;
		if (!c->gone)
			continue;
		c->gone(c);
		free_call(c);
	}
	wire_fini(&n->wire);
	free(n);
}

static void close_connection(struct ttrpc_connection *n)
{
	struct ttrpc_connection **at = &n->server->connections;

	n->is_broken = true;
	if (n->is_serving)
		return;
	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	free_connection(n);
}

/* Sends, and watches for what there is to wait for. */
static void settle(struct ttrpc_connection *n)
{
	int rc = n->is_broken ? -EPIPE : wire_flush(&n->wire);

	if (rc && rc != -EAGAIN) {
		close_connection(n);
		return;
	}
	/* Who reads no answers gets no further questions in. */
	loop_change(n->server->loop, &n->watch, rc ? EPOLLOUT : EPOLLIN);
}

static void send_response(struct ttrpc_call *c, Ttrpc__Response *r)
{
	struct ttrpc_connection *n = c->connection;
	const size_t len = ttrpc__response__get_packed_size(r);
	struct wire_frame f = {.stream = c->stream, .type = WIRE_RESPONSE};
	uint8_t *bytes = malloc(len + 1);

	if (bytes) {
		f.bytes = bytes;
		f.len = ttrpc__response__pack(r, bytes);
	}
	if (n && (!bytes || wire_put(&n->wire, &f)))
		n->is_broken = true;
	free(bytes);
	free_call(c);
	if (n && !n->is_serving)
		settle(n);
}

void ttrpc_answer(struct ttrpc_call *c, const ProtobufCMessage *message)
{
	Ttrpc__Response r = TTRPC__RESPONSE__INIT;
	const size_t len = protobuf_c_message_get_packed_size(message);
	uint8_t *bytes = malloc(len + 1);

	if (!bytes || len > WIRE_DATA_MAX / 2) {
		free(bytes);
		ttrpc_refuse(c, TTRPC_RESOURCE_EXHAUSTED,
			     "the answer is too long");
		return;
	}
	r.payload.data = bytes;
	r.payload.len = protobuf_c_message_pack(message, bytes);
	send_response(c, &r);
	free(bytes);
}

void ttrpc_refuse(struct ttrpc_call *c, enum ttrpc_code code, const char *fmt,
		  ...)
{
	Ttrpc__Response r = TTRPC__RESPONSE__INIT;
	Ttrpc__Status status = TTRPC__STATUS__INIT;
	char text[600];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	status.code = (int)code;
	status.message = text;
	r.status = &status;
	send_response(c, &r);
}

void ttrpc_refuse_err(struct ttrpc_call *c, const struct err *e)
{
	enum ttrpc_code code = TTRPC_UNKNOWN;

	if (e->code == -ENOTSUP)
		code = TTRPC_UNIMPLEMENTED;
	else if (e->code == -EINVAL)
		code = TTRPC_INVALID_ARGUMENT;
	ttrpc_refuse(c, code, "%s", e->text);
}

/* ---- requests ----------------------------------------------------------- */

/* What breaks the protocol is an error; what we don't know is refused. */
static int take_frame(struct ttrpc_connection *n, const struct wire_frame *f)
{
	const Ttrpc__Request *r;
	struct ttrpc_call *c;

	/* Clients have odd streams, and no unary call has data behind it. */
	if (f->type != WIRE_REQUEST || !(f->stream & 1))
		return -EPROTO;
	c = make_call(n, f->stream);
	if (!c)
		return -ENOMEM;
	r = ttrpc__request__unpack(&c->arena.allocator, f->len, f->bytes);
	if (!r) {
		free_call(c);
		return -EPROTO;
	}
	c->service = r->service;
	c->method = r->method;
	c->payload = r->payload.data;
	c->len = r->payload.len;
	c->timeout_ns = r->timeout_nano > 0 ? (uint64_t)r->timeout_nano : 0;
	if (f->flags)
		ttrpc_refuse(c, TTRPC_UNIMPLEMENTED,
			     "%.100s/%.100s is no stream here", c->service,
			     c->method);
	else if (n->count > TTRPC_CALLS)
		ttrpc_refuse(c, TTRPC_RESOURCE_EXHAUSTED,
			     "%d calls wait already", TTRPC_CALLS);
	else
		n->server->serve(n->server, c);
	return 0;
}

static void connection_ready(struct loop_watch *w, uint32_t events)
{
	struct ttrpc_connection *n =
		container_of(w, struct ttrpc_connection, watch);
	struct wire_frame f;
	int rc = 0;

	(void)events;
	n->is_serving = true;
	for (unsigned i = 0; i < TURN && !rc && !n->is_broken; i++) {
		rc = wire_next(&n->wire, &f);
		if (!rc)
			rc = take_frame(n, &f);
	}
	n->is_serving = false;
	if (rc && rc != -EAGAIN)
		n->is_broken = true;
	/* What is in memory already, epoll does not tell of. */
	if (!rc && !n->is_broken && wire_has_more(&n->wire))
		loop_change(n->server->loop, w, EPOLLIN | EPOLLOUT);
	else
		settle(n);
}

int ttrpc_server_adopt(struct ttrpc_server *s, int fd, struct err *e)
{
	struct ttrpc_connection *n = calloc(1, sizeof(*n));
	int rc;

	if (!n || s->count >= TTRPC_CONNECTIONS) {
		free(n);
		fd_close(&fd);
		return err_set(e, -EMFILE, "%u connections are all there are",
			       s->count);
	}
	n->server = s;
	n->watch = (struct loop_watch){.fd = -1, .ready = connection_ready};
	wire_init(&n->wire, fd);
	rc = loop_add(s->loop, &n->watch, fd, EPOLLIN, e);
	if (rc) {
		wire_fini(&n->wire);
		free(n);
		return rc;
	}
	n->next = s->connections;
	s->connections = n;
	s->count++;
	return 0;
}

static void listen_ready(struct loop_watch *w, uint32_t events)
{
	struct ttrpc_server *s = container_of(w, struct ttrpc_server, listen);
	int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd >= 0)
		(void)ttrpc_server_adopt(s, fd, NULL);
}

int ttrpc_server_start(struct ttrpc_server *s, struct loop *loop, int listen_fd,
		       struct err *e)
{
	s->loop = loop;
	s->listen = (struct loop_watch){.fd = -1, .ready = listen_ready};
	return loop_add(loop, &s->listen, listen_fd, EPOLLIN, e);
}

void ttrpc_server_stop(struct ttrpc_server *s)
{
	if (!s->loop)
		return;
	if (s->listen.ready)
		loop_delete(s->loop, &s->listen);
	while (s->connections) {
		struct ttrpc_connection *n = s->connections;

		s->connections = n->next;
		free_connection(n);
	}
}
