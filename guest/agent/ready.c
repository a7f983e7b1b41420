/*
 * Making a container's root is the longest part of a RUN, and all of it but the
 * name, the volumes and the command is the same each time. So a guest that is
 * saved at rest has it done: a child that stands where root_enter() would leave
 * it, and reads the rest from a socket, the RUN as it came.
 *
 * It has run nothing of the image's, so it is ours, and is waited for.
 */
#include "guest/agent/ready.h"

#include "guest/agent/container.h"
#include "guest/agent/init.h"
#include "guest/agent/machine.h"
#include "guest/agent/plan.h"
#include "guest/agent/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAILED = 125, CONTROL = 3, FDS = 4 };

/* What it is told: this, with the descriptors that there are, then the RUN. */
struct order {
	uint32_t len;  /* of the RUN */
	bool has[FDS]; /* its 0, 1, 2, and where it reports */
	char resolv[sizeof(machine.resolv)];
	char address[2][sizeof(machine.address[0])];
};

static struct {
	pid_t pid; /* 0: there is none */
	int pidfd; /* for it may have ended, and another have its pid */
	int fd;
	char id[PROTO_ID_MAX + 1];
	char image[sizeof(machine.image)];
} ready;

/* ---- in the child ---------------------------------------------------------
 */

static bool read_all(void *to, size_t len)
{
	for (size_t done = 0; done < len;) {
		const ssize_t n =
			recv(CONTROL, (char *)to + done, len - done, 0);

		if (n <= 0 && (n == 0 || errno != EINTR))
			return false;
		done += n > 0 ? (size_t)n : 0;
	}
	return true;
}

/* The first byte of an order has the descriptors with it. */
static bool take_order(struct order *o, int fds[static FDS])
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(FDS * sizeof(int))];
	} control;
	struct iovec iov = {o, 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	int got[FDS] = {-1, -1, -1, -1}, next = 0;
	const struct cmsghdr *c;

	if (recvmsg(CONTROL, &msg, MSG_CMSG_CLOEXEC) != 1)
		return false;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(got, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	if (!read_all((char *)o + 1, sizeof(*o) - 1))
		return false;
	for (int i = 0; i < FDS; i++)
		fds[i] = o->has[i] ? got[next++] : -1;
	return true;
}

static _Noreturn void become(const struct order *o, const int fds[static FDS],
			     const uint8_t *payload)
{
	static struct container c;
	struct reader r = {.at = payload, .left = o->len};
	struct root root = {
		.resolv = o->resolv,
		.addresses = {o->address[0], o->address[1]},
	};
	struct spawn sp;

	plan_container(&c, &sp, &root, &r);
	for (int i = 0; i < 3; i++)
		sp.fds[i] = fds[i];
	sp.status = fds[3];
	sp.is_init = true;
	if (!c.hostname[0])
		snprintf(c.hostname, sizeof(c.hostname), "%.12s", c.id);
	sp.hostname = c.hostname;
	close(CONTROL);
	root_finish(&sp, &root);
	init_begin(&sp);
	spawn_exec(&sp);
}

static _Noreturn void wait_for_order(void)
{
	static struct order o;
	uint8_t *payload;
	int fds[FDS];

	if (!take_order(&o, fds))
		_exit(FAILED);
	payload = malloc(o.len + 1);
	if (!payload || !read_all(payload, o.len))
		_exit(FAILED);
	become(&o, fds, payload);
}

static _Noreturn void child(int control, const struct root *root)
{
	const struct spawn sp = {
		.ipc_fd = -1,
		.uts_fd = -1,
		.pid_fd = -1,
		.status = CONTROL,
		.group_fd = -1,
		.hostname = "",
	};

	/* What it keeps open its ends would not see closed. */
	dup2(control, CONTROL);
	syscall(SYS_close_range, CONTROL + 1, ~0U, 0);
	fcntl(CONTROL, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	root_begin(&sp, root);
	if (send(CONTROL, "", 1, MSG_NOSIGNAL) != 1)
		_exit(FAILED);
	wait_for_order();
}

/* ---- in the agent ---------------------------------------------------------
 */

void ready_drop(void)
{
	char away[TREE_AWAY];
	siginfo_t info;

	if (!ready.pid)
		return;
	syscall(SYS_pidfd_send_signal, ready.pidfd, SIGKILL, NULL, 0);
	while (waitid(P_PIDFD, (id_t)ready.pidfd, &info, WEXITED) &&
	       errno == EINTR)
		;
	close(ready.pidfd);
	close(ready.fd);
	ready.pid = 0;
	/* It has run nothing, so what it wrote is a few names in /etc. */
	if (!tree_put_away(machine.base, ready.id, away))
		tree_remove(machine.base, away);
}

static int child_make(void)
{
	const long flags = SIGCHLD | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS |
			   CLONE_NEWIPC;
	const struct root root = {
		.id = ready.id,
		.image = ready.image,
		.base = machine.base,
		.tree = machine.tree,
	};
	struct report report = {0};
	int fds[2];
	long pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	pid = syscall(SYS_clone, flags, 0, NULL, NULL, 0);
	if (!pid)
		child(fds[1], &root);
	close(fds[1]);
	ready.fd = fds[0];
	if (pid < 0) {
		close(ready.fd);
		return -errno;
	}
	ready.pid = (pid_t)pid;
	ready.pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (recv(ready.fd, &report, sizeof(report), 0) == 1)
		return 0;
	ready_drop();
	return report.error ? -report.error : -ECHILD;
}

void ready_make(struct session *s, struct reader *r)
{
	const struct bytes id = reader_string(r);
	const struct bytes image = reader_string(r);
	int rc = 0;

	/* Not of one that waits. */
	if (ready.pid)
		rc = -EALREADY;
	else if (!reader_done(r) || id.len > PROTO_ID_MAX ||
		 image.len >= sizeof(ready.image))
		rc = -EPROTO;
	if (!rc) {
		memset(ready.id, 0, sizeof(ready.id));
		memset(ready.image, 0, sizeof(ready.image));
		memcpy(ready.id, id.at, id.len);
		memcpy(ready.image, image.at, image.len);
		rc = plan_id_is_good(ready.id, id.len) ? 0 : -EPROTO;
	}
	rc = rc ? rc : child_make();
	if (rc)
		session_error(s, -rc, FAILED, "cannot prepare: %s",
			      strerror(-rc));
	else
		session_done(s);
}

/* What it has not, and what it has and a RUN may not want. */
static bool is_fitting(const struct spawn *sp, const struct root *root)
{
	const uint32_t others = PROTO_UNMASKED | PROTO_OWN_NETWORK;

	for (size_t i = 0; i < root->mounts_len; i++)
		if (*root->mounts[i].serial)
			return false;
	return root->request && !root->walls && !(sp->flags & others) &&
	       !root->shm_bytes && sp->group_fd < 0 &&
	       !strcmp(ready.id, root->id) && !strcmp(ready.image, root->image);
}

static bool send_all(const void *from, size_t len)
{
	for (size_t done = 0; done < len;) {
		const ssize_t n = send(ready.fd, (const char *)from + done,
				       len - done, MSG_NOSIGNAL);

		if (n < 0 && errno != EINTR)
			return false;
		done += n > 0 ? (size_t)n : 0;
	}
	return true;
}

static bool send_order(const struct spawn *sp, const struct root *root)
{
	const int all[FDS] = {sp->fds[0], sp->fds[1], sp->fds[2], sp->status};
	static struct order o;
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(FDS * sizeof(int))];
	} control = {0};
	struct iovec iov = {&o, 1};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
	};
	struct cmsghdr *c = &control.header;
	int fds[FDS] = {-1, -1, -1, -1};
	size_t n = 0;

	o = (struct order){.len = (uint32_t)root->request_len};
	for (int i = 0; i < FDS; i++) {
		o.has[i] = all[i] >= 0;
		if (o.has[i])
			fds[n++] = all[i];
	}
	memcpy(o.resolv, machine.resolv, sizeof(o.resolv));
	memcpy(o.address, machine.address, sizeof(o.address));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
	return sendmsg(ready.fd, &msg, MSG_NOSIGNAL) == 1 &&
	       send_all((const char *)&o + 1, sizeof(o) - 1) &&
	       send_all(root->request, root->request_len);
}

pid_t ready_take(const struct spawn *sp, const struct root *root)
{
	const pid_t pid = ready.pid;

	if (!pid)
		return 0;
	if (!is_fitting(sp, root) || !send_order(sp, root)) {
		ready_drop();
		return 0;
	}
	close(ready.pidfd);
	close(ready.fd);
	ready.pid = 0;
	return pid;
}
