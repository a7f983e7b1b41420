/*
 * A connection to the server in the microVM is for one request: what it answers
 * can't be taken for another's, and what a client has sent can't become a
 * second request there, whatever either of them makes of HTTP.
 */
#include "api/ctl/serve/call.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/ctl/serve/head.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"

enum { DIALS_MAX = 3 };

static void call_end(struct client *c, const char *why)
{
	struct instance *i = c->instance;

	loop_delete(c->front->loop, &c->guest);
	fd_close(&c->guest_fd);
	c->to_guest.len = c->to_guest.at = 0;
	c->from_guest.len = c->from_guest.at = 0;
	c->is_open = c->is_guest_eof = c->is_guest_shut = false;
	c->instance = NULL;
	if (i)
		function_release(c->function, i, why);
}

static void call_fail(struct client *c, int status, const char *why)
{
	const bool has_begun = c->status != 0;

	call_end(c, why);
	if (has_begun)
		client_break(c);
	else
		client_answer(c, status, 0, "text/plain", why);
}

/* ---- to the guest ------------------------------------------------------- */

static void dial(struct client *c)
{
	struct err e = {0};

	c->dialed++;
	c->guest_fd = dial_begin(&c->dial, c->instance->socket,
				 c->instance->port, &e);
	if (c->guest_fd < 0 ||
	    loop_add(c->front->loop, &c->guest, c->guest_fd, EPOLLIN, &e))
		call_fail(c, 502, "the function's microVM can't be reached");
}

static void call_read(struct client *c);

static void guest_ready(struct loop_watch *w, uint32_t events)
{
	struct client *c = container_of(w, struct client, guest);

	(void)events;
	call_read(c);
	client_go_on(c);
}

static void call_begin(struct client *c)
{
	c->stage = CLIENT_CALLING;
	c->guest = (struct loop_watch){.fd = -1, .ready = guest_ready};
	c->guest_fd = -1;
	c->dialed = 0;
	message_init(&c->answer, HTTP_RESPONSE);
	c->answer.has_no_body = c->request.parser.method == HTTP_HEAD;
	histogram_add(&c->function->wait, clock_now_ns() - c->begun_ns);
	dial(c);
}

/* The request's head, as soon as the agent has agreed. */
static void open_call(struct client *c)
{
	const int rc = dial_go_on(&c->dial, c->guest_fd);
	char path[MESSAGE_HEAD_MAX] = "/";

	if (rc == -EAGAIN)
		return;
	if (rc && c->dialed < DIALS_MAX) {
		loop_delete(c->front->loop, &c->guest);
		fd_close(&c->guest_fd);
		dial(c);
		return;
	}
	if (rc) {
		call_fail(c, 502, "the function takes no connection");
		return;
	}
	c->is_open = true;
	strncat(path, *c->path == '/' ? c->path + 1 : c->path,
		sizeof(path) - 2);
	message_open(&c->request, &c->to_guest, c->request.is_chunked);
	if (!head_put_request(&c->to_guest, &c->request, path, c->peer))
		call_fail(c, 431, "the request's head is too long");
	else if (c->request.expects)
		(void)lane_put(&c->out, "HTTP/1.1 100 Continue\r\n\r\n", 25);
}

static void call_read(struct client *c)
{
	ssize_t n;

	if (c->guest_fd < 0)
		return;
	if (!c->is_open) {
		open_call(c);
		return;
	}
	n = c->is_guest_eof ? -EAGAIN : lane_read(&c->from_guest, c->guest_fd);
	if (!n || (n < 0 && n != -EAGAIN))
		c->is_guest_eof = true;
}

/* ---- the answer --------------------------------------------------------- */

/* RFC 9110, 15.2: of those we pass on the one that ends HTTP. */
static bool begin_answer(struct client *c)
{
	struct message *m = &c->answer;
	const int status = m->parser.status_code;
	struct head_answer how = {.is_kept_alive = c->request.is_kept_alive &&
						   !c->front->is_draining};

	if (status < 200 && status != 101) {
		message_open(m, NULL, false);
		return true;
	}
	if (status == 101 && !c->request.has_upgrade) {
		call_fail(c, 502, "the function changed the protocol");
		return true;
	}
	if (!message_is_bodiless(m) && !m->has_length) {
		how.is_chunked = c->request.parser.http_minor;
		how.is_kept_alive &= how.is_chunked;
	}
	if (!head_put_answer(&c->out, m, &how))
		return false;
	c->status = status;
	c->is_kept = how.is_kept_alive;
	histogram_add(&c->function->first_byte, clock_now_ns() - c->begun_ns);
	message_open(m, &c->out, how.is_chunked);
	if (status == 101)
		c->stage = CLIENT_TUNNEL;
	return true;
}

static void end_answer(struct client *c)
{
	/* One that says less than everything is not the last. */
	if (c->answer.parser.status_code < 200) {
		const bool has_no_body = c->answer.has_no_body;

		message_init(&c->answer, HTTP_RESPONSE);
		c->answer.has_no_body = has_no_body;
		return;
	}
	call_end(c, NULL);
	client_answered(c);
}

static bool feed_answer(struct client *c)
{
	struct message *m = &c->answer;
	struct err e = {0};
	ssize_t n = 0;

	if (m->stage == MESSAGE_JUDGED)
		return begin_answer(c);
	if (m->stage == MESSAGE_DONE) {
		end_answer(c);
		return true;
	}
	n = message_feed(m, c->from_guest.bytes + c->from_guest.at,
			 message_may_feed(&c->from_guest, &c->out), &e);
	if (n > 0)
		lane_take(&c->from_guest, (size_t)n);
	if (n >= 0 &&
	    (n || m->stage == MESSAGE_JUDGED || m->stage == MESSAGE_DONE))
		return true;
	if (!n && (c->from_guest.len || !c->is_guest_eof ||
		   lane_room(&c->out) < MESSAGE_FRAMING_MAX))
		return false;
	if (n < 0 || message_end(m, &e))
		call_fail(c, 502, "the function's answer is no HTTP");
	return true;
}

/* ---- both ways ---------------------------------------------------------- */

/* An end that hangs up is told to the other once all has gone there. */
static bool move_tunnel(struct client *c)
{
	bool moved = lane_pass(&c->in, &c->to_guest);

	moved |= lane_pass(&c->from_guest, &c->out);
	if (c->is_eof && !c->in.len && !c->to_guest.len && !c->is_guest_shut) {
		c->is_guest_shut = true;
		(void)shutdown(c->guest_fd, SHUT_WR);
	}
	if (c->is_guest_eof && !c->from_guest.len && !c->out.len) {
		call_end(c, NULL);
		c->is_kept = false;
		client_answered(c);
		return true;
	}
	/* Quiet for so long that nobody may be there any more. */
	if (moved)
		loop_arm(c->front->loop, &c->timer,
			 clock_now_ns() + c->function->plan.options.timeout_ms *
						  1000000);
	return moved;
}

static bool call_move(struct client *c)
{
	bool moved;

	if (!c->is_open)
		return false;
	if (c->stage == CLIENT_TUNNEL) {
		moved = move_tunnel(c);
	} else {
		moved = client_take_body(c);
		if (c->stage == CLIENT_CALLING)
			moved |= feed_answer(c);
	}
	/* A server that has answered need not read the rest. */
	if (c->guest_fd >= 0 && c->to_guest.len) {
		const int rc = lane_write(&c->to_guest, c->guest_fd);

		moved |= !c->to_guest.len;
		if (rc && rc != -EAGAIN)
			c->to_guest.len = c->to_guest.at = 0;
	}
	return moved;
}

static void call_watch(struct client *c)
{
	uint32_t events = 0;

	if (c->guest_fd < 0)
		return;
	if (!c->is_guest_eof && lane_room(&c->from_guest) &&
	    (!c->is_open || lane_room(&c->out) > MESSAGE_FRAMING_MAX))
		events |= EPOLLIN;
	if (c->to_guest.len)
		events |= EPOLLOUT;
	client_watch(c, &c->guest, c->guest_fd, events);
}

const struct client_calls call_calls = {
	.begin = call_begin,
	.move = call_move,
	.watch = call_watch,
	.end = call_end,
	.fail = call_fail,
};
