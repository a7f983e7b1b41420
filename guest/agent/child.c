/*
 * How children begin: their pipes, the fork, and what a child does before it is
 * somebody else.
 */
#include "guest/agent/child.h"

#include "guest/agent/group.h"
#include "guest/agent/init.h"
#include "guest/agent/join.h"
#include "guest/agent/ready.h"
#include "guest/agent/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FAILED = 125 };

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* A pipe of which we keep one end as stream @i and the child gets the other. */
static int pipe_make(struct process *p, int i, int *theirs)
{
	int fds[2];
	const int ours = i == PROTO_STDIN ? 1 : 0;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	fcntl(fds[ours], F_SETFL, O_NONBLOCK);
	watch_start(&p->fd[i], fds[ours], 0,
		    i == PROTO_STDIN ? process_input_ready
				     : process_stream_ready);
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
	watch_start(&p->status, fds[0], EPOLLIN, process_status_ready);
	*theirs = fds[1];
	return 0;
}

static void score_set(const struct spawn *sp)
{
	const int rc = rights_score(&sp->rights);

	if (rc)
		spawn_fail(sp, FAILED, -rc,
			   "cannot set oom_score_adj to %d: %s",
			   sp->rights.score, strerror(-rc));
}

/* In the child of a RUN. */
static void child_enter(const struct spawn *sp, const struct root *root)
{
	const struct walls *w = root->walls;
	int rc;

	score_set(sp);
	join_namespaces(sp);
	root_enter(sp, root);
	rc = sp->group_fd >= 0 ? group_enter(w && w->is_group_writable) : 0;
	if (rc)
		spawn_fail(sp, FAILED, -rc, "cannot mount the control group");
	/* Now that its disks are mounted. */
	rc = w ? devices_restrict(&w->devices, sp->group_fd) : 0;
	if (rc)
		spawn_fail(sp, FAILED, -rc,
			   "cannot have the kernel judge who opens devices "
			   "(CONFIG_CGROUP_BPF): %s",
			   strerror(-rc));
	init_begin(sp);
}

/* In the child of an EXEC, or of one that only needs the container's mounts. */
static void child_join(const struct spawn *sp)
{
	int what = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC;

	if (sp->flags & PROTO_OWN_NETWORK)
		what |= CLONE_NEWNET;
	if (sp->group_fd >= 0)
		what |= CLONE_NEWCGROUP;
	score_set(sp);
	if (setns(sp->pidfd, what))
		spawn_fail(sp, FAILED, errno, "cannot join the container");
}

/* As fork(), into namespaces and a group. */
static long clone_into(uint64_t flags, int group_fd)
{
	struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD};

	/* To move it later would wait for all processors. */
	if (group_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)group_fd;
	}
	return syscall(SYS_clone3, &args, sizeof(args));
}

/* Of a first process: those that it is to have for itself. */
static uint64_t namespaces_of(const struct spawn *sp)
{
	uint64_t flags = CLONE_NEWNS;

	if (sp->pid_fd < 0)
		flags |= CLONE_NEWPID;
	if (sp->uts_fd < 0)
		flags |= CLONE_NEWUTS;
	if (sp->ipc_fd < 0)
		flags |= CLONE_NEWIPC;
	if (sp->flags & PROTO_OWN_NETWORK)
		flags |= CLONE_NEWNET;
	return flags;
}

/*
 * An EXEC's process must be born in the container's PID namespace, and one that
 * shares another's in that, so the agent itself has its children born there for
 * the moment of the fork.
 */
static pid_t child_fork(const struct spawn *sp)
{
	const uint64_t flags = sp->is_init ? namespaces_of(sp) : 0;
	const int pids_fd = sp->is_init ? sp->pid_fd : sp->pidfd;
	static int own = -1;
	long pid;

	if (sp->is_init && pids_fd < 0) {
		pid = clone_into(flags, sp->group_fd);
		return pid < 0 ? -errno : (pid_t)pid;
	}
	if (own < 0)
		own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	if (own < 0 || setns(pids_fd, CLONE_NEWPID))
		return -errno;
	pid = clone_into(flags, sp->group_fd);
	if (pid < 0)
		pid = -errno;
	if (pid && setns(own, CLONE_NEWPID))
		abort(); /* our own namespace always takes us back */
	return (pid_t)pid;
}

struct process *child_start(struct session *s, struct spawn *sp,
			    const struct root *root, struct container *c,
			    const struct process_ops *ops, int *error)
{
	struct process *p =
		process_new(s, sp->is_init ? PROCESS_INIT : PROCESS_EXEC);
	int rc = p ? 0 : -ENOMEM;

	sp->status = sp->fds[0] = sp->fds[1] = sp->fds[2] = -1;
	if (p) {
		p->flags = sp->flags;
		p->container = c;
		p->ops = ops;
		rc = pipes_make(p, sp->fds);
	}
	if (!rc)
		rc = status_make(p, &sp->status);
	if (!rc && sp->is_init)
		rc = ready_take(sp, root);
	if (!rc)
		rc = child_fork(sp);
	if (p && rc == 0) {
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
		if (sp->is_init)
			child_enter(sp, root);
		else
			child_join(sp);
		spawn_exec(sp);
	}
	for (int i = 0; i < 3; i++)
		close_fd(&sp->fds[i]);
	close_fd(&sp->status);
	if (rc > 0) {
		p->pid = rc;
		return p;
	}
	if (p)
		process_free(p);
	*error = -rc;
	return NULL;
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

static _Noreturn void help(enum process_kind kind, child_fn *fn, void *arg,
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

struct process *child_help(struct session *s, enum process_kind kind,
			   child_fn *fn, void *arg,
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
	if (s)
		session_error(s, -rc, FAILED, "cannot make a process: %s",
			      strerror(-rc));
	return NULL;
}

int child_sync(void *arg, int in, int out, char *sentence, size_t len)
{
	(void)arg;
	(void)in;
	(void)out;
	(void)len;
	sentence[0] = '\0';
	sync();
	return 0;
}
