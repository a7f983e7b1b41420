/*
 * The program is started by the agent's EXEC, in a container that has none of
 * its own, and ends with its connection. Whether it ended well is known last,
 * and an answer's status is said first: so an answer waits for the program's
 * end as long as it fits in a lane and no longer than a moment.
 */
#include "api/ctl/serve/stdio.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "api/ctl/serve/cgi.h"
#include "api/ctl/serve/client.h"
#include "api/ctl/serve/head.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/log.h"
#include "vmm/base/printable.h"

enum {
	HOLD_NS = 1000000000, /* an answer that waits for its end */
	TURNS = 64,
	LINES_MAX = 100, /* of stderr, a request */
	STDOUT = 1,
	STDERR = 2,
};

/* ---- what it says to stderr --------------------------------------------- */

static void log_said(struct client *c)
{
	struct stdio *s = &c->stdio;
	char text[STDIO_LINE_MAX * 2];

	if (s->line_len && s->lines < LINES_MAX) {
		(void)printable_copy(s->line, s->line_len, text, sizeof(text));
		log_warn("%s: %s", c->function->plan.name, text);
	}
	if (s->line_len && s->lines == LINES_MAX)
		log_warn("%s: more is left out of what it says to this request",
			 c->function->plan.name);
	s->lines += s->line_len && s->lines <= LINES_MAX;
	s->line_len = 0;
}

static void hear(struct client *c, const uint8_t *bytes, size_t len)
{
	struct stdio *s = &c->stdio;

	for (; len && s->lines <= LINES_MAX; bytes++, len--) {
		if (*bytes == '\n' || s->line_len == sizeof(s->line))
			log_said(c);
		if (*bytes != '\n')
			s->line[s->line_len++] = (char)*bytes;
	}
}

/* ---- its end ------------------------------------------------------------ */

static void stdio_end(struct client *c, const char *why)
{
	struct instance *i = c->instance;

	if (i)
		log_said(c);
	loop_delete(c->front->loop, &c->guest);
	loop_disarm(c->front->loop, &c->stdio.hold);
	/* Where it still runs it is killed by that. */
	session_fini(&c->stdio.session);
	c->to_guest.len = c->to_guest.at = 0;
	c->from_guest.len = c->from_guest.at = 0;
	c->instance = NULL;
	if (i)
		function_release(c->function, i, why);
}

/* why_vm: what is wrong with the microVM; NULL: nothing. */
static void fail(struct client *c, int status, const char *why,
		 const char *why_vm)
{
	const bool has_begun = c->status != 0;

	stdio_end(c, why_vm);
	if (has_begun)
		client_break(c);
	else
		client_answer(c, status, 0, "text/plain", why);
}

static void stdio_fail(struct client *c, int status, const char *why)
{
	fail(c, status, why, why);
}

static void fail_ended(struct client *c)
{
	char why[80];

	snprintf(why, sizeof(why), "the function ended with status %u\n",
		 c->stdio.code);
	if (c->status)
		log_warn("%s: it ended with status %u in the middle of an "
			 "answer",
			 c->function->plan.name, c->stdio.code);
	fail(c, 502, why, NULL);
}

/* ---- its begin ---------------------------------------------------------- */

static void guest_ready(struct loop_watch *w, uint32_t events)
{
	struct client *c = container_of(w, struct client, guest);

	(void)events;
	c->stdio.turns = TURNS;
	client_go_on(c);
}

static void hold_fire(struct loop_timer *t)
{
	struct client *c = container_of(t, struct client, stdio.hold);

	c->stdio.is_due = true;
	client_go_on(c);
}

static int start(struct client *c, const struct cgi *cgi, struct err *e)
{
	struct session *s = &c->stdio.session;
	const struct session_plan plan = {
		.kind = SESSION_EXEC,
		.argv = (const char *const *)c->function->plan.argv,
		.env = cgi->env,
		.has_stdin = true,
	};
	int rc = session_dial(s, c->instance->socket, e);

	rc = rc ? rc : session_start(s, &plan, e);
	return rc ? rc
		  : loop_add(c->front->loop, &c->guest, s->fd,
			     EPOLLIN | EPOLLOUT, e);
}

static void stdio_begin(struct client *c)
{
	const struct cgi_caller who = {
		.function = c->function->plan.name,
		.path = c->path,
		.peer = c->peer,
	};
	struct cgi cgi;
	struct err e = {0};

	c->stage = CLIENT_CALLING;
	c->guest = (struct loop_watch){.fd = -1, .ready = guest_ready};
	c->stdio = (struct stdio){
		.session.fd = -1,
		.turns = TURNS,
		.hold.fire = hold_fire,
	};
	c->answer.body_bytes = 0;
	histogram_add(&c->function->wait, clock_now_ns() - c->begun_ns);
	if (cgi_make(&cgi, &c->request, &who)) {
		fail(c, 400, "the path is not encoded as it has to be\n", NULL);
		return;
	}
	message_open(&c->request, &c->to_guest, false);
	if (start(c, &cgi, &e))
		stdio_fail(c, 502, "the function's microVM can't be reached\n");
}

/* ---- from the guest ----------------------------------------------------- */

static void started(struct client *c)
{
	c->stdio.is_started = true;
	if (c->request.expects && !c->status)
		(void)lane_put(&c->out, "HTTP/1.1 100 Continue\r\n\r\n", 25);
}

static void failed(struct client *c, const struct session_frame *f)
{
	char why[320];

	snprintf(why, sizeof(why), "it could not be %s: %s",
		 c->stdio.is_started ? "run" : "started", f->text);
	log_warn_limited("%s: %s", c->function->plan.name, why);
	fail(c, 502, why, NULL);
}

static void take_frame(struct client *c)
{
	struct stdio *s = &c->stdio;
	struct session_frame *f = &s->frame;
	const struct session_frame copy = *f;

	if (f->event != SESSION_OUTPUT || f->stream != STDOUT)
		f->len = 0;
	switch (copy.event) {
	case SESSION_STARTED:
		started(c);
		break;
	case SESSION_OUTPUT:
		if (copy.stream == STDERR) {
			hear(c, copy.bytes, copy.len);
			session_used(&s->session, STDERR, copy.len);
		} else if (!s->out_bytes) {
			loop_arm(c->front->loop, &s->hold,
				 clock_now_ns() + HOLD_NS);
		}
		break;
	case SESSION_EXITED:
		s->is_ended = true;
		s->code = copy.code;
		break;
	case SESSION_FAILED:
		failed(c, &copy);
		break;
	default:
		break;
	}
}

/* One frame. Whether there was any. */
static bool read_guest(struct client *c)
{
	struct stdio *s = &c->stdio;
	struct err e = {0};
	int rc;

	if (s->frame.len || s->is_ended || !s->turns)
		return false;
	s->turns--;
	rc = session_next(&s->session, &s->frame, &e);
	if (!rc) {
		take_frame(c);
		return true;
	}
	s->frame.len = 0;
	if (rc != -EAGAIN)
		stdio_fail(c, 502, "the function's microVM broke off\n");
	return rc != -EAGAIN;
}

/* ---- to the guest ------------------------------------------------------- */

static bool write_guest(struct client *c)
{
	struct session *s = &c->stdio.session;
	const size_t room = session_room(s), waits = s->out_len;
	const size_t n = c->to_guest.len < room ? c->to_guest.len : room;

	if (n && c->stdio.is_started) {
		session_input(s, c->to_guest.bytes + c->to_guest.at, n);
		lane_take(&c->to_guest, n);
	}
	if (c->stdio.is_started && !c->to_guest.len &&
	    c->request.stage == MESSAGE_DONE)
		session_end_input(s);
	/* One that is broken is found out by reading. */
	(void)session_flush(s);
	return (n && c->stdio.is_started) || s->out_len < waits;
}

/* ---- the answer --------------------------------------------------------- */

/* Who asks for the head alone gets it when all is known. */
static bool take_output(struct client *c)
{
	struct stdio *s = &c->stdio;
	const bool is_head = c->request.parser.method == HTTP_HEAD;
	const size_t room = is_head ? s->frame.len : lane_room(&c->from_guest);
	const size_t n = s->frame.len < room ? s->frame.len : room;

	if (!n || (!is_head && !lane_put(&c->from_guest, s->frame.bytes, n)))
		return false;
	session_used(&s->session, STDOUT, n);
	s->frame.bytes += n;
	s->frame.len -= n;
	s->out_bytes += n;
	return true;
}

static bool begin_answer(struct client *c)
{
	struct stdio *s = &c->stdio;
	const bool is_head = c->request.parser.method == HTTP_HEAD;
	bool is_kept = c->request.is_kept_alive && !c->front->is_draining;
	size_t len = s->out_bytes;

	if (!s->is_ended &&
	    (is_head || (lane_room(&c->from_guest) && !s->is_due)))
		return false;
	s->framing = STDIO_SIZED;
	if (!s->is_ended) {
		const bool has_chunks = c->request.parser.http_minor;

		s->framing = has_chunks ? STDIO_CHUNKED : STDIO_OPEN_ENDED;
		len = has_chunks ? HEAD_CHUNKED : HEAD_OPEN_ENDED;
		is_kept &= has_chunks;
	}
	if (!head_put_own(&c->out, 200, c->function->plan.options.type, len, 0,
			  is_kept))
		return false;
	c->status = 200;
	c->is_kept = is_kept;
	loop_disarm(c->front->loop, &s->hold);
	histogram_add(&c->function->first_byte, clock_now_ns() - c->begun_ns);
	return true;
}

static bool put_chunk(struct client *c)
{
	const size_t n = message_may_feed(&c->from_guest, &c->out);
	char size[24];
	int len;

	if (!n)
		return false;
	len = snprintf(size, sizeof(size), "%zx\r\n", n);
	(void)lane_put(&c->out, size, (size_t)len);
	(void)lane_put(&c->out, c->from_guest.bytes + c->from_guest.at, n);
	(void)lane_put(&c->out, "\r\n", 2);
	lane_take(&c->from_guest, n);
	return true;
}

static bool put_body(struct client *c)
{
	const size_t len = c->from_guest.len;
	const bool is_put = c->stdio.framing == STDIO_CHUNKED
				    ? put_chunk(c)
				    : lane_pass(&c->from_guest, &c->out);

	c->answer.body_bytes += len - c->from_guest.len;
	return is_put;
}

static bool end_answer(struct client *c)
{
	if (c->stdio.framing == STDIO_CHUNKED &&
	    !lane_put(&c->out, "0\r\n\r\n", 5))
		return false;
	stdio_end(c, NULL);
	client_answered(c);
	return true;
}

static bool put_answer(struct client *c)
{
	if (c->stdio.is_ended && c->stdio.code) {
		fail_ended(c);
		return true;
	}
	if (!c->status)
		return begin_answer(c);
	if (c->from_guest.len)
		return put_body(c);
	return c->stdio.is_ended && end_answer(c);
}

static bool stdio_move(struct client *c)
{
	bool moved = client_take_body(c);

	/* What fails ends the call, and that is all then. Room for stdin comes
	 * by reading, though nothing else does. */
	if (c->stage == CLIENT_CALLING && c->instance)
		moved |= read_guest(c);
	if (c->stage == CLIENT_CALLING && c->instance)
		moved |= write_guest(c);
	if (c->stage == CLIENT_CALLING && c->instance)
		moved |= take_output(c);
	if (c->stage == CLIENT_CALLING && c->instance)
		moved |= put_answer(c);
	return moved;
}

static void stdio_watch(struct client *c)
{
	struct stdio *s = &c->stdio;
	uint32_t events = 0;

	if (c->stage != CLIENT_CALLING || s->session.fd < 0)
		return;
	if (!s->frame.len && !s->is_ended)
		events |= EPOLLIN;
	/* What waits in memory no descriptor tells of. */
	if (session_is_full(&s->session) ||
	    (events && session_has_more(&s->session)))
		events |= EPOLLOUT;
	client_watch(c, &c->guest, s->session.fd, events);
}

const struct client_calls stdio_calls = {
	.begin = stdio_begin,
	.move = stdio_move,
	.watch = stdio_watch,
	.end = stdio_end,
	.fail = stdio_fail,
};
