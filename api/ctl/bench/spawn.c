/* Starts what is measured, with as little of our own in the time as can be. */
#include "api/ctl/bench/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/ctl/base/interrupt.h"
#include "api/ctl/base/process.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"

enum { PATIENCE_MS = 120000, SLICE_MS = 100, STACK_BYTES = 64 << 10 };

/* Files that only this process has, and that leave SPAWN_API_FD alone. */
static int make_pipe(int ends[2], struct err *e)
{
	int low[2], i;

	if (pipe2(low, O_CLOEXEC))
		return err_errno(e, "can't make a pipe");
	for (i = 0; i < 2; i++) {
		ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, SPAWN_API_FD + 1);
		close(low[i]);
	}
	if (ends[0] > 0 && ends[1] > 0)
		return 0;
	fd_close(&ends[0]);
	fd_close(&ends[1]);
	return err_errno(e, "too many files are open");
}

/*
 * What the child is made of. It has our memory until it is another program, as
 * posix_spawn()'s has, which can't ask for an end with us.
 */
struct child {
	const struct spawn_how *how;
	int in, out;
	pid_t parent;
	int error; /* its errno, 0 while it knows of none */
};

static int to_null(int fd, int flags)
{
	const int null = open("/dev/null", flags | O_CLOEXEC);

	return null < 0 ? -1 : dup2(null, fd);
}

static int set_files(const struct child *c)
{
	const struct spawn_how *how = c->how;

	if ((c->in ? dup2(c->in, 0) : to_null(0, O_RDONLY)) < 0 ||
	    (c->out ? dup2(c->out, 1) : to_null(1, O_WRONLY)) < 0 ||
	    (how->err ? dup2(how->err, 2) : to_null(2, O_WRONLY)) < 0)
		return -1;
	return how->listener ? dup2(how->listener, SPAWN_API_FD) : 0;
}

/*
 * Our held signals are not its business, and what is typed at us neither; but
 * who kills us has no use for it. Runs in our memory: sets nothing but error.
 */
static int child_main(void *context)
{
	static char *const empty[] = {NULL};
	struct child *c = context;
	char *const *env = (char *const *)(uintptr_t)c->how->env;
	sigset_t none;

	sigemptyset(&none);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != c->parent ||
	    setpgid(0, 0) || set_files(c) < 0 ||
	    sigprocmask(SIG_SETMASK, &none, NULL)) {
		c->error = errno ? errno : ESRCH;
		_exit(127);
	}
	execve(c->how->argv[0], (char *const *)(uintptr_t)c->how->argv,
	       env ? env : empty);
	c->error = errno;
	_exit(127);
}

/* No handler of ours may run in the child, whose memory is ours. */
static pid_t make_child(struct child *c)
{
	static _Alignas(16) char stack[STACK_BYTES];
	sigset_t all, old;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	pid = clone(child_main, stack + sizeof(stack),
		    CLONE_VM | CLONE_VFORK | SIGCHLD, c);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

static int begin(struct spawned *s, const struct spawn_how *how, int in,
		 int out, struct err *e)
{
	struct child c = {.how = how, .in = in, .out = out, .parent = getpid()};

	s->begin_ns = clock_now_ns();
	s->pid = make_child(&c);
	if (s->pid < 0)
		c.error = errno;
	else if (c.error)
		waitpid(s->pid, NULL, 0);
	if (!c.error)
		return 0;
	s->pid = 0;
	return err_set(e, -c.error, "can't start %s: %s", how->argv[0],
		       strerror(c.error));
}

int spawn_begin(struct spawned *s, const struct spawn_how *how, struct err *e)
{
	int in[2] = {0}, out[2] = {0}, rc = 0;

	*s = (struct spawned){0};
	if (how->has_in)
		rc = make_pipe(in, e);
	if (!rc && how->has_out)
		rc = make_pipe(out, e);
	if (!rc)
		rc = begin(s, how, in[0], how->has_out ? out[1] : how->out, e);
	fd_close(&in[0]);
	fd_close(&out[1]);
	s->in = in[1];
	s->out = out[0];
	if (rc)
		spawn_kill(s);
	return rc;
}

/*
 * Somebody who says nothing, or never ends, would hold us for ever. Signals
 * that end us are held back, and so looked for: now and then, since nothing
 * else is to be done while time is measured.
 */
int spawn_await(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n, ms;

	for (ms = 0; ms < PATIENCE_MS; ms += SLICE_MS) {
		n = poll(&p, 1, SLICE_MS);
		if (n > 0 || (n < 0 && errno != EINTR))
			return 0;
		if (interrupt_pending())
			return -EINTR;
	}
	return -ETIMEDOUT;
}

int spawn_hear(const struct spawned *s, char *byte, struct err *e)
{
	const int rc = spawn_await(s->out);

	if (rc == -EINTR)
		return err_set(e, rc, "ended by a signal");
	if (rc)
		return err_set(e, rc, "its guest said nothing for %d s",
			       PATIENCE_MS / 1000);
	if (read(s->out, byte, 1) != 1)
		return err_set(e, -EPIPE,
			       "it ended before its guest said a word");
	return 0;
}

double spawn_age_ms(const struct spawned *s)
{
	return (double)(clock_now_ns() - s->begin_ns) / 1e6;
}

/* The pidfd says when it has ended. */
static int await_end(const struct spawned *s)
{
	CLEAN_FD int fd = process_open(s->pid);

	return fd < 0 ? 0 : spawn_await(fd);
}

int spawn_wait(struct spawned *s, double *ms, struct rusage *used,
	       struct err *e)
{
	struct rusage ignored;
	int status = 0, rc = await_end(s);
	const pid_t pid = s->pid;

	if (rc) {
		spawn_kill(s);
		if (rc == -EINTR)
			return err_set(e, rc, "ended by a signal");
		return err_set(e, rc, "it had not ended after %d s",
			       PATIENCE_MS / 1000);
	}
	while (wait4(pid, &status, 0, used ? used : &ignored) < 0)
		if (errno != EINTR)
			return err_errno(e, "can't wait for it");
	*ms = spawn_age_ms(s);
	s->pid = 0;
	spawn_kill(s);
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return 0;
	return err_set(e, -ECHILD, "it ended with %s %d",
		       WIFEXITED(status) ? "status" : "signal",
		       WIFEXITED(status) ? WEXITSTATUS(status)
					 : WTERMSIG(status));
}

void spawn_kill(struct spawned *s)
{
	if (s->pid > 0) {
		/* Its group: what is named as a peer may be a script. */
		kill(-s->pid, SIGKILL);
		waitpid(s->pid, NULL, 0);
	}
	fd_close(&s->in);
	fd_close(&s->out);
	*s = (struct spawned){0};
}

double spawn_private_kib(pid_t pid)
{
	char path[64], line[256];
	unsigned kib = 0;
	double found = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Private_Dirty: %u", &kib) == 1)
			found = kib;
	if (f)
		fclose(f);
	return found;
}
