/*
 * One fork() serves both a daemon and a PID namespace. The two processes talk
 * over a socket pair that both close on exec: the first sends one byte for
 * "go on", the second sends a struct err if it fails, and the end of the file
 * means that the monitor runs.
 */
#include "jailer/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/fd.h"

int ns_join_net(const char *path, struct err *e)
{
	CLEAN_FD int fd = -1;

	/*
	 * The one path whose links are followed: /var/run is a link to /run on
	 * most systems, and /proc/PID/ns/net is one by nature. Nothing is read
	 * or written through it, and setns() takes nothing else than a network
	 * namespace.
	 */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 && (errno != EACCES || !geteuid()))
		return err_errno(e, "%.256s", path);
	if (fd >= 0 && !setns(fd, CLONE_NEWNET))
		return 0;
	if (errno == EINVAL)
		return err_set(e, -EINVAL,
			       "%.256s: not a network namespace; `ip netns` "
			       "lists those in /run/netns",
			       path);
	if (errno == EPERM || errno == EACCES)
		return err_errno(e,
				 "joining %.256s needs root; without it, start "
				 "the jailer in the network namespace already",
				 path);
	return err_errno(e, "joining %.256s", path);
}

int ns_fork(struct ns *ns, bool pid_ns, struct err *e)
{
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return err_errno(e, "socketpair");
	/* unshare() leaves this process where it is; its children are moved. */
	pid = pid_ns && unshare(CLONE_NEWPID) ? -1 : fork();
	if (pid < 0) {
		int rc = err_errno(e, pid_ns ? "process in a PID namespace"
					     : "process of the daemon");

		close(pair[0]);
		close(pair[1]);
		return rc;
	}
	close(pair[pid ? 1 : 0]);
	ns->channel = pair[pid ? 0 : 1];
	ns->child = pid;
	ns->is_second = pid == 0;
	return pid;
}

int ns_release(struct ns *ns, struct err *e)
{
	if (send(ns->channel, "", 1, MSG_NOSIGNAL) != 1)
		return err_errno(e, "waking the monitor's process");
	return 0;
}

int ns_wait_exec(struct ns *ns, struct err *e)
{
	struct err theirs;
	ssize_t n;

	do
		n = recv(ns->channel, &theirs, sizeof(theirs), 0);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return 0;
	ns->reported = n == sizeof(theirs);
	if (ns->reported)
		*e = theirs;
	else
		err_errno(e, "waiting for the monitor's process");
	ns_abandon(ns);
	return e->code;
}

void ns_abandon(struct ns *ns)
{
	fd_close(&ns->channel);
	while (waitpid(ns->child, NULL, 0) < 0 && errno == EINTR)
		;
}

int ns_wait_release(struct ns *ns, struct err *e)
{
	char byte;
	ssize_t n;

	do
		n = recv(ns->channel, &byte, 1, 0);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		return err_set(e, -EPIPE, "the jailer's first process ended");
	return 0;
}

void ns_report(struct ns *ns, const struct err *e)
{
	/* Nobody else can be told; the first process may be gone already. */
	if (send(ns->channel, e, sizeof(*e), MSG_NOSIGNAL) < 0)
		_exit(1);
}

int ns_daemonize(int null_fd, struct err *e)
{
	int fd;

	if (setsid() < 0)
		return err_errno(e, "setsid");
	for (fd = 0; fd < 3; fd++)
		if (dup2(null_fd, fd) < 0)
			return err_errno(e, "/dev/null as descriptor %d", fd);
	return 0;
}
