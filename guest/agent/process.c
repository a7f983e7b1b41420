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
#include "guest/agent/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
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

/* ---- beginning ------------------------------------------------------------
 */

static struct process *process_new(struct session *s, enum process_kind kind)
{
	struct process *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->kind = kind;
	p->status.fd = -1;
	for (int i = 0; i < 3; i++)
		p->fd[i].fd = -1;
	p->session = s;
	p->next = processes;
	processes = p;
	if (s) {
		s->process = p;
		s->mode = SESSION_PROCESS;
	}
	return p;
}

static void process_free(struct process *p)
{
	struct process **at = &processes;

	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	watch_close(&p->status);
	for (int i = 0; i < 3; i++)
		watch_close(&p->fd[i]);
	writer_fini(&p->in);
	free(p);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void stream_ready(struct watch *w, uint32_t events);
static void status_ready(struct watch *w, uint32_t events);

/* A pipe of which we keep one end as stream @i and the child gets the other. */
static int pipe_make(struct process *p, int i, int *theirs)
{
	int fds[2];
	const int ours = i == PROTO_STDIN ? 1 : 0;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	fcntl(fds[ours], F_SETFL, O_NONBLOCK);
	watch_start(&p->fd[i], fds[ours], 0,
		    i == PROTO_STDIN ? process_input_ready : stream_ready);
	*theirs = fds[!ours];
	return 0;
}

static int pipes_make(struct process *p, int theirs[static 3])
{
	int rc = 0;

	if (p->flags & PROTO_TTY)
		return 0;
	if (p->flags & PROTO_INPUT)
		rc = pipe_make(p, PROTO_STDIN, &theirs[0]);
	for (int i = PROTO_STDOUT; !rc && i <= PROTO_STDERR; i++)
		rc = pipe_make(p, i, &theirs[i]);
	return rc;
}

static int status_make(struct process *p, int *theirs)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return -errno;
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	watch_start(&p->status, fds[0], EPOLLIN, status_ready);
	*theirs = fds[1];
	return 0;
}

/* In the child of an EXEC, or of one that only needs the container's mounts. */
static void child_join(const struct spawn *sp)
{
	int what = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC;

	if (sp->flags & PROTO_OWN_NETWORK)
		what |= CLONE_NEWNET;
	if (setns(sp->pidfd, what))
		spawn_fail(sp, FAILED, errno, "cannot join the container");
}

/*
 * An EXEC's process must be born in the container's PID namespace, so the agent
 * itself has its children born there for the moment of the fork.
 */
static pid_t child_fork(const struct spawn *sp)
{
	static int own = -1;
	long pid;

	if (sp->is_init) {
		long flags = SIGCHLD | CLONE_NEWNS | CLONE_NEWPID |
			     CLONE_NEWUTS | CLONE_NEWIPC;

		if (sp->flags & PROTO_OWN_NETWORK)
			flags |= CLONE_NEWNET;
		pid = syscall(SYS_clone, flags, 0, NULL, NULL, 0);
		return pid < 0 ? -errno : (pid_t)pid;
	}
	if (own < 0)
		own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (own < 0 || setns(sp->pidfd, CLONE_NEWPID))
		return -errno;
	pid = fork();
	if (pid < 0)
		pid = -errno;
	if (pid && setns(own, CLONE_NEWPID))
		abort(); /* our own namespace always takes us back */
	return (pid_t)pid;
}

static void container_hold(struct container *c, pid_t pid)
{
	char path[40];

	c->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	c->mntfd = open(path, O_RDONLY | O_CLOEXEC);
}

void process_start(struct session *s, struct container *c, struct spawn *sp,
		   const struct root *root)
{
	struct process *p =
		process_new(s, sp->is_init ? PROCESS_INIT : PROCESS_EXEC);
	int rc = p ? 0 : -ENOMEM;

	sp->status = sp->fds[0] = sp->fds[1] = sp->fds[2] = -1;
	if (p) {
		p->flags = sp->flags;
		p->container = c;
		rc = pipes_make(p, sp->fds);
	}
	if (!rc)
		rc = status_make(p, &sp->status);
	if (!rc)
		rc = child_fork(sp);
	if (p && rc == 0) {
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
		if (sp->is_init)
			root_enter(sp, root);
		else
			child_join(sp);
		spawn_exec(sp);
	}
	for (int i = 0; i < 3; i++)
		close_fd(&sp->fds[i]);
	close_fd(&sp->status);
	if (rc > 0) {
		p->pid = rc;
		if (sp->is_init) {
			c->init = p;
			container_hold(c, p->pid);
		}
		return;
	}
	if (p)
		process_free(p);
	s->process = NULL;
	if (sp->is_init)
		container_failed(c);
	session_error(s, -rc, FAILED, "cannot make a process: %s",
		      strerror(-rc));
}

/*
 * A helper execs nothing, so what it does not need must be closed by hand: it
 * would keep pipes and connections open that the agent closes.
 */
static void help_close(int fds[static 3], struct copy *copy)
{
	unsigned last = 3;

	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			dup2(fds[i], i);
	if (copy) {
		dup2(copy->mntfd, (int)last);
		copy->mntfd = (int)last++;
	}
	syscall(SYS_close_range, last, ~0U, 0);
}

static _Noreturn void help(enum process_kind kind, process_fn *fn, void *arg,
			   int fds[static 3])
{
	struct report report = {.status = FAILED};

	help_close(fds, kind == PROCESS_HELPER ? NULL : arg);
	signal(SIGPIPE, SIG_IGN);
	report.error = fn(arg, 0, 1, report.sentence, sizeof(report.sentence));
	if (!report.error)
		_exit(0);
	if (!report.sentence[0])
		snprintf(report.sentence, sizeof(report.sentence), "%s",
			 strerror(report.error));
	send(2, &report, sizeof(report), MSG_NOSIGNAL);
	_exit(1);
}

struct process *process_help(struct session *s, enum process_kind kind,
			     process_fn *fn, void *arg,
			     void (*ended)(struct process *p, int status))
{
	struct process *p = process_new(s, kind);
	/* Its stdin and stdout; in the place of stderr, where it reports. */
	int fds[3] = {-1, -1, -1}, rc = p ? 0 : -ENOMEM;

	if (!rc && kind == PROCESS_COPY_IN)
		rc = pipe_make(p, PROTO_STDIN, &fds[0]);
	if (!rc && kind == PROCESS_COPY_OUT)
		rc = pipe_make(p, PROTO_STDOUT, &fds[1]);
	if (!rc)
		rc = status_make(p, &fds[2]);
	if (!rc) {
		rc = fork();
		if (rc < 0)
			rc = -errno;
		else if (rc == 0)
			help(kind, fn, arg, fds);
	}
	for (int i = 0; i < 3; i++)
		close_fd(&fds[i]);
	if (rc > 0) {
		p->pid = rc;
		p->ended = ended;
		p->is_started = true;
		if (p->fd[PROTO_STDOUT].fd >= 0)
			watch_set(&p->fd[PROTO_STDOUT], EPOLLIN);
		return p;
	}
	if (p)
		process_free(p);
	if (s) {
		s->process = NULL;
		session_error(s, -rc, FAILED, "cannot make a process: %s",
			      strerror(-rc));
	}
	return NULL;
}

/* ---- what the child reports -----------------------------------------------
 */

static void process_started(struct process *p)
{
	struct proto_started started;
	struct session *s = p->session;

	p->is_started = true;
	if (p->kind == PROCESS_INIT)
		container_started(p->container);
	proto_put32(&started.pid, (uint32_t)p->pid);
	if (s)
		session_answer(s, PROTO_STARTED, &started, sizeof(started));
	if (s && p->flags & PROTO_DETACH) {
		p->flags |= PROTO_KEEP;
		s->process = NULL;
		p->session = NULL;
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
		close_fd(&(int){twin});
		return;
	}
	watch_start(&p->fd[PROTO_STDOUT], master, 0, stream_ready);
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

static void status_ready(struct watch *w, uint32_t events)
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
	if (p->kind == PROCESS_INIT)
		log_add(&p->container->log, (uint8_t)i, to, (size_t)n);
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

static void stream_ready(struct watch *w, uint32_t events)
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

void process_detach(struct process *p)
{
	if (p->session)
		p->session->process = NULL;
	p->session = NULL;
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

/* ---- the end --------------------------------------------------------------
 */

static void process_answer(struct process *p, uint32_t status, uint32_t signal)
{
	struct session *s = p->session;
	struct proto_exited exited;

	if (s)
		s->process = NULL;
	p->session = NULL;
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
	process_answer(p, status, signal);
	if (p->kind == PROCESS_INIT && p->is_failed)
		container_failed(p->container);
	else if (p->kind == PROCESS_INIT)
		container_ended(p->container, status, signal);
	process_free(p);
}

static void process_reaped(struct process *p, int wait_status)
{
	int held;

	/* It may have ended before its report was read. */
	status_ready(&p->status, 0);
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
