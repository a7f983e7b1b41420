/*
 * The socket. A connection alternates: it reads until a request is whole,
 * answers it, and reads again once the answer is written. So neither buffer
 * grows beyond one request and one answer, whatever a client does.
 *
 * After an error in the HTTP itself nobody knows where the next request would
 * begin. The answer is sent, our side is shut down, and what the client still
 * sends is thrown away until it closes: closing at once could take the answer
 * away from a client that is still writing.
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
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/http.h"
#include "api/routes.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

enum {
	READ_FIRST = 1024,	  /* bytes of a new connection's buffer */
	KEEP_MAX = 65536,	  /* bytes of an idle connection's buffer */
	REQUESTS_AT_ONCE = 32,	  /* then others have their turn */
	DRAIN_MAX = 64 * 1048576, /* bytes thrown away after an error */
};

#define PATIENCE_NS 10000000000ULL

/* What a connection is in, and for how long it may be. */
enum phase {
	PHASE_SILENT,	/* between requests: as long as it likes */
	PHASE_REQUEST,	/* a request has begun */
	PHASE_ANSWER,	/* an answer waits for the client to read */
	PHASE_DRAINING, /* after an error */
};

struct connection {
	struct loop_watch watch;
	struct server *server; /* borrowed */
	int fd;		       /* owned */
	uint64_t turn;	       /* of the last read */
	uint32_t events;       /* what the watch waits for */
	enum phase phase;
	uint64_t due_ns; /* end of the phase, CLOCK_MONOTONIC; 0 for never */
	struct http_parser parser;
	char *in; /* owned; in_len of in_size bytes are filled */
	size_t in_len;
	size_t in_size;
	char *out; /* owned; [out_at, out_len) is to be written */
	size_t out_at;
	size_t out_len;
	size_t out_size;
	size_t drained; /* bytes */
	bool is_last;	/* close once the answer is written */
	bool is_broken; /* no requests any more: drain */
	bool is_ended;	/* the client sends no more */
};

static struct connection *connection_of(struct loop_watch *w)
{
	return (void *)((char *)w - offsetof(struct connection, watch));
}

static void connection_free(struct connection *c)
{
	struct server *s = c->server;
	unsigned i;

	for (i = 0; i < SERVER_CONNECTIONS_MAX; i++)
		if (s->connections[i] == c)
			s->connections[i] = NULL;
	loop_delete(s->loop, &c->watch);
	fd_close(&c->fd);
	free(c->in);
	free(c->out);
	free(c);
}

/* Makes room for n more bytes behind what a buffer holds. */
static int reserve(char **buf, size_t *size, size_t len, size_t n)
{
	size_t want = len + n;
	char *larger;

	if (want <= *size)
		return 0;
	if (want < 2 * *size)
		want = 2 * *size;
	larger = realloc(*buf, want);
	if (!larger)
		return -ENOMEM;
	*buf = larger;
	*size = want;
	return 0;
}

static int out_add(struct connection *c, const char *bytes, size_t n)
{
	int rc = reserve(&c->out, &c->out_size, c->out_len, n);

	if (rc)
		return rc;
	memcpy(c->out + c->out_len, bytes, n);
	c->out_len += n;
	return 0;
}

/* head->body_len bytes of body follow the head. */
static int answer(struct connection *c, const struct http_head *head,
		  const char *body)
{
	char text[HTTP_RESPONSE_HEAD_MAX];
	const size_t n = http_response_head(text, head);
	int rc = out_add(c, text, n);

	return rc || !body ? rc : out_add(c, body, head->body_len);
}

static int answer_reply(struct connection *c, const struct reply *reply,
			bool keep_alive)
{
	struct http_head head = {
		.status = reply->status,
		.is_text = reply->is_text,
		.is_deprecated = reply->is_deprecated,
		.keep_alive = keep_alive,
	};
	char *text = NULL;
	int rc;

	if (reply->is_text) {
		head.body_len = json_string_length(reply->json);
		return answer(c, &head, json_string_value(reply->json));
	}
	if (reply->json) {
		text = json_dumps(reply->json, JSON_COMPACT);
		if (!text)
			return -ENOMEM;
		head.body_len = strlen(text);
	}
	rc = answer(c, &head, text);
	free(text);
	return rc;
}

/* Answers the request that the parser holds and makes way for the next. */
static int serve_request(struct connection *c)
{
	const struct http_request *request = &c->parser.request;
	const bool keep_alive = request->keep_alive;
	const size_t used = http_parser_used(&c->parser);
	struct reply reply;
	int rc;

	routes_serve(c->server->controller, request, &reply);
	rc = answer_reply(c, &reply, keep_alive);
	reply_fini(&reply);
	c->is_last = !keep_alive;
	c->phase = PHASE_SILENT; /* so that the next phase has its own time */
	memmove(c->in, c->in + used, c->in_len - used);
	c->in_len -= used;
	http_parser_init(&c->parser, c->server->payload_max);
	if (!c->in_len && c->in_size > KEEP_MAX) {
		free(c->in);
		c->in = NULL;
		c->in_size = 0;
	}
	return rc;
}

/*
 * The wire's own form for a body over the limit, line feed in the string and
 * all: a client compares it byte for byte, its "keep-alive" too.
 */
static int refuse_large(struct connection *c, const struct err *e)
{
	struct http_head head = {.status = 400, .keep_alive = true};
	char body[sizeof(e->text) + 96];

	head.body_len = (size_t)snprintf(
		body, sizeof(body),
		"{ \"error\": \"%s\nAll previous unanswered requests will be "
		"dropped.\" }",
		e->text);
	return answer(c, &head, body);
}

static int refuse_bad(struct connection *c, const struct err *e)
{
	struct reply reply = {0};
	int rc;

	reply_fault(&reply, e->text);
	rc = answer_reply(c, &reply, false);
	reply_fini(&reply);
	return rc;
}

/* Parses what is there. 1: there is an answer to write, 0: read more. */
static int advance(struct connection *c)
{
	struct err e = {0};
	const struct http_head go_on = {.status = 100, .keep_alive = true};
	int rc;

	if (!c->in_len)
		return 0;
	switch (http_parse(&c->parser, c->in, &c->in_len, &e)) {
	case HTTP_DONE:
		rc = serve_request(c);
		break;
	case HTTP_MORE:
		if (!c->parser.wants_continue)
			return 0;
		c->parser.wants_continue = false;
		rc = answer(c, &go_on, NULL);
		break;
	case HTTP_TOO_LARGE:
		c->is_broken = true;
		rc = refuse_large(c, &e);
		break;
	default:
		c->is_broken = true;
		rc = refuse_bad(c, &e);
		break;
	}
	if (c->is_broken)
		log_info("API client: %s", e.text);
	return rc ? rc : 1;
}

/* 1: all is written, 0: the client has to read first. */
static int flush(struct connection *c)
{
	ssize_t n;

	while (c->out_at < c->out_len) {
		n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		c->out_at += (size_t)n;
	}
	c->out_at = c->out_len = 0;
	return 1;
}

/* 1: bytes came, 0: none for now or ever (is_ended). */
static int fill(struct connection *c)
{
	size_t room = http_parser_room(&c->parser), want;
	ssize_t n;

	/* Never more than the request can take, and grown as it comes. */
	want = c->in_len < READ_FIRST / 2 ? READ_FIRST : 2 * c->in_len;
	if (want > room)
		want = room;
	if (want <= c->in_len)
		want = c->in_len + 1;
	if (reserve(&c->in, &c->in_size, c->in_len, want - c->in_len))
		return -ENOMEM;
	do
		n = read(c->fd, c->in + c->in_len, want - c->in_len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -errno;
	c->turn = ++c->server->turn;
	if (!n)
		c->is_ended = true;
	c->in_len += (size_t)n;
	return n > 0;
}

/* Throws away what a client sends after an error. Negative: enough. */
static int drain(struct connection *c)
{
	char rubbish[4096];
	ssize_t n = read(c->fd, rubbish, sizeof(rubbish));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	c->turn = ++c->server->turn;
	c->drained += (size_t)n;
	return n == 0 || c->drained > DRAIN_MAX ? -EPIPE : 0;
}

static void wait_for(struct connection *c, uint32_t events)
{
	if (c->events == events)
		return;
	c->events = events;
	loop_change(c->server->loop, &c->watch, events);
}

static enum phase phase_of(const struct connection *c)
{
	if (c->out_at < c->out_len)
		return PHASE_ANSWER;
	if (c->is_broken)
		return PHASE_DRAINING;
	return c->in_len ? PHASE_REQUEST : PHASE_SILENT;
}

/* Starts the time of a phase that is new. */
static void note_phase(struct connection *c)
{
	struct server *s = c->server;
	const enum phase phase = phase_of(c);

	if (phase == c->phase)
		return;
	c->phase = phase;
	c->due_ns = 0;
	if (phase == PHASE_SILENT)
		return;
	c->due_ns = loop_now_ns() + s->patience_ns;
	if (!s->timer.due_ns)
		loop_arm(s->loop, &s->timer, c->due_ns);
}

/* 1: there is an answer to write, 0: no whole request for now. */
static int next_answer(struct connection *c)
{
	int rc = advance(c);

	while (!rc) {
		if (c->is_ended)
			return -EPIPE;
		rc = fill(c);
		if (!rc && !c->is_ended)
			return 0;
		if (rc > 0)
			rc = advance(c);
	}
	return rc;
}

/*
 * Reads, answers and writes until there is nothing to do for now. Negative:
 * the connection is over.
 */
static int work(struct connection *c)
{
	unsigned served;
	int rc;

	for (served = 0; served < REQUESTS_AT_ONCE; served++) {
		rc = flush(c);
		if (rc <= 0) {
			wait_for(c, EPOLLOUT);
			return rc;
		}
		if (c->is_last || (c->is_ended && !c->in_len))
			return -EPIPE;
		if (c->is_broken)
			break;
		/*
		 * Only what came along with the last request goes on at once. A
		 * client that is as quick as we are would keep the others
		 * waiting; and to ask the loop costs no more than to read.
		 */
		if (served && !c->in_len && !c->is_ended) {
			wait_for(c, EPOLLIN);
			return 0;
		}
		rc = next_answer(c);
		if (!rc)
			wait_for(c, EPOLLIN);
		if (rc <= 0)
			return rc;
	}
	if (c->is_broken)
		shutdown(c->fd, SHUT_WR);
	/* Others first; a writable socket brings us back at once. */
	wait_for(c, c->is_broken ? EPOLLIN : EPOLLOUT);
	return 0;
}

static void connection_ready(struct loop_watch *w, uint32_t events)
{
	struct connection *c = connection_of(w);
	int rc;

	(void)events;
	if (c->is_broken && c->out_at == c->out_len)
		rc = drain(c);
	else
		rc = work(c);
	if (rc < 0)
		connection_free(c);
	else
		note_phase(c);
}

/* Says what went wrong where that is of use, and ends what is ended. */
static void time_is_up(struct connection *c)
{
	struct err e;

	if (c->phase != PHASE_REQUEST) {
		log_info("API client: %s, closing its connection",
			 c->phase == PHASE_ANSWER
				 ? "it does not read its answers"
				 : "it does not close after an error");
		connection_free(c);
		return;
	}
	err_set(&e, -ETIMEDOUT,
		"The request was not complete %" PRIu64
		" ms after its first byte.",
		c->server->patience_ns / 1000000);
	log_info("API client: %s", e.text);
	c->is_broken = true;
	if (refuse_bad(c, &e) || work(c) < 0)
		connection_free(c);
	else
		note_phase(c);
}

static void timer_fire(struct loop_timer *t)
{
	struct server *s = (void *)((char *)t - offsetof(struct server, timer));
	const uint64_t now_ns = loop_now_ns();
	uint64_t next_ns = 0;
	unsigned i;

	for (i = 0; i < SERVER_CONNECTIONS_MAX; i++) {
		struct connection *c = s->connections[i];

		if (c && c->due_ns && c->due_ns <= now_ns)
			time_is_up(c);
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

static int connection_new(struct server *s, int *fd)
{
	struct connection **place = take_place(s);
	struct connection *c = calloc(1, sizeof(*c));
	struct err e;

	if (!c)
		return -ENOMEM;
	c->server = s;
	c->fd = fd_steal(fd);
	c->turn = ++s->turn;
	c->events = EPOLLIN;
	c->watch.fd = -1;
	c->watch.ready = connection_ready;
	http_parser_init(&c->parser, s->payload_max);
	*place = c;
	if (loop_add(s->loop, &c->watch, c->fd, EPOLLIN, &e)) {
		log_warn("API client: %s", e.text);
		connection_free(c);
	}
	return 0;
}

static bool client_accepted(struct listener *l, int *fd)
{
	struct server *s =
		(void *)((char *)l - offsetof(struct server, listener));

	return connection_new(s, fd) == 0;
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
	loop_disarm(s->loop, &s->timer);
	for (i = 0; i < SERVER_CONNECTIONS_MAX; i++) {
		if (!s->connections[i])
			continue;
		(void)flush(s->connections[i]);
		connection_free(s->connections[i]);
	}
	listener_close(&s->listener);
}
