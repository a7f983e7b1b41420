/*
 * Children and their streams.
 *
 * Output is read straight into the frame that carries it, and only when its
 * window and the session's buffer have room: what nobody reads waits in the
 * pipe, and the process with it. A container without a session has its output
 * go to its log alone.
 *
 * When a process has ended, what it left in its pipes is known (FIONREAD): just
 * that is still sent before EXITED, whoever else holds the pipes open.
 */
#include "guest/agent/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	CHUNK = 64 << 10,
	PUMP_ROUNDS = 4,       /* reads at a time, then others have a turn */
	TTY_DRAIN = 256 << 10, /* a terminal does not say what it holds */
	FAILED = 125,
};

static struct process *processes;
static uint8_t scratch[CHUNK];

static void process_check(struct process *p);

struct process *process_new(struct session *s, enum process_kind kind)
{
	struct process *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->kind = kind;
	p->status.fd = -1;
	for (int i = 0; i < 3; i++)
		p->fd[i].fd = -1;
	p->next = processes;
	processes = p;
	if (s)
		process_join(p, s);
	return p;
}

void process_free(struct process *p)
{
	struct process **at = &processes;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	process_leave(p);
	watch_close(&p->status);
	for (int i = 0; i < 3; i++)
		watch_close(&p->fd[i]);
	writer_fini(&p->in);
	free(p);
}

/* ---- its session ----------------------------------------------------------
 */

static void session_pump(struct session *s)
{
	process_pump(s->process);
}

static void session_data(struct session *s, const void *data, size_t len)
{
	process_input(s->process, data, len);
}

static void session_data_end(struct session *s)
{
	process_input_end(s->process);
}

static void session_signal(struct session *s, int signal)
{
	if (s->process->kind <= PROCESS_EXEC)
		process_signal(s->process, signal);
}

static void session_resize(struct session *s, unsigned rows, unsigned columns)
{
	process_resize(s->process, rows, columns);
}

static void session_lost(struct session *s)
{
	struct process *p = s->process;

	process_leave(p);
	if (!(p->flags & PROTO_KEEP)) {
		process_signal(p, SIGKILL);
		/* A terminal's end is a hang-up for the rest of its session. */
		if (p->flags & PROTO_TTY)
			process_input_drop(p);
	} else if (!(p->flags & (PROTO_TTY | PROTO_DETACH))) {
		process_input_end(p);
	}
	process_pump(p);
}

void process_join(struct process *p, struct session *s)
{
	static const struct session_ops ops = {
		.pump = session_pump,
		.data = session_data,
		.data_end = session_data_end,
		.signal = session_signal,
		.resize = session_resize,
		.lost = session_lost,
	};

	p->session = s;
	s->process = p;
	s->mode = SESSION_PROCESS;
	s->ops = &ops;
}

void process_leave(struct process *p)
{
	if (p->session) {
		p->session->process = NULL;
		p->session->ops = NULL;
	}
	p->session = NULL;
}

/* ---- what the child reports -----------------------------------------------
 */

static void process_started(struct process *p)
{
	struct proto_started started;
	struct session *s = p->session;

	p->is_started = true;
	if (p->ops)
		p->ops->started(p->container);
	proto_put32(&started.pid, (uint32_t)p->pid);
	if (s)
		session_answer(s, PROTO_STARTED, &started, sizeof(started));
	if (s && p->flags & PROTO_DETACH) {
		p->flags |= PROTO_KEEP;
		process_leave(p);
		session_idle(s);
	}
	if (p->fd[PROTO_STDIN].fd < 0)
		process_input_drop(p);
	else if (p->in_ends || writer_len(&p->in))
		process_input_ready(&p->fd[PROTO_STDIN], 0);
	process_pump(p);
}

/* The master of a terminal: one descriptor to read, one to write. */
static void terminal_take(struct process *p, int master)
{
	const int twin = fcntl(master, F_DUPFD_CLOEXEC, 3);

	if (p->fd[PROTO_STDOUT].fd >= 0 || !(p->flags & PROTO_TTY)) {
		close(master);
		if (twin >= 0)
			close(twin);
		return;
	}
	watch_start(&p->fd[PROTO_STDOUT], master, 0, process_stream_ready);
	if (twin >= 0)
		watch_start(&p->fd[PROTO_STDIN], twin, 0, process_input_ready);
}

/* False when there is nothing more now. */
static bool report_read(struct process *p)
{
	struct report report;
	struct iovec iov = {&report, sizeof(report)};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	const struct cmsghdr *c;
	const ssize_t n = recvmsg(p->status.fd, &msg, MSG_CMSG_CLOEXEC);
	int master;

	if (n < 0)
		return false;
	c = n ? CMSG_FIRSTHDR(&msg) : NULL;
	if (c && c->cmsg_type == SCM_RIGHTS) {
		memcpy(&master, CMSG_DATA(c), sizeof(master));
		terminal_take(p, master);
		return true;
	}
	if (n == sizeof(report)) {
		report.sentence[sizeof(report.sentence) - 1] = '\0';
		p->report = report;
		p->is_failed = true;
		return true;
	}
	watch_close(&p->status);
	if (!p->is_failed && !p->is_started)
		process_started(p);
	return false;
}

void process_status_ready(struct watch *w, uint32_t events)
{
	struct process *p = container_of(w, struct process, status);

	(void)events;
	while (p->status.fd >= 0 && report_read(p))
		;
}

/* ---- output ---------------------------------------------------------------
 */

static void stream_end(struct process *p, int i)
{
	watch_close(&p->fd[i]);
	if (p->session && !p->is_failed)
		frame_put(&p->session->tx, PROTO_EOF, (uint8_t)i, NULL, 0);
}

/* Reads once, into a frame or for the log. Returns false when that is all. */
static bool stream_read(struct process *p, int i)
{
	struct session *s = p->session;
	size_t max = s ? session_room(s, i) : sizeof(scratch);
	struct proto_frame *f = NULL;
	uint8_t *to = scratch;
	ssize_t n;

	if (max > CHUNK)
		max = CHUNK;
	if (p->is_reaped && p->drain[i] == 0) {
		stream_end(p, i);
		return false;
	}
	if (p->is_reaped && max > p->drain[i])
		max = p->drain[i];
	if (!max) {
		watch_set(&p->fd[i], 0);
		return false;
	}
	if (s) {
		f = (struct proto_frame *)writer_room(&s->tx, sizeof(*f) + max);
		if (!f)
			return false;
		to = (uint8_t *)(f + 1);
	}
	n = read(p->fd[i].fd, to, max);
	if (n < 0 && errno == EAGAIN && !p->is_reaped) {
		watch_set(&p->fd[i], EPOLLIN);
		return false;
	}
	if (n <= 0) {
		stream_end(p, i);
		return false;
	}
	if (p->ops)
		p->ops->output(p->container, (uint8_t)i, to, (size_t)n);
	if (p->is_reaped)
		p->drain[i] -= (uint32_t)n;
	if (f) {
		*f = (struct proto_frame){.type = PROTO_DATA,
					  .stream = (uint8_t)i};
		proto_put32(&f->length, (uint32_t)n);
		s->tx.to += sizeof(*f) + (size_t)n;
		s->window[i] -= (uint32_t)n;
	}
	return true;
}

static void stream_pump(struct process *p, int i)
{
	int rounds = PUMP_ROUNDS;

	while (p->fd[i].fd >= 0) {
		if (!stream_read(p, i))
			break;
		if (p->session)
			session_flush(p->session);
		if (--rounds == 0) {
			watch_set(&p->fd[i], EPOLLIN);
			break;
		}
	}
}

void process_stream_ready(struct watch *w, uint32_t events)
{
	struct process *p = NULL;
	int i = PROTO_STDOUT;

	(void)events;
	/* Which of the two it is: the process knows its own addresses. */
	for (struct process *q = processes; q && !p; q = q->next)
		for (int k = PROTO_STDOUT; k <= PROTO_STDERR; k++)
			if (w == &q->fd[k]) {
				p = q;
				i = k;
			}
	if (!p)
		return;
	stream_pump(p, i);
	if (p->session)
		session_flush(p->session);
	process_check(p);
}

void process_pump(struct process *p)
{
	if (!p->is_started)
		return;
	stream_pump(p, PROTO_STDOUT);
	stream_pump(p, PROTO_STDERR);
	if (p->session)
		session_flush(p->session);
	process_check(p);
}

/* ---- while it runs --------------------------------------------------------
 */

void process_signal(const struct process *p, int signal)
{
	/* Not reaped, so the number is still its own. */
	if (!p->is_reaped && p->pid > 0)
		kill(p->pid, signal);
}

/* ---- the end --------------------------------------------------------------
 */

static void process_answer(struct process *p, uint32_t status, uint32_t signal)
{
	struct session *s = p->session;
	struct proto_exited exited;

	process_leave(p);
	if (p->ended) {
		p->ended(p, p->is_failed ? p->report.error : (int)status);
	} else if (s && p->is_failed) {
		session_error(s, p->report.error, p->report.status, "%s",
			      p->report.sentence);
	} else if (s && p->kind >= PROCESS_COPY_IN && status) {
		session_error(s, EINTR, FAILED, "it was ended by signal %u",
			      signal);
	} else if (s && p->kind >= PROCESS_COPY_IN) {
		session_done(s);
	} else if (s) {
		proto_put32(&exited.status, status);
		proto_put32(&exited.signal, signal);
		session_answer(s, PROTO_EXITED, &exited, sizeof(exited));
		session_idle(s);
	}
}

/* Answers and frees it, when it has ended and all has been sent. */
static void process_check(struct process *p)
{
	uint32_t status, signal = 0;

	if (!p->is_reaped || p->fd[PROTO_STDOUT].fd >= 0 ||
	    p->fd[PROTO_STDERR].fd >= 0)
		return;
	if (WIFSIGNALED(p->wait_status)) {
		signal = (uint32_t)WTERMSIG(p->wait_status);
		status = 128 + signal;
	} else {
		status = (uint32_t)WEXITSTATUS(p->wait_status);
	}
	process_input_drop(p);
	if (p->ops)
		p->ops->ending(p->container);
	process_answer(p, status, signal);
	if (p->ops && p->is_failed)
		p->ops->failed(p->container);
	else if (p->ops)
		p->ops->ended(p->container, status, signal);
	process_free(p);
}

static void process_reaped(struct process *p, int wait_status)
{
	int held;

	/* It may have ended before its report was read. */
	process_status_ready(&p->status, 0);
	watch_close(&p->status);
	p->is_reaped = true;
	p->wait_status = wait_status;
	for (int i = PROTO_STDOUT; i <= PROTO_STDERR; i++) {
		held = 0;
		if (p->fd[i].fd < 0)
			continue;
		if (p->flags & PROTO_TTY)
			held = TTY_DRAIN;
		else if (ioctl(p->fd[i].fd, FIONREAD, &held))
			held = 0;
		p->drain[i] = (uint32_t)held;
	}
	p->is_started = true;
	process_pump(p);
}

void processes_reap(void)
{
	int wait_status;
	pid_t pid;

	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
		struct process *p = processes;

		while (p && p->pid != pid)
			p = p->next;
		/* Orphans of containers are of no interest. */
		if (p)
			process_reaped(p, wait_status);
	}
}
