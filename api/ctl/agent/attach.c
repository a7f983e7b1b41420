/*
 * The pump between a command in the guest and its reader here. Flow control
 * goes both ways: what cannot be written here is not read from the guest, and
 * of stdin no more is read than the agent has said it has room for.
 */
#include "api/ctl/agent/attach.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/ctl/base/exit.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"

enum { FRAME_TURN = 64, DIAL_PAUSE_NS = 10000000 };

static void end(struct attach *a, uint32_t code, const char *text)
{
	if (a->is_over)
		return;
	a->is_over = true;
	loop_delete(a->loop, &a->listen);
	loop_delete(a->loop, &a->wire);
	loop_delete(a->loop, &a->input);
	loop_disarm(a->loop, &a->again);
	a->calls->ended(a, code, text);
}

/* A pipe whose writer has gone says so whatever it is watched for, again and
 * again; so it is watched only while it may be read. */
static void watch_input(struct attach *a, bool is_wanted)
{
	if (!is_wanted)
		loop_delete(a->loop, &a->input);
	else if (a->input.fd < 0)
		(void)loop_add(a->loop, &a->input, a->input_fd, EPOLLIN, NULL);
}

/* What the watches ask for follows from what there is to do. */
static void settle(struct attach *a)
{
	const bool wants_input = a->input_fd >= 0 && !a->is_input_file &&
				 session_room(&a->session) > 0;
	uint32_t events = a->is_paused ? 0 : (uint32_t)EPOLLIN;

	if (a->is_over)
		return;
	if (session_is_full(&a->session))
		events |= EPOLLOUT;
	loop_change(a->loop, &a->wire, events);
	watch_input(a, wants_input);
}

/* ---- from here to the guest --------------------------------------------- */

static void flush(struct attach *a)
{
	int rc = session_flush(&a->session);

	/* Who dials finds out when it reads. */
	if (rc && rc != -EAGAIN && !a->is_dialing)
		end(a, CTL_FAILED, "the connection to the guest broke");
}

static void end_input(struct attach *a)
{
	loop_delete(a->loop, &a->input);
	a->input_fd = -1;
	a->is_input_file = false;
	session_end_input(&a->session);
}

/* One read, of as much as the guest has room for. False when there is none. */
static bool pump_input(struct attach *a)
{
	uint8_t bytes[32 << 10];
	size_t room = session_room(&a->session);
	ssize_t n;

	if (a->input_fd < 0 || !room || a->is_over)
		return false;
	n = read(a->input_fd, bytes,
		 room < sizeof(bytes) ? room : sizeof(bytes));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	if (n <= 0)
		end_input(a);
	else
		session_input(&a->session, bytes, (size_t)n);
	flush(a);
	return n > 0;
}

static void input_ready(struct loop_watch *w, uint32_t events)
{
	struct attach *a = container_of(w, struct attach, input);

	(void)events;
	(void)pump_input(a);
	settle(a);
}

void attach_input(struct attach *a, int fd)
{
	a->input.ready = input_ready;
	a->input_fd = fd;
	if (a->is_over)
		return;
	/* A file or /dev/null is always ready, and the loop can't watch it. */
	a->is_input_file = loop_add(a->loop, &a->input, fd, 0, NULL) != 0;
	watch_input(a, false);
	if (a->session.fd >= 0) {
		while (a->is_input_file && pump_input(a))
			;
		settle(a);
	}
}

void attach_signal(struct attach *a, int signal)
{
	if (a->is_over || a->session.fd < 0)
		return;
	session_signal(&a->session, signal);
	flush(a);
	settle(a);
}

void attach_resize(struct attach *a, struct terminal_size size)
{
	if (a->is_over || a->session.fd < 0)
		return;
	session_resize(&a->session, size);
	flush(a);
	settle(a);
}

/* ---- from the guest ----------------------------------------------------- */

static void give_output(struct attach *a)
{
	struct session_frame *f = &a->frame;
	ssize_t n = a->calls->output(a, f->stream, f->bytes, f->len);

	if (n < 0) {
		a->is_over = true;
		return;
	}
	session_used(&a->session, f->stream, (size_t)n);
	f->bytes += n;
	f->len -= (size_t)n;
	a->is_paused = f->len > 0;
}

/* The microVM may be ended when what it wrote is on its disks. */
static void take_exit(struct attach *a)
{
	if (!a->plan->is_synced || a->is_syncing) {
		end(a, a->frame.code, NULL);
		return;
	}
	a->is_syncing = true;
	a->code = a->frame.code;
	loop_delete(a->loop, &a->input);
	a->input_fd = -1;
	session_sync(&a->session);
	flush(a);
}

static void take_frame(struct attach *a)
{
	const struct session_frame *f = &a->frame;

	switch (f->event) {
	case SESSION_STARTED:
		a->calls->started(a);
		break;
	case SESSION_OUTPUT:
		give_output(a);
		break;
	case SESSION_EXITED:
		take_exit(a);
		break;
	case SESSION_FAILED:
		/* A disk that could not be synced does not undo the status. */
		if (a->is_dialing)
			end(a, CTL_FAILED, f->text);
		else
			end(a, a->is_syncing ? a->code : f->code, f->text);
		break;
	case SESSION_DONE:
		if (a->is_syncing)
			end(a, a->code, NULL);
		break;
	case SESSION_EOF:
		break;
	case SESSION_USAGE:
	case SESSION_KILLS:
		end(a, CTL_FAILED, "the guest's agent sent nonsense");
		break;
	}
}

/* It may not be up yet, or have no time for us. */
static void dial_later(struct attach *a)
{
	loop_delete(a->loop, &a->wire);
	session_fini(&a->session);
	loop_arm(a->loop, &a->again, clock_now_ns() + DIAL_PAUSE_NS);
}

/* From now on what goes wrong is the command's. */
static void heard(struct attach *a)
{
	a->is_dialing = false;
	a->ready_ns = clock_now_ns();
	loop_disarm(a->loop, &a->again);
	if (a->calls->called)
		a->calls->called(a);
}

static void pump_output(struct attach *a)
{
	struct err e = {0};
	unsigned i;
	int rc = 0;

	for (i = 0; i < FRAME_TURN && !rc && !a->is_paused && !a->is_over;
	     i++) {
		rc = session_next(&a->session, &a->frame, &e);
		if (a->is_dialing && session_is_heard(&a->session))
			heard(a);
		if (!rc)
			take_frame(a);
	}
	if (rc && rc != -EAGAIN && a->is_dialing) {
		dial_later(a);
		return;
	}
	if (rc && rc != -EAGAIN)
		end(a, CTL_FAILED, e.text);
	while (a->is_input_file && pump_input(a))
		;
	if (!a->is_over) {
		flush(a);
		settle(a);
	}
	/* Frames may be waiting in memory, of which epoll knows nothing. */
	if (i == FRAME_TURN && !a->is_over && !a->is_paused &&
	    session_has_more(&a->session))
		loop_change(a->loop, &a->wire, EPOLLIN | EPOLLOUT);
}

static void wire_ready(struct loop_watch *w, uint32_t events)
{
	struct attach *a = container_of(w, struct attach, wire);

	/* While paused, only a connection that is gone altogether says so. */
	if (a->is_paused && events & (EPOLLHUP | EPOLLERR) &&
	    !(events & EPOLLOUT)) {
		loop_delete(a->loop, w);
		return;
	}
	if (!a->is_paused)
		pump_output(a);
	else
		flush(a);
}

void attach_resume(struct attach *a)
{
	if (a->is_over || !a->is_paused)
		return;
	give_output(a);
	if (a->is_over || a->is_paused)
		return;
	/* It may have been dropped while nobody could read on. */
	if (a->wire.fd < 0 &&
	    loop_add(a->loop, &a->wire, a->session.fd, EPOLLIN, NULL)) {
		end(a, CTL_FAILED, "can't watch the connection to the guest");
		return;
	}
	pump_output(a);
}

/* ---- begin -------------------------------------------------------------- */

static int begin(struct attach *a, struct err *e)
{
	int rc;

	if (!a->is_dialing)
		a->ready_ns = clock_now_ns();
	rc = session_start(&a->session, a->plan, e);
	if (rc)
		return rc;
	rc = loop_add(a->loop, &a->wire, a->session.fd, EPOLLIN, e);
	if (rc)
		return rc;
	flush(a);
	while (a->is_input_file && pump_input(a))
		;
	settle(a);
	return 0;
}

static void agent_calls(struct loop_watch *w, uint32_t events)
{
	struct attach *a = container_of(w, struct attach, listen);
	struct err e = {0};
	int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	loop_delete(a->loop, w);
	session_adopt(&a->session, fd);
	if (a->calls->called)
		a->calls->called(a);
	if (begin(a, &e))
		end(a, CTL_FAILED, e.text);
}

static void init(struct attach *a, struct loop *loop,
		 const struct attach_calls *calls,
		 const struct session_plan *plan)
{
	*a = (struct attach){
		.loop = loop,
		.calls = calls,
		.plan = plan,
		.input_fd = -1,
		.session.fd = -1,
		.listen = {.fd = -1, .ready = agent_calls},
		.wire = {.fd = -1, .ready = wire_ready},
		.input = {.fd = -1, .ready = input_ready},
	};
}

int attach_await(struct attach *a, struct loop *loop,
		 const struct attach_calls *calls, int listen_fd,
		 const struct session_plan *plan, struct err *e)
{
	init(a, loop, calls, plan);
	return loop_add(loop, &a->listen, listen_fd, EPOLLIN, e);
}

int attach_connect(struct attach *a, struct loop *loop,
		   const struct attach_calls *calls, const char *socket,
		   const struct session_plan *plan, struct err *e)
{
	int rc;

	init(a, loop, calls, plan);
	rc = session_connect(&a->session, socket, e);
	return rc ? rc : begin(a, e);
}

void attach_call(struct attach *a)
{
	struct err e = {0};

	if (a->is_over || !a->is_dialing)
		return;
	loop_arm(a->loop, &a->again, a->give_up_ns);
	if (session_dial(&a->session, a->socket, &e))
		dial_later(a);
	else if (begin(a, &e))
		end(a, CTL_FAILED, e.text);
}

static void dial_again(struct loop_timer *t)
{
	struct attach *a = container_of(t, struct attach, again);

	if (clock_now_ns() < a->give_up_ns)
		attach_call(a);
	else
		end(a, CTL_FAILED, "the guest's agent does not answer");
}

void attach_dial(struct attach *a, struct loop *loop,
		 const struct attach_calls *calls, const char *socket,
		 const struct session_plan *plan)
{
	init(a, loop, calls, plan);
	a->socket = socket;
	a->is_dialing = true;
	a->again.fire = dial_again;
	a->give_up_ns = clock_now_ns() + ATTACH_DIAL_MS * 1000000ull;
}

void attach_fini(struct attach *a)
{
	if (!a->loop)
		return;
	loop_delete(a->loop, &a->listen);
	loop_delete(a->loop, &a->wire);
	loop_delete(a->loop, &a->input);
	loop_disarm(a->loop, &a->again);
	session_fini(&a->session);
	*a = (struct attach){0};
}
