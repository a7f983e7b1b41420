/*
 * PID and network namespaces come with the process, as do the groups of version
 * 2: that is cheaper than to be moved, and the monitor is the direct child of
 * whoever waits for it.
 *
 * The child is a copy of a process of one thread, and does nothing between but
 * system calls and snprintf().
 */
#include "api/ctl/vm/cell_clone.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jailer/landlock.h"
#include "vmm/base/fd.h"

static const uint64_t user_flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

static pid_t clone_with(uint64_t flags, int cgroup_fd)
{
	struct clone_args args = {
		.flags = flags,
		.exit_signal = SIGCHLD,
	};

	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup_fd;
	}
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static int write_proc(const char *path, const char *text)
{
	CLEAN_FD int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -errno;
	return 0;
}

/* Only the caller's own ids are in there. */
static int map_ids(uid_t uid, gid_t gid)
{
	char text[64];
	int rc = write_proc("/proc/self/setgroups", "deny");

	snprintf(text, sizeof(text), "%u %u 1", uid, uid);
	if (!rc)
		rc = write_proc("/proc/self/uid_map", text);
	snprintf(text, sizeof(text), "%u %u 1", gid, gid);
	return rc ? rc : write_proc("/proc/self/gid_map", text);
}

int cell_clone_try(void)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	pid_t pid = clone_with(user_flags | CLONE_NEWNS, -1);
	int status;

	if (pid < 0)
		return -errno;
	/* Where a security module lets them have it but not use it. */
	if (!pid)
		_exit(map_ids(uid, gid) ||
		      mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status ? -EPERM : 0;
}

/* ---- in the child ------------------------------------------------------- */

/* Whatever mayctl or nohup blocks or ignores is its own affair. */
static void reset_signals(void)
{
	sigset_t none;
	int i;

	for (i = 1; i < _NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Keeps 0 to 2 and what is to be passed, and nothing else. */
static int set_descriptors(const struct cell_monitor *m)
{
	unsigned i;
	int fd;

	for (fd = 0; fd < 3; fd++)
		if (dup2(m->standard[fd], fd) < 0)
			return -errno;
	if (syscall(SYS_close_range, 3, UINT_MAX, CLOSE_RANGE_CLOEXEC))
		return -errno;
	for (i = 0; i < m->fd_count; i++)
		if (fcntl(m->fds[i], F_SETFD, 0))
			return -errno;
	return 0;
}

static int write_records(const struct cell *c, const struct cell_monitor *m)
{
	int rc = c->claim.fd >= 0 ? uids_write_self(c->claim.fd) : 0;

	return !rc && m->record_fd >= 0 ? uids_write_self(m->record_fd) : rc;
}

/* What needs no namespace. */
static int lock_in(const struct cell *c, const struct cell_monitor *m,
		   struct err *e)
{
	if (fchdir(c->root_fd))
		return err_errno(e, "entering the monitor's directory");
	if (m->is_bound && prctl(PR_SET_PDEATHSIG, SIGTERM))
		return err_errno(e, "asking for an end with mayctl");
	if (c->kind != CELL_FILTERS)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err_errno(e, "setting no_new_privs");
	return landlock_enter(m->program, e);
}

static int become(const struct cell *c, const struct cell_monitor *m,
		  const uid_t uid, const gid_t gid, struct err *e)
{
	int rc = c->kind == CELL_USERNS ? map_ids(uid, gid) : 0;

	if (rc)
		return err_set(e, rc, "mapping uid %u", uid);
	rc = write_records(c, m);
	if (rc)
		return err_set(e, rc, "writing down the monitor's process");
	rc = cgroups_enter(&c->cgroups);
	if (rc)
		return err_set(e, rc, "entering the cgroups: %s",
			       strerror(-rc));
	reset_signals();
	rc = set_descriptors(m);
	if (rc)
		return err_set(e, rc, "setting up descriptors");
	if (c->kind == CELL_NONE || c->kind == CELL_FILTERS)
		return lock_in(c, m, e);
	return 0;
}

/* ---- both --------------------------------------------------------------- */

int cell_clone(const struct cell *c, const struct cell_monitor *m,
	       const char *path, const char *const *argv, pid_t *pid)
{
	static char *const empty[] = {NULL};
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	struct err e = {0};
	uint64_t flags = 0;

	if (c->kind == CELL_UID)
		flags = CLONE_NEWPID | CLONE_NEWNET;
	else if (c->kind == CELL_USERNS)
		flags = user_flags;
	*pid = clone_with(flags, c->cgroups.clone_fd);
	if (*pid < 0)
		return -errno;
	if (*pid)
		return 0;
	if (!become(c, m, uid, gid, &e)) {
		execve(path, (char *const *)(uintptr_t)argv, empty);
		err_errno(&e, "can't run %s", path);
	}
	dprintf(STDERR_FILENO, "mayfly: %s\n", e.text);
	_exit(127);
}
