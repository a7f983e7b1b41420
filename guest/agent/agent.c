/*
 * The guest's agent: PID 1 of a microVM, told what to do over vsock
 * (guest/proto.h says how). /init of an initrd that holds nothing else.
 *
 * One thread and one loop. It never waits for anybody: what may block is done
 * by a child. Before it listens it does only what the first container could not
 * do without, as each step is part of the time that a start takes.
 *
 * For tests it also runs outside a VM, in mount and PID namespaces of its own:
 *
 *	agent --listen-unix SOCKET --root DIRECTORY --base DIRECTORY
 *
 * with DIRECTORY as every image, and containers' own files below --base, where
 * a tmpfs should be.
 */
#include "guest/agent/loop.h"
#include "guest/agent/machine.h"
#include "guest/agent/process.h"
#include "guest/agent/request.h"
#include "guest/agent/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Which in some versions takes for granted what <sys/socket.h> has. */
#include <linux/vm_sockets.h>

enum { BACKLOG = 64, FILES_SOFT = 1024, FILES_HARD = 524288 };

static struct watch listener, signals, caller;

static void say(const char *what)
{
	char line[160];
	const int n = snprintf(line, sizeof(line), "mayfly-agent: %s: %s\n",
			       what, strerror(errno));

	/* Without a console there is nobody to tell. */
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}

/* ---- PID 1 ----------------------------------------------------------------
 */

/* The rootfs can't be pivoted away from, so containers are made from a tmpfs
 * over it. What was in the rootfs is deleted, which gives its memory back. */
static void root_leave(void)
{
	static const char *const files[] = {"/init", "/dev/console"};
	static const char *const dirs[] = {"/dev", "/proc", "/sys",
					   "/run", "/tmp",  "/root"};

	mkdir("/new", 0755);
	if (mount("tmpfs", "/new", "tmpfs", MS_NOSUID, "mode=755"))
		say("cannot mount a tmpfs");
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(files[i]);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		rmdir(dirs[i]);
	if (chdir("/new") || mount(".", "/", NULL, MS_MOVE, NULL) ||
	    chroot(".") || chdir("/"))
		say("cannot change the root");
}

static void mounts_make(void)
{
	static const char *const mounts[][2] = {
		{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}};

	root_leave();
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i][1], 0755);
		if (mount(mounts[i][0], mounts[i][1], mounts[i][0], 0, NULL))
			say(mounts[i][1]);
	}
	mkdir("/upper", 0755);
}

/* 0, 1 and 2 must be taken, or a pipe would be where a child has its stdio. */
static void stdio_open(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static void limits_set(void)
{
	const struct rlimit files = {FILES_SOFT, FILES_HARD};

	setrlimit(RLIMIT_NOFILE, &files);
}

/* ---- signals --------------------------------------------------------------
 */

static void signals_ready(struct watch *w, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)events;
	while (read(w->fd, &info, sizeof(info)) > 0)
		;
	processes_reap();
}

static int signals_open(void)
{
	sigset_t set;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	watch_start(&signals, fd, EPOLLIN, signals_ready);
	return 0;
}

/* ---- connections ----------------------------------------------------------
 */

static void listener_ready(struct watch *w, uint32_t events)
{
	struct sockaddr_vm from = {0};
	socklen_t len = sizeof(from);
	const int fd = accept4(w->fd, (struct sockaddr *)&from, &len,
			       SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	/* Only the host; a container could be somebody else. */
	if (!machine.is_test && from.svm_cid != VMADDR_CID_HOST)
		close(fd);
	else
		session_accept(fd, request_serve);
}

/* Connected, or refused: then nobody waits for the call. */
static void caller_ready(struct watch *w, uint32_t events)
{
	socklen_t len = sizeof(int);
	const int fd = w->fd;
	int error = 0;

	(void)events;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	watch_set(w, 0);
	w->fd = -1;
	if (error)
		close(fd);
	else
		session_accept(fd, request_serve);
}

/* The one call to the host, which tells it that we are there. */
static void host_call(void)
{
	const struct sockaddr_vm to = {.svm_family = AF_VSOCK,
				       .svm_cid = VMADDR_CID_HOST,
				       .svm_port = PROTO_PORT};
	const int fd =
		socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) &&
	    errno != EINPROGRESS)
		close(fd);
	else
		watch_start(&caller, fd, EPOLLOUT, caller_ready);
}

static int vsock_listen(void)
{
	const struct sockaddr_vm at = {.svm_family = AF_VSOCK,
				       .svm_cid = VMADDR_CID_ANY,
				       .svm_port = PROTO_PORT};
	const int fd =
		socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) ||
	    listen(fd, BACKLOG))
		return -errno;
	watch_start(&listener, fd, EPOLLIN, listener_ready);
	return 0;
}

static int unix_listen(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	const int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) ||
	    listen(fd, BACKLOG))
		return -errno;
	watch_start(&listener, fd, EPOLLIN, listener_ready);
	return 0;
}

/* ---- the beginning --------------------------------------------------------
 */

/* The tests' options; false if there are none. */
static const char *test_options(int argc, char **argv)
{
	const char *socket = NULL;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--listen-unix"))
			socket = argv[i + 1];
		else if (!strcmp(argv[i], "--root"))
			machine.tree = argv[i + 1];
		else if (!strcmp(argv[i], "--base"))
			machine.base = argv[i + 1];
	}
	return machine.tree && machine.base ? socket : NULL;
}

int main(int argc, char **argv)
{
	const char *test = test_options(argc, argv);
	int rc;

	machine.agent_us = machine_uptime_us();
	if (!test && getpid() != 1) {
		static const char why[] =
			"mayfly-agent: this is PID 1 of a microVM; see "
			"docs/guest-abi.md\n";

		return write(STDERR_FILENO, why, sizeof(why) - 1) < 0 ? 1 : 2;
	}
	machine.is_test = test != NULL;
	if (!test) {
		machine.base = "/upper";
		machine.tree = NULL;
		mounts_make();
	}
	stdio_open();
	rc = loop_open();
	if (!rc)
		rc = signals_open();
	if (!rc)
		rc = test ? unix_listen(test) : vsock_listen();
	if (rc) {
		errno = -rc;
		say("cannot listen");
	}
	machine.ready_us = machine_uptime_us();
	if (!test)
		host_call();
	limits_set();
	for (;;) {
		loop_turn();
		sessions_resume();
		sessions_sweep();
	}
}
