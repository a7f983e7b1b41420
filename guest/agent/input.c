/*
 * What goes into a process: its stdin, or its terminal's keys. What it does not
 * take at once waits here, at most a window.
 */
#include "guest/agent/agent.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* Closes stdin for good; what still comes is thrown away. */
void process_input_drop(struct process *p)
{
	const size_t left = writer_len(&p->in);

	watch_close(&p->fd[PROTO_STDIN]);
	writer_fini(&p->in);
	if (left && p->session)
		session_used(p->session, left);
}

/* A terminal is told of the end by a character, if it listens to that one. */
static void input_end(struct process *p)
{
	struct termios t;

	if (!(p->flags & PROTO_TTY)) {
		process_input_drop(p);
		return;
	}
	p->in_ends = false;
	if (tcgetattr(p->fd[PROTO_STDIN].fd, &t))
		return;
	if (write(p->fd[PROTO_STDIN].fd, &t.c_cc[VEOF], 1) < 0)
		p->in_ends = errno == EAGAIN;
	watch_set(&p->fd[PROTO_STDIN], p->in_ends ? EPOLLOUT : 0);
}

void process_input_ready(struct watch *w, uint32_t events)
{
	struct process *p = container_of(w, struct process, fd[PROTO_STDIN]);

	(void)events;
	while (p->fd[PROTO_STDIN].fd >= 0 && writer_len(&p->in)) {
		const ssize_t n = write(p->fd[PROTO_STDIN].fd,
					p->in.buf + p->in.from,
					writer_len(&p->in));

		if (n < 0 && errno == EAGAIN) {
			watch_set(&p->fd[PROTO_STDIN], EPOLLOUT);
			return;
		}
		if (n < 0) {
			process_input_drop(p);
			return;
		}
		p->in.from += (size_t)n;
		if (p->session)
			session_used(p->session, (size_t)n);
	}
	if (p->fd[PROTO_STDIN].fd < 0)
		return;
	watch_set(&p->fd[PROTO_STDIN], 0);
	if (p->in_ends)
		input_end(p);
}

void process_input(struct process *p, const void *data, size_t len)
{
	ssize_t n = 0;

	if ((p->is_started && p->fd[PROTO_STDIN].fd < 0) || p->in_ends ||
	    p->is_reaped) {
		session_used(p->session, len);
		return;
	}
	if (p->is_started && !writer_len(&p->in)) {
		n = write(p->fd[PROTO_STDIN].fd, data, len);
		if (n < 0 && errno != EAGAIN) {
			process_input_drop(p);
			session_used(p->session, len);
			return;
		}
		if (n < 0)
			n = 0;
		session_used(p->session, (size_t)n);
	}
	if ((size_t)n == len)
		return;
	writer_add(&p->in, (const uint8_t *)data + n, len - (size_t)n);
	if (p->is_started)
		watch_set(&p->fd[PROTO_STDIN], EPOLLOUT);
}

void process_input_end(struct process *p)
{
	p->in_ends = true;
	if (p->is_started && p->fd[PROTO_STDIN].fd >= 0)
		process_input_ready(&p->fd[PROTO_STDIN], 0);
}

void process_resize(const struct process *p, unsigned rows, unsigned columns)
{
	const struct winsize size = {.ws_row = (unsigned short)rows,
				     .ws_col = (unsigned short)columns};

	if (p->flags & PROTO_TTY && p->fd[PROTO_STDIN].fd >= 0)
		ioctl(p->fd[PROTO_STDIN].fd, TIOCSWINSZ, &size);
}
