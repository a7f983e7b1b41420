/*
 * The supervisor of one microVM. It begins as a copy of `mayctl run` and lets
 * go of everything of it: terminal, output, directory, signals. What it must do
 * however things end: end the monitor, write down how it ended, tidy up.
 *
 * The monitor is started first and everything else done beside it, for the
 * guest boots meanwhile.
 */
#include "api/ctl/vm/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/ctl/agent/attach.h"
#include "api/ctl/base/descriptors.h"
#include "api/ctl/base/exit.h"
#include "api/ctl/base/interrupt.h"
#include "api/ctl/base/process.h"
#include "api/ctl/vm/forward.h"
#include "api/ctl/vm/monitor_log.h"
#include "api/ctl/vm/network.h"
#include "api/ctl/vm/orphan.h"
#include "api/ctl/vm/output_log.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"
#include "vmm/event/loop.h"

enum { HEIR_TRIES = 100, HEIR_PAUSE_NS = 100000000, ADOPT_MS = 5000 };

struct shim {
	struct shim_plan *plan; /* borrowed */
	struct loop loop;
	struct loop_watch control;
	struct loop_watch monitor;
	struct loop_watch words; /* the monitor's */
	struct loop_watch signals;
	struct loop_timer timeout;
	struct loop_timer start; /* until the guest has called */
	struct forward forward;
	struct attach attach; /* of -d */
	struct output_log output;
	struct monitor_log log;
	char vsock[VM_PATH_MAX];
	int control_fd; /* owned; -1 when mayctl is gone */
	int monitor_fd; /* owned; a pidfd */
	int signal_fd;	/* owned */
	pid_t pid;
	pid_t guard;
	bool is_running; /* the command; we have it */
	bool is_taken;	 /* the agent's call */
	bool is_heir;	 /* mayctl has died, and we do its work */
	unsigned tries;
	struct session_plan heir_plan;
	struct loop_timer again;
	bool has_code;
	uint32_t code;
	char text[512]; /* why, where the command did not end by itself */
};

/* ---- messages ----------------------------------------------------------- */

int shim_send(int control, enum shim_word word, uint32_t code, const char *text)
{
	struct shim_message m = {.word = (uint32_t)word, .code = code};

	snprintf(m.text, sizeof(m.text), "%s", text ? text : "");
	return send(control, &m, sizeof(m), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int shim_receive(int control, struct shim_message *m)
{
	ssize_t n;

	do
		n = recv(control, m, sizeof(*m), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n != sizeof(*m))
		return n ? -EBADMSG : -EPIPE;
	m->text[sizeof(m->text) - 1] = '\0';
	return 0;
}

static void tell(struct shim *s, enum shim_word word, uint32_t code,
		 const char *text)
{
	if (s->control_fd >= 0)
		(void)shim_send(s->control_fd, word, code, text);
}

/* ---- what can end it ---------------------------------------------------- */

/* The first reason counts. */
static void finish(struct shim *s, uint32_t code, const char *text)
{
	if (!s->has_code) {
		s->has_code = true;
		s->code = code;
		snprintf(s->text, sizeof(s->text), "%s", text ? text : "");
	}
	loop_stop(&s->loop);
}

static void inherit(struct shim *s);
static void inherit_again(struct loop_timer *t);
static void begin_restored(struct shim *s);

static void control_ready(struct loop_watch *w, uint32_t events)
{
	struct shim *s = container_of(w, struct shim, control);
	struct shim_message m;

	(void)events;
	if (!shim_receive(s->control_fd, &m)) {
		if (m.word == SHIM_TAKEN) {
			s->is_taken = true;
			loop_disarm(&s->loop, &s->start);
		}
		if (m.word == SHIM_RENEWED)
			begin_restored(s);
		if (m.word == SHIM_OVER)
			finish(s, m.code, m.text);
		return;
	}
	/* mayctl is gone; the microVM is not. */
	loop_delete(&s->loop, &s->control);
	fd_close(&s->control_fd);
	if (s->plan->is_restored && !s->is_heir)
		finish(s, CTL_FAILED, "mayctl ended before it was restored");
	else if (!s->plan->is_detached && !s->has_code)
		inherit(s);
}

static void monitor_ready(struct loop_watch *w, uint32_t events)
{
	struct shim *s = container_of(w, struct shim, monitor);
	struct shim_message m;
	char path[VM_PATH_MAX], text[380];

	(void)events;
	/* The command's status may have been on its way. */
	while (s->control_fd >= 0 && !s->has_code &&
	       recv(s->control_fd, &m, sizeof(m), MSG_PEEK | MSG_DONTWAIT) > 0)
		control_ready(&s->control, EPOLLIN);
	(void)monitor_log_drain(&s->log);
	if (!s->has_code)
		monitor_log_said(vm_path(s->plan->vm, MONITOR_LOG_FILE, path),
				 text, sizeof(text));
	finish(s, CTL_FAILED, text);
}

static void words_ready(struct loop_watch *w, uint32_t events)
{
	struct shim *s = container_of(w, struct shim, words);

	(void)events;
	if (monitor_log_drain(&s->log) == -EPIPE)
		loop_delete(&s->loop, w);
}

static void signals_ready(struct loop_watch *w, uint32_t events)
{
	struct shim *s = container_of(w, struct shim, signals);
	struct signalfd_siginfo info;

	(void)events;
	if (read(s->signal_fd, &info, sizeof(info)) == sizeof(info))
		finish(s, 128 + info.ssi_signo, "it was told to end");
}

static void timeout_fire(struct loop_timer *t)
{
	finish(container_of(t, struct shim, timeout), CTL_TIMEOUT,
	       "its --timeout is over");
}

/* A kernel that hangs, an image that has no agent: there is nothing to see. */
static void start_fire(struct loop_timer *t)
{
	struct shim *s = container_of(t, struct shim, start);
	char text[200];

	snprintf(text, sizeof(text),
		 "the guest has not started its command within %llu s "
		 "(--start-timeout); --console keeps what its kernel says",
		 (unsigned long long)(s->plan->start_ms + 999) / 1000);
	finish(s, CTL_FAILED, text);
}

/* ---- the command of -d -------------------------------------------------- */

static ssize_t took_output(struct attach *a, int stream, const void *bytes,
			   size_t len)
{
	struct shim *s = container_of(a, struct shim, attach);

	output_log_write(&s->output, (uint8_t)stream, bytes, len);
	return (ssize_t)len;
}

static void agent_called(struct attach *a)
{
	container_of(a, struct shim, attach)->is_taken = true;
	tell(container_of(a, struct shim, attach), SHIM_TAKEN, 0, NULL);
}

static void command_started(struct attach *a)
{
	struct shim *s = container_of(a, struct shim, attach);

	loop_disarm(&s->loop, &s->start);
	s->is_running = true;
	s->tries = 0;
	tell(s, SHIM_STARTED, 0, NULL);
	/* mayctl has said the name and gone by now, or does so soon. */
	loop_delete(&s->loop, &s->control);
	fd_close(&s->control_fd);
}

static void attach_again(struct shim *s, uint64_t when_ns)
{
	s->is_heir = true;
	s->again.fire = inherit_again;
	loop_arm(&s->loop, &s->again, when_ns);
}

/* The connection, to a command that runs. */
static bool is_broken(const struct shim *s)
{
	return s->is_running && !s->has_code && !s->attach.is_syncing &&
	       s->attach.frame.event != SESSION_FAILED &&
	       s->attach.frame.event != SESSION_EXITED;
}

static void command_ended(struct attach *a, uint32_t code, const char *text)
{
	struct shim *s = container_of(a, struct shim, attach);

	/* The agent may not have seen yet that mayctl's connection is gone. */
	if (s->is_heir && a->frame.error == EBUSY && s->tries++ < HEIR_TRIES)
		return attach_again(s, clock_now_ns() + HEIR_PAUSE_NS);
	/* Where the guest just went away the monitor's words say more. */
	if (code == CTL_FAILED && !s->has_code &&
	    !process_wait(s->monitor_fd, 500))
		monitor_ready(&s->monitor, EPOLLIN);
	/* It was taken back to a mark, where there was no connection yet. */
	else if (is_broken(s) && s->tries++ < HEIR_TRIES)
		return attach_again(s, clock_now_ns());
	finish(s, code, text);
}

static const struct attach_calls command_calls = {
	.called = agent_called,
	.output = took_output,
	.started = command_started,
	.ended = command_ended,
};

static int begin_command(struct shim *s, struct err *e)
{
	int rc = output_log_open(&s->output, s->plan->vm->state.disk_dir, e);

	if (rc)
		return rc;
	if (!s->plan->is_warm)
		return attach_await(&s->attach, &s->loop, &command_calls,
				    s->plan->ready_fd, s->plan->session, e);
	attach_dial(&s->attach, &s->loop, &command_calls, s->vsock,
		    s->plan->session);
	attach_call(&s->attach);
	return 0;
}

/* ---- when mayctl has died ----------------------------------------------- */

static void inherit_again(struct loop_timer *t)
{
	struct shim *s = container_of(t, struct shim, again);
	struct err e = {0};

	attach_fini(&s->attach);
	s->heir_plan = (struct session_plan){
		.kind = SESSION_ATTACH,
		.is_synced = s->plan->session->is_synced,
	};
	if (attach_connect(&s->attach, &s->loop, &command_calls, s->vsock,
			   &s->heir_plan, &e))
		finish(s, CTL_FAILED, e.text);
}

/*
 * The command goes on without mayctl, as one of -d does. Where mayctl had not
 * even begun it, we do.
 */
static void inherit(struct shim *s)
{
	struct err e = {0};
	int rc;

	s->is_heir = true;
	if (!s->is_taken) {
		rc = begin_command(s, &e);
	} else {
		rc = output_log_open(&s->output, s->plan->vm->state.disk_dir,
				     &e);
		attach_again(s, clock_now_ns());
	}
	if (rc)
		finish(s, CTL_FAILED, e.text);
}

/*
 * The command of a microVM that was restored runs already. The agent knows of
 * an older connection until it has heard that there is none any more.
 */
static void begin_restored(struct shim *s)
{
	struct err e = {0};
	int rc;

	if (!s->plan->is_restored || s->is_heir)
		return;
	/* Until now it was nothing that anybody would want to look at. */
	s->plan->vm->state.is_kept = s->plan->is_kept;
	rc = vm_save(s->plan->vm, &e);
	if (!rc)
		rc = output_log_open(&s->output, s->plan->vm->state.disk_dir,
				     &e);
	attach_again(s, clock_now_ns());
	if (rc)
		finish(s, CTL_FAILED, e.text);
}

/* ---- begin and end ------------------------------------------------------ */

/*
 * Nothing of the terminal's stays: neither its signals nor whatever somebody
 * waits to see closed.
 */
static void let_go(struct shim *s)
{
	process_leave_streams(s->log.fd);
	if (chdir("/"))
		return;
	prctl(PR_SET_NAME, "mayctl-shim");
}

static int watch_signals(struct shim *s, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_SETMASK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	s->signals.ready = signals_ready;
	return loop_add_signals(&s->loop, &s->signals, &set, &s->signal_fd, e);
}

static int begin_monitor(struct shim *s, struct err *e)
{
	struct vm_state *state = &s->plan->vm->state;
	struct monitor_plan plan = *s->plan->monitor;
	char path[VM_PATH_MAX];
	int rc;

	rc = monitor_log_open(&s->log,
			      vm_path(s->plan->vm, MONITOR_LOG_FILE, path), e);
	if (rc)
		return rc;
	plan.log_fd = s->log.write_fd;
	/* The monitor looks after nothing. */
	(void)fcntl(s->plan->vm->owner_fd, F_SETFD, FD_CLOEXEC);
	rc = monitor_start(s->plan->vm, &plan, &s->pid, e);
	fd_close(&s->log.write_fd);
	if (rc)
		return rc;
	s->monitor_fd = process_open(s->pid);
	if (s->monitor_fd < 0)
		return err_set(e, s->monitor_fd, "pidfd_open: %s",
			       strerror(-s->monitor_fd));
	state->shim = vm_process_of(getpid());
	state->monitor = vm_process_of(s->pid);
	state->stage = VM_STARTED;
	tell(s, SHIM_MONITOR, (uint32_t)s->pid, NULL);
	return vm_save(s->plan->vm, e);
}

/* ---- the guard ---------------------------------------------------------- */

/*
 * Waits until nobody holds the other end, the shim that is, and does then what
 * the shim did not. It keeps the locks of disks until the monitor is gone.
 */
static void guard_main(struct shim *s, int ends[2])
{
	struct vm *vm = s->plan->vm;
	char byte;

	prctl(PR_SET_NAME, "mayctl-guard");
	close(ends[1]);
	fd_close(&s->control_fd);
	vm_disown(vm);
	while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
		;
	orphan_find(vm->state.name, vm->state.id, ADOPT_MS);
	_exit(0);
}

/* Without a guard all is as well, as long as nobody kills the shim. */
static void begin_guard(struct shim *s)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return;
	s->guard = fork();
	if (!s->guard)
		guard_main(s, ends);
	/* The other end stays open as long as we live. */
	close(ends[0]);
}

static void end_guard(struct shim *s)
{
	if (s->guard <= 0)
		return;
	kill(s->guard, SIGKILL);
	while (waitpid(s->guard, NULL, 0) < 0 && errno == EINTR)
		;
}

static int begin(struct shim *s, struct err *e)
{
	struct shim_plan *plan = s->plan;
	int rc = begin_monitor(s, e);

	if (!rc)
		let_go(s);
	if (!rc)
		rc = loop_open(&s->loop, e);
	if (!rc)
		rc = watch_signals(s, e);
	if (!rc)
		begin_guard(s);
	s->monitor.ready = monitor_ready;
	if (!rc)
		rc = loop_add(&s->loop, &s->monitor, s->monitor_fd, EPOLLIN, e);
	s->words.ready = words_ready;
	if (!rc)
		rc = loop_add(&s->loop, &s->words, s->log.pipe_fd, EPOLLIN, e);
	s->control.ready = control_ready;
	if (!rc)
		rc = loop_add(&s->loop, &s->control, s->control_fd, EPOLLIN, e);
	s->timeout.fire = timeout_fire;
	if (!rc && plan->timeout_ms)
		loop_arm(&s->loop, &s->timeout,
			 clock_now_ns() + plan->timeout_ms * 1000000);
	s->start.fire = start_fire;
	if (!rc && plan->start_ms)
		loop_arm(&s->loop, &s->start,
			 clock_now_ns() + plan->start_ms * 1000000);
	if (!rc && plan->port_count)
		rc = forward_start(&s->forward, &s->loop, s->vsock, plan->ports,
				   plan->port_fds, plan->port_count, e);
	if (!rc && plan->is_detached && !plan->is_restored)
		rc = begin_command(s, e);
	return rc;
}

/* For good; it has nothing left to save. It takes a while, which is used. */
static void kill_monitor(struct shim *s)
{
	if (s->pid > 0)
		kill(s->pid, SIGKILL);
}

static void wait_monitor(struct shim *s)
{
	while (s->pid > 0 && waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* What is told stands on the disk as long as there is anything to tell of. */
static void end(struct shim *s)
{
	struct vm *vm = s->plan->vm;
	struct timespec now;
	unsigned i;
	bool gone = false;

	kill_monitor(s);
	/* It will be booted instead, under the same name. */
	if (s->plan->is_warm && !s->is_taken && s->code == CTL_FAILED)
		vm->state.is_kept = false;
	if (s->forward.loop)
		forward_stop(&s->forward);
	output_log_close(&s->output);
	if (vm->state.tap)
		network_remove(vm->state.tap, vm->state.id);
	end_guard(s);
	if (!vm->state.is_kept)
		gone = !vm_remove(vm, NULL);
	wait_monitor(s);
	(void)monitor_log_drain(&s->log);
	monitor_log_close(&s->log);
	/* Once the folder has gone, another may have its name, and a jail. */
	cell_remove(gone ? "" : vm->dir, vm->state.uid);
	/* Where the monitor was in the way until now. */
	if (!vm->state.is_kept && !gone)
		vm_remove(vm, NULL);
	if (vm->state.is_kept) {
		clock_gettime(CLOCK_REALTIME, &now);
		vm->state.stage = VM_ENDED;
		vm->state.ended_s = (uint64_t)now.tv_sec;
		vm->state.exit_code = s->code;
		if (*s->text && !vm->state.error)
			vm->state.error = strdup(s->text);
		vm_save(vm, NULL);
		vm_forget(vm);
	}
	/* Whoever hears of the end may have the name and the disks. */
	for (i = 0; i < VM_VOLUMES_MAX; i++)
		fd_close(&s->plan->disk_fds[i]);
	vm_disown(vm);
	tell(s, SHIM_ENDED, s->code, s->text);
}

static void shim_main(struct shim_plan *plan, int control)
{
	struct shim s = {
		.plan = plan,
		.control_fd = control,
		.monitor_fd = -1,
		.signal_fd = -1,
		.control.fd = -1,
		.monitor.fd = -1,
		.signals.fd = -1,
		.words.fd = -1,
		.log = {.fd = -1, .pipe_fd = -1, .write_fd = -1},
		.output = {.fd = -1, .dir_fd = -1},
	};
	struct err e = {0};

	setsid();
	interrupt_ignore();
	descriptors_drop();
	fd_close(&plan->drop_fd);
	vm_path(plan->vm, "vsock.sock", s.vsock);
	if (begin(&s, &e))
		finish(&s, CTL_FAILED, e.text);
	else if (loop_run(&s.loop, &e))
		finish(&s, CTL_FAILED, e.text);
	end(&s);
}

int shim_start(struct shim_plan *plan, int *control, struct err *e)
{
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return err_errno(e, "can't make a socket");
	pid = fork();
	if (pid < 0) {
		close(ends[0]);
		close(ends[1]);
		return err_errno(e, "can't fork");
	}
	if (!pid) {
		close(ends[0]);
		shim_main(plan, ends[1]);
		/* No exit handlers: those are mayctl's. */
		_exit(0);
	}
	close(ends[1]);
	vm_disown(plan->vm);
	*control = ends[0];
	return 0;
}
