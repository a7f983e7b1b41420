/*
 * A client may send anything at any pace. What it can take of us is bounded:
 * its head in bytes and time, two lanes, one request at a time, and a place
 * among so many.
 */
#include "api/ctl/serve/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/ctl/serve/head.h"
#include "api/ctl/serve/page.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"

enum { SECOND_NS = 1000000000, MS_NS = 1000000 };

/* For a head from its first byte, between requests, and at the end. */
static const uint64_t head_ns = 10ull * SECOND_NS, idle_ns = 60ull * SECOND_NS,
		      close_ns = 5ull * SECOND_NS;

static void arm(struct client *c, uint64_t ns)
{
	loop_arm(c->front->loop, &c->timer, clock_now_ns() + ns);
}

/* Who is still to take what there is for it may be slow, and has that long
 * for each part. */
static void arm_end(struct client *c)
{
	arm(c, c->stage == CLIENT_HEAD || c->out.len || c->rest ? idle_ns
								: close_ns);
}

void client_watch(struct client *c, struct loop_watch *w, int fd,
		  uint32_t events)
{
	if (!events)
		loop_delete(c->front->loop, w);
	else if (w->fd >= 0)
		loop_change(c->front->loop, w, events);
	else if (loop_add(c->front->loop, w, fd, events, NULL))
		client_break(c);
}

static void client_free(struct client *c)
{
	struct client **at = &c->front->clients;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->front->client_count--;
	if (c->function)
		function_forget(c->function, &c->waiter);
	c->calls->end(c, "its client is gone");
	loop_disarm(c->front->loop, &c->timer);
	loop_delete(c->front->loop, &c->watch);
	fd_close(&c->fd);
	free(c->rest);
	lane_fini(&c->in);
	lane_fini(&c->out);
	lane_fini(&c->to_guest);
	lane_fini(&c->from_guest);
	free(c);
}

void client_break(struct client *c)
{
	if (c->status && c->stage != CLIENT_CLOSING &&
	    c->stage != CLIENT_DEAD) {
		/* While it is known whose the microVM is. */
		c->calls->end(c, "its client is gone");
		client_answered(c);
	}
	c->stage = CLIENT_DEAD;
}

/* ---- a request's end ---------------------------------------------------- */

static void log_request(struct client *c)
{
	const struct message *m = &c->request;
	const bool is_known = m->stage != MESSAGE_HEAD;
	const struct front_entry entry = {
		.peer = c->peer,
		.method = is_known ? http_method_str(m->parser.method) : "-",
		.target = is_known ? m->target : NULL,
		.referer = is_known ? message_find(m, "Referer") : NULL,
		.agent = is_known ? message_find(m, "User-Agent") : NULL,
		.minor = m->parser.http_minor & 1,
		.status = c->status,
		.body_bytes = c->answer.body_bytes,
	};

	front_log(c->front, &entry);
}

void client_answered(struct client *c)
{
	struct function *f = c->function;

	log_request(c);
	if (f) {
		f->by_class[c->status / 100 < 6 ? c->status / 100 : 5]++;
		histogram_add(&f->whole, clock_now_ns() - c->begun_ns);
	}
	c->function = NULL;
	c->is_kept &= c->request.stage == MESSAGE_DONE && c->status != 101;
	c->status = 0;
	if (c->stage == CLIENT_DEAD)
		return;
	if (c->is_kept) {
		message_init(&c->request, HTTP_REQUEST);
		c->stage = CLIENT_HEAD;
	} else {
		c->stage = CLIENT_CLOSING;
	}
	arm_end(c);
}

void client_answer(struct client *c, int status, unsigned retry_s,
		   const char *type, const char *text)
{
	const size_t len = strlen(text);
	const bool has_body = c->request.stage == MESSAGE_HEAD ||
			      c->request.parser.method != HTTP_HEAD;

	/* A body that nobody reads would be taken for the next request. */
	if (c->request.stage == MESSAGE_JUDGED && !c->request.is_chunked &&
	    !c->request.has_length) {
		message_open(&c->request, NULL, false);
		(void)message_feed(&c->request, "\n", 1, NULL);
		lane_take(&c->in, c->in.len ? 1 : 0);
	}
	c->is_kept = c->request.stage == MESSAGE_DONE &&
		     c->request.is_kept_alive && !c->front->is_draining;
	c->status = status;
	c->answer.body_bytes = has_body ? len : 0;
	if (has_body && len > LANE_SIZE / 4) {
		c->rest = strdup(text);
		c->rest_at = 0;
		c->rest_len = len;
	}
	if (!head_put_own(&c->out, status, type, len, retry_s, c->is_kept) ||
	    (has_body && len > LANE_SIZE / 4 && !c->rest) ||
	    (has_body && !c->rest && !lane_put(&c->out, text, len)))
		client_break(c);
	else
		client_answered(c);
}

/* ---- its begin ---------------------------------------------------------- */

static void granted(struct waiter *w, struct instance *i)
{
	struct client *c = container_of(w, struct client, waiter);

	c->instance = i;
	c->calls = c->function->plan.is_stdio ? c->front->stdio
					      : c->front->calls;
	arm(c, c->function->plan.options.timeout_ms * MS_NS);
	c->calls->begin(c);
	client_go_on(c);
}

static void lost(struct waiter *w)
{
	struct client *c = container_of(w, struct client, waiter);

	c->instance = NULL;
	c->calls->fail(c, 502, "the function's microVM ended");
	client_go_on(c);
}

/* Takes text. */
static void answer_text(struct client *c, const char *type, char *text)
{
	if (text)
		client_answer(c, 200, 0, type, text);
	else
		client_answer(c, 503, 1, "text/plain", "no memory\n");
	free(text);
}

static void begin_request(struct client *c)
{
	struct function *f = front_find(c->front, c->request.target, &c->path);

	c->begun_ns = clock_now_ns();
	if (!f && !strcmp(c->request.target, "/metrics")) {
		answer_text(c, "text/plain; version=0.0.4",
			    front_metrics(c->front));
		return;
	}
	if (!f && !strcmp(c->request.target, "/")) {
		answer_text(c, "text/html; charset=utf-8", page_of(c->front));
		return;
	}
	if (!f) {
		client_answer(c, 404, 0, "text/plain",
			      "there is no function of that name\n");
		return;
	}
	c->function = f;
	c->waiter = (struct waiter){.granted = granted, .lost = lost};
	c->stage = CLIENT_WAITING;
	arm(c, f->plan.options.wait_ms * MS_NS);
	if (function_ask(f, &c->waiter))
		client_answer(c, 429, 1, "text/plain",
			      "too many wait for this function\n");
}

static bool feed_head(struct client *c)
{
	const bool had_begun = c->request.has_begun;
	struct err e = {0};
	ssize_t n;

	/* An answer of ours has to have room. */
	if (c->rest || c->request.stage != MESSAGE_HEAD || !c->in.len ||
	    c->out.len > LANE_SIZE / 2)
		return false;
	n = message_feed(&c->request, c->in.bytes + c->in.at, c->in.len, &e);
	if (n < 0) {
		c->front->bad_count++;
		c->answer.body_bytes = 0;
		client_answer(c, c->request.status, 0, "text/plain",
			      "that is no HTTP request\n");
		return true;
	}
	lane_take(&c->in, (size_t)n);
	if (c->request.stage == MESSAGE_JUDGED)
		begin_request(c);
	else if (!had_begun && c->request.has_begun)
		arm(c, head_ns);
	return n > 0;
}

bool client_take_body(struct client *c)
{
	struct err e = {0};
	ssize_t n;

	if (c->request.stage != MESSAGE_BODY)
		return false;
	n = message_feed(&c->request, c->in.bytes + c->in.at,
			 message_may_feed(&c->in, &c->to_guest), &e);
	if (n >= 0) {
		lane_take(&c->in, (size_t)n);
		if (!n && c->is_eof && !c->in.len)
			c->calls->fail(c, 400,
				       "the request ended in the middle");
		return n > 0;
	}
	c->front->bad_count++;
	c->calls->fail(c, 400, "the request's body is no HTTP");
	return true;
}

/* ---- going on ----------------------------------------------------------- */

static void timer_fire(struct loop_timer *t)
{
	struct client *c = container_of(t, struct client, timer);

	switch (c->stage) {
	case CLIENT_HEAD:
		if (c->request.has_begun || c->in.len)
			client_answer(c, 408, 0, "text/plain",
				      "the request did not come in time\n");
		else
			client_break(c);
		break;
	case CLIENT_WAITING:
		function_forget(c->function, &c->waiter);
		client_answer(c, 503, 1, "text/plain",
			      "no microVM of this function got free in time\n");
		break;
	case CLIENT_CALLING:
	case CLIENT_TUNNEL:
		c->calls->fail(c, 504, "the function did not answer in time\n");
		break;
	default:
		client_break(c);
	}
	client_go_on(c);
}

/* Whether more of it is wanted now. */
static bool wants(const struct client *c)
{
	return !c->is_eof && lane_room(&c->in) && c->stage != CLIENT_DEAD;
}

static void read_client(struct client *c)
{
	ssize_t n;

	if (!wants(c))
		return;
	n = lane_read(&c->in, c->fd);
	if (n == 0)
		c->is_eof = true;
	else if (n < 0 && n != -EAGAIN)
		client_break(c);
	/* What it still says is of no interest. */
	if (c->stage == CLIENT_CLOSING)
		lane_take(&c->in, c->in.len);
}

/* So that what is on its way to it is not lost, it closes first. */
static void end_writing(struct client *c)
{
	if (c->stage == CLIENT_HEAD && c->is_eof && !c->in.len && !c->out.len &&
	    !c->rest)
		client_break(c);
	if (c->stage != CLIENT_CLOSING || c->out.len || c->rest)
		return;
	if (!c->is_shut)
		(void)shutdown(c->fd, SHUT_WR);
	c->is_shut = true;
	if (c->is_eof)
		client_break(c);
}

/* An answer of ours that is longer than what is on its way. */
static bool feed_rest(struct client *c)
{
	const size_t left = c->rest_len - c->rest_at, room = lane_room(&c->out),
		     n = left < room ? left : room;

	if (!c->rest || !n || !lane_put(&c->out, c->rest + c->rest_at, n))
		return false;
	c->rest_at += n;
	if (c->rest_at == c->rest_len) {
		free(c->rest);
		c->rest = NULL;
	}
	return true;
}

static bool write_client(struct client *c)
{
	const size_t len = c->out.len;
	const int rc = len ? lane_write(&c->out, c->fd) : 0;

	if (rc && rc != -EAGAIN)
		client_break(c);
	else if (c->out.len != len &&
		 (c->stage == CLIENT_CLOSING ||
		  (c->stage == CLIENT_HEAD && !c->request.has_begun)))
		arm_end(c);
	return c->out.len != len;
}

void client_go_on(struct client *c)
{
	bool moved;

	if (c->is_inside)
		return;
	c->is_inside = true;
	do {
		moved = feed_rest(c);
		moved |= c->stage == CLIENT_HEAD && feed_head(c);
		if (c->stage == CLIENT_CALLING || c->stage == CLIENT_TUNNEL)
			moved |= c->calls->move(c);
		moved |= write_client(c);
	} while (moved && c->stage != CLIENT_DEAD);
	end_writing(c);
	c->is_inside = false;
	if (c->stage != CLIENT_DEAD) {
		c->calls->watch(c);
		client_watch(c, &c->watch, c->fd,
			     (wants(c) ? (uint32_t)EPOLLIN : 0) |
				     (c->out.len ? (uint32_t)EPOLLOUT : 0));
	}
	if (c->stage == CLIENT_DEAD)
		client_free(c);
}

static void client_ready(struct loop_watch *w, uint32_t events)
{
	struct client *c = container_of(w, struct client, watch);

	(void)events;
	read_client(c);
	client_go_on(c);
}

/* ---- begin and end ------------------------------------------------------ */

void client_new(struct front *f, int fd, const char *peer)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c || f->client_count >= FRONT_CLIENTS_MAX) {
		free(c);
		close(fd);
		return;
	}
	c->front = f;
	c->calls = f->calls;
	c->fd = fd;
	snprintf(c->peer, sizeof(c->peer), "%s", peer);
	c->watch = (struct loop_watch){.fd = -1, .ready = client_ready};
	c->guest.fd = c->guest_fd = -1;
	c->timer.fire = timer_fire;
	message_init(&c->request, HTTP_REQUEST);
	c->next = f->clients;
	f->clients = c;
	f->client_count++;
	f->accepted_count++;
	arm(c, idle_ns);
	client_go_on(c);
}

bool client_has(const struct front *f, const struct function *function)
{
	const struct client *c;

	for (c = f->clients; c; c = c->next)
		if (c->function == function)
			return true;
	return false;
}

void client_drain(struct front *f)
{
	struct client *c, *next;

	f->is_draining = true;
	for (c = f->clients; c; c = next) {
		next = c->next;
		if (c->stage != CLIENT_HEAD || c->request.has_begun ||
		    c->in.len || c->out.len || c->rest)
			continue;
		client_break(c);
		client_go_on(c);
	}
}

void client_free_all(struct front *f)
{
	struct client *c, *next;

	for (c = f->clients; c; c = next) {
		next = c->next;
		client_free(c);
	}
}
