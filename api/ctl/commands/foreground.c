/*
 * mayctl in the foreground. Our stdin, stdout and stderr are shared with
 * whoever started us, so their flags stay as they are: what is written is what
 * poll() says there is room for, and when there is none the guest has to wait.
 *
 * Signals: with a terminal of its own (-it) the command gets keys, not signals;
 * without one, or without stdin, signals that we get are passed on. Ctrl-Z
 * stops the command, then us; a third Ctrl-C kills it, because the first
 * process of a container is deaf to signals that it does not handle.
 */
#include "api/ctl/commands/foreground.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "api/ctl/agent/attach.h"
#include "api/ctl/base/interrupt.h"
#include "api/ctl/base/terminal.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/vm/shim.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"
#include "vmm/event/loop.h"

enum { SHIM_MS = 2000, IMPATIENCE = 3, SIGPIPE_STATUS = 128 + SIGPIPE };

struct job {
	struct foreground *f; /* borrowed */
	struct loop loop;
	struct attach attach;
	struct loop_watch control;
	struct loop_watch signals;
	struct loop_watch output[3]; /* by stream; waits for room */
	int signal_fd;		     /* owned */
	unsigned interrupts;
	bool has_code;
	uint32_t code;
};

static struct job *job_of(struct attach *a)
{
	return container_of(a, struct job, attach);
}

static void finish(struct job *j, uint32_t code, const char *text)
{
	if (!j->has_code) {
		j->has_code = true;
		j->code = code;
		j->f->ended_ns = clock_now_ns();
		terminal_restore();
		if (code == CTL_FAILED && j->attach.is_dialing)
			snprintf(j->f->why, sizeof(j->f->why), "%s",
				 text && *text ? text : "it ended");
		else if (text && *text)
			ctl_complain("%s", text);
	}
	loop_stop(&j->loop);
}

/* ---- the command -------------------------------------------------------- */

static void output_ready(struct loop_watch *w, uint32_t events)
{
	const bool is_stderr = w->fd == STDERR_FILENO;
	struct job *j =
		container_of(w - (is_stderr ? 2 : 1), struct job, output);

	(void)events;
	loop_delete(&j->loop, w);
	attach_resume(&j->attach);
}

static ssize_t write_output(struct attach *a, int stream, const void *bytes,
			    size_t len)
{
	struct job *j = job_of(a);
	const uint8_t *at = bytes;
	const int fd = stream == 2 ? STDERR_FILENO : STDOUT_FILENO;
	size_t done = 0;
	ssize_t n = 0;

	while (done < len && n >= 0) {
		n = fd_write_ready(fd, at + done, len - done);
		if (n > 0)
			done += (size_t)n;
	}
	if (n == -EAGAIN && j->output[stream].fd < 0 &&
	    loop_add(&j->loop, &j->output[stream], fd, EPOLLOUT, NULL))
		return -EIO;
	if (n == -EAGAIN || n >= 0)
		return (ssize_t)done;
	/* Nobody reads it any more: it ends as a process here would. */
	finish(j, n == -EPIPE ? SIGPIPE_STATUS : CTL_FAILED,
	       n == -EPIPE ? NULL : "can't write the command's output");
	return n;
}

/* From now on the shim could not begin the command in our stead. */
static void agent_called(struct attach *a)
{
	struct job *j = job_of(a);

	if (j->f->control >= 0)
		(void)shim_send(j->f->control, SHIM_TAKEN, 0, NULL);
}

static void command_started(struct attach *a)
{
	job_of(a)->f->started_ns = clock_now_ns();
}

static void command_ended(struct attach *a, uint32_t code, const char *text)
{
	struct job *j = job_of(a);
	struct shim_message m;

	struct pollfd p = {.fd = j->f->control, .events = POLLIN};

	/* Where the microVM went away, its shim knows why, and says it soon;
	 * where the agent has said why, there is nothing to wait for. */
	if (code == CTL_FAILED && j->f->control >= 0 && !j->has_code &&
	    a->frame.event != SESSION_FAILED) {
		while (!j->has_code && poll(&p, 1, SHIM_MS) > 0 &&
		       !shim_receive(j->f->control, &m)) {
			if (m.word != SHIM_ENDED)
				continue;
			j->f->is_vm_over = true;
			finish(j, m.code, m.text);
		}
	}
	finish(j, code, text);
}

/* ---- the shim ----------------------------------------------------------- */

static void control_ready(struct loop_watch *w, uint32_t events)
{
	struct job *j = container_of(w, struct job, control);
	struct shim_message m;

	(void)events;
	if (shim_receive(j->f->control, &m)) {
		/* Killed. Its guard ends the microVM. */
		loop_delete(&j->loop, w);
		finish(j, CTL_FAILED,
		       "the microVM's shim has died, and the microVM with it");
		return;
	}
	if (m.word == SHIM_MONITOR) {
		j->f->monitor_ns = clock_now_ns();
		attach_call(&j->attach);
	}
	if (m.word != SHIM_ENDED)
		return;
	j->f->is_vm_over = true;
	finish(j, m.code, m.text);
}

/* ---- signals ------------------------------------------------------------ */

static void stop_ourselves(struct job *j)
{
	attach_signal(&j->attach, SIGSTOP);
	kill(getpid(), SIGSTOP);
	/* Here somebody has said `fg`. */
	attach_signal(&j->attach, SIGCONT);
}

static void pass_signal(struct job *j, int number)
{
	if (number == SIGINT && ++j->interrupts >= IMPATIENCE)
		number = SIGKILL;
	/* Before there is a command there is nothing to keep. */
	if (!j->f->started_ns &&
	    (number == SIGINT || number == SIGTERM || number == SIGHUP))
		finish(j, 128 + (uint32_t)number, NULL);
	else
		attach_signal(&j->attach, number);
}

static void signals_ready(struct loop_watch *w, uint32_t events)
{
	struct job *j = container_of(w, struct job, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(j->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGWINCH)
		attach_resize(&j->attach, terminal_size_now());
	else if (info.ssi_signo == SIGTSTP)
		stop_ourselves(j);
	else
		pass_signal(j, (int)info.ssi_signo);
}

static int watch_signals(struct job *j, struct err *e)
{
	static const int passed[] = {SIGINT,  SIGTERM, SIGHUP,	SIGQUIT,
				     SIGUSR1, SIGUSR2, SIGTSTP, SIGWINCH};
	const bool has_tty = j->f->session->has_tty;
	sigset_t set;
	unsigned i;

	sigemptyset(&set);
	for (i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		if (passed[i] != SIGWINCH || has_tty)
			sigaddset(&set, passed[i]);
	/* nohup: what is not to end us is not to end the command. */
	if (interrupt_is_nohup())
		sigdelset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	j->signals.ready = signals_ready;
	return loop_add_signals(&j->loop, &j->signals, &set, &j->signal_fd, e);
}

/* ---- all of it ---------------------------------------------------------- */

static int begin(struct job *j, struct err *e)
{
	static const struct attach_calls calls = {
		.called = agent_called,
		.output = write_output,
		.started = command_started,
		.ended = command_ended,
	};
	struct foreground *f = j->f;
	int rc = loop_open(&j->loop, e);

	if (!rc)
		rc = watch_signals(j, e);
	j->control.ready = control_ready;
	if (!rc && f->control >= 0)
		rc = loop_add(&j->loop, &j->control, f->control, EPOLLIN, e);
	if (rc)
		return rc;
	if (f->dialed) {
		attach_dial(&j->attach, &j->loop, &calls, f->dialed,
			    f->session);
		return 0;
	}
	if (f->socket)
		return attach_connect(&j->attach, &j->loop, &calls, f->socket,
				      f->session, e);
	return attach_await(&j->attach, &j->loop, &calls, f->ready_fd,
			    f->session, e);
}

uint32_t foreground_run(struct foreground *f)
{
	struct job j = {
		.f = f,
		.signal_fd = -1,
		.control.fd = -1,
		.signals.fd = -1,
		.output = {{.fd = -1},
			   {.fd = -1, .ready = output_ready},
			   {.fd = -1, .ready = output_ready}},
	};
	struct err e = {0};

	if (begin(&j, &e)) {
		finish(&j, CTL_FAILED, e.text);
	} else {
		if (f->session->has_stdin)
			attach_input(&j.attach, STDIN_FILENO);
		/* Where nobody reads keys, Ctrl-C has to stay a signal. */
		if (f->session->has_tty && f->session->has_stdin)
			terminal_make_raw();
		if (!j.has_code && loop_run(&j.loop, &e))
			finish(&j, CTL_FAILED, e.text);
	}
	f->agent_ns = j.attach.ready_ns;
	f->agent_us = j.attach.session.agent_us;
	f->agent_ready_us = j.attach.session.agent_ready_us;
	terminal_restore();
	attach_fini(&j.attach);
	fd_close(&j.signal_fd);
	loop_close(&j.loop);
	return j.code;
}
