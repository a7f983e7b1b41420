/*
 * A connection alternates: it reads until a request is whole, answers it, and
 * reads again once the answer is written. So neither buffer grows beyond one
 * request and one answer, whatever a client does.
 *
 * After an error in the HTTP itself nobody knows where the next request would
 * begin. The answer is sent, our side is shut down, and what the client still
 * sends is thrown away until it closes: closing at once could take the answer
 * away from a client that is still writing.
 */
#include "api/connection.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"
#include "vmm/base/rights.h"

enum {
	READ_FIRST = 1024,	  /* bytes of a new connection's buffer */
	KEEP_MAX = 65536,	  /* bytes of an idle connection's buffer */
	REQUESTS_AT_ONCE = 32,	  /* then others have their turn */
	DRAIN_MAX = 64 * 1048576, /* bytes thrown away after an error */
};

static struct connection *connection_of(struct loop_watch *w)
{
	return container_of(w, struct connection, watch);
}

void connection_free(struct connection *c)
{
	struct server *s = c->server;
	unsigned i;

	for (i = 0; i < SERVER_CONNECTIONS_MAX; i++)
		if (s->connections[i] == c)
			s->connections[i] = NULL;
	if (s->waiting == c)
		s->waiting = NULL;
	loop_delete(s->loop, &c->watch);
	fd_close(&c->fd);
	rights_close(c->fds);
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
	if (reply.is_later) {
		c->is_waiting = true;
		c->server->waiting = c;
	}
	rc = reply.is_later ? 0 : answer_reply(c, &reply, keep_alive);
	reply_fini(&reply);
	c->is_last = !keep_alive;
	/* So that the next phase has its own time, and silence has none. */
	c->phase = PHASE_SILENT;
	c->due_ns = 0;
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

static bool is_closing(const struct server *s)
{
	if (s->before)
		s->before(s->context);
	return s->is_closing;
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
		rc = is_closing(c->server) ? -ESHUTDOWN : serve_request(c);
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

static ssize_t send_some(struct connection *c)
{
	const char *at = c->out + c->out_at;
	const size_t len = c->out_len - c->out_at;
	ssize_t n;

	if (c->fds[0] >= 0) {
		n = rights_send(c->fd, at, len, c->fds, rights_count(c->fds));
		if (n > 0) {
			rights_close(c->fds);
		}
		return n;
	}
	n = send(c->fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

int connection_flush(struct connection *c)
{
	ssize_t n;

	while (c->out_at < c->out_len) {
		n = send_some(c);
		if (n == -EINTR)
			continue;
		if (n < 0)
			return n == -EAGAIN ? 0 : (int)n;
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
	if (c->is_waiting)
		return PHASE_SILENT;
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
	c->due_ns = clock_now_ns() + s->patience_ns;
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
		rc = connection_flush(c);
		if (rc <= 0) {
			wait_for(c, EPOLLOUT);
			return rc;
		}
		if (c->is_waiting) {
			wait_for(c, 0);
			return 0;
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

	/* Who waits is asked for nothing; this is its end. */
	if (c->is_waiting && events & (EPOLLHUP | EPOLLERR)) {
		connection_free(c);
		return;
	}
	if (c->is_broken && c->out_at == c->out_len)
		rc = drain(c);
	else
		rc = work(c);
	if (rc < 0)
		connection_free(c);
	else
		note_phase(c);
}

void connection_answer(struct connection *c, const struct reply *reply,
		       int fds[RIGHTS_MAX])
{
	unsigned i;

	c->is_waiting = false;
	if (answer_reply(c, reply, !c->is_last)) {
		connection_free(c);
		return;
	}
	for (i = 0; i < RIGHTS_MAX; i++)
		c->fds[i] = fd_steal(&fds[i]);
	if (work(c) < 0)
		connection_free(c);
	else
		note_phase(c);
}

void connection_expire(struct connection *c)
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

int connection_new(struct connection **place, struct server *s, int *fd)
{
	struct connection *c = calloc(1, sizeof(*c));
	struct err e;
	unsigned i;

	if (!c)
		return -ENOMEM;
	c->server = s;
	c->fd = fd_steal(fd);
	c->turn = ++s->turn;
	c->events = EPOLLIN;
	for (i = 0; i < RIGHTS_MAX; i++)
		c->fds[i] = -1;
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
