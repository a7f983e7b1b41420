/*
 * The last steps of a child: terminal, user, capabilities, exec. The order is
 * that of runc: what needs privilege first, no_new_privs and exec last.
 */
#include "guest/agent/spawn.h"

#include "guest/agent/user.h"
#include "guest/proto.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

enum { CANNOT_RUN = 126, NOT_FOUND = 127, FAILED = 125, PATHS = 4096 };

void spawn_fail(const struct spawn *sp, int status, int error, const char *fmt,
		...)
{
	struct report report = {.error = error, .status = status};
	va_list args;

	va_start(args, fmt);
	vsnprintf(report.sentence, sizeof(report.sentence), fmt, args);
	va_end(args);
	/* If the agent is not there any more nobody wants to know. */
	if (send(sp->status, &report, sizeof(report), MSG_NOSIGNAL) < 0)
		_exit(FAILED);
	_exit(status);
}

void spawn_fini(struct spawn *sp)
{
	free(sp->user);
	free(sp->cwd);
	free(sp->argv);
	free(sp->env);
	sp->user = sp->cwd = NULL;
	sp->argv = sp->env = NULL;
}

/* ---- the terminal ---------------------------------------------------------
 */

static int master_send(const struct spawn *sp, int master)
{
	struct report report = {0};
	struct iovec iov = {&report, sizeof(report)};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &master, sizeof(master));
	return sendmsg(sp->status, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/*
 * A terminal of the container's own devpts, so that ttyname() works there. What
 * lies at that path is the container's business: only a real master has a peer.
 */
static int terminal_open(const struct spawn *sp)
{
	const struct winsize size = {.ws_row = sp->rows, .ws_col = sp->columns};
	const int master = open("/dev/pts/ptmx",
				O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	int slave, unlock = 0, number = 0;
	char path[32];

	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock))
		spawn_fail(sp, FAILED, errno, "cannot make a terminal");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		spawn_fail(sp, FAILED, errno, "cannot open the terminal");
	if (size.ws_row && ioctl(slave, TIOCSWINSZ, &size))
		spawn_fail(sp, FAILED, errno, "cannot set its window size");
	if (ioctl(slave, TIOCSCTTY, 0))
		spawn_fail(sp, FAILED, errno, "cannot take the terminal");
	if (sp->is_init && !ioctl(master, TIOCGPTN, &number)) {
		/* As docker has it; programs live without. */
		const int fd = open("/dev/console",
				    O_CREAT | O_EXCL | O_CLOEXEC, 0600);

		if (fd >= 0)
			close(fd);
		snprintf(path, sizeof(path), "/dev/pts/%d", number);
		mount(path, "/dev/console", NULL, MS_BIND, NULL);
	}
	if (master_send(sp, master))
		spawn_fail(sp, FAILED, errno, "cannot hand the terminal over");
	close(master);
	return slave;
}

static void stdio_set(const struct spawn *sp)
{
	int fds[3];

	for (int i = 0; i < 3; i++)
		fds[i] = sp->fds[i];
	if (sp->flags & PROTO_TTY)
		fds[0] = fds[1] = fds[2] = terminal_open(sp);
	for (int i = 0; i < 3; i++) {
		if (fds[i] < 0)
			fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fds[i] < 0 || dup2(fds[i], i) < 0)
			spawn_fail(sp, FAILED, errno, "cannot open /dev/null");
	}
}

/*
 * Standard streams belong to who uses them, or /dev/stdout could not be opened
 * by its name. /dev/null is everybody's.
 */
static void stdio_give(const struct spawn *sp, uid_t uid)
{
	for (int fd = 0; fd < 3; fd++) {
		struct stat st;

		if (fstat(fd, &st) || st.st_uid == uid ||
		    (!S_ISFIFO(st.st_mode) && !(sp->flags & PROTO_TTY)))
			continue;
		if (fchown(fd, uid, (gid_t)-1))
			spawn_fail(sp, FAILED, errno,
				   "cannot give a stream to the user");
	}
}

/* ---- rights ---------------------------------------------------------------
 */

static void limits_set(const struct spawn *sp)
{
	for (size_t i = 0; i < sp->limits_len; i++) {
		const struct spawn_limit *l = &sp->limits[i];
		const struct rlimit limit = {.rlim_cur = l->soft,
					     .rlim_max = l->hard};

		if (setrlimit((int)l->resource, &limit))
			spawn_fail(sp, FAILED, errno,
				   "cannot set the limit %u to %llu of %llu: "
				   "%s",
				   l->resource, (unsigned long long)l->soft,
				   (unsigned long long)l->hard,
				   strerror(errno));
	}
}

static void rights_set(const struct spawn *sp, const struct user *u)
{
	const char *what;
	const int rc = rights_take(&sp->rights, u, &what);

	if (rc)
		spawn_fail(sp, FAILED, -rc, "cannot set %s: %s", what,
			   strerror(-rc));
}

/* ---- the environment ------------------------------------------------------
 */

static const char *env_find(char *const *env, const char *name)
{
	const size_t len = strlen(name);

	for (; env && *env; env++)
		if (!strncmp(*env, name, len) && (*env)[len] == '=')
			return *env + len + 1;
	return NULL;
}

static size_t env_len(const char *const *env)
{
	size_t n = 0;

	while (env && env[n])
		n++;
	return n;
}

static void env_put(char **env, size_t *n, const char *item)
{
	const char *eq = strchr(item, '=');
	const size_t len = eq ? (size_t)(eq - item) + 1 : 0;

	if (!eq)
		return; /* what has no value is no variable */
	for (size_t i = 0; i < *n; i++) {
		if (strncmp(env[i], item, len) != 0)
			continue;
		env[i] = (char *)(uintptr_t)item;
		return;
	}
	env[(*n)++] = (char *)(uintptr_t)item;
}

/* The later of two of a name counts, as a shell has it. */
static char **env_make(const struct spawn *sp, const struct user *u)
{
	static const char path[] =
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:"
		"/bin";
	static char home[280], host[96], term[] = "TERM=xterm";
	const char *const *own = (const char *const *)sp->env;
	const size_t max = env_len(sp->base_env) + env_len(own) + 5;
	char **env = calloc(max, sizeof(*env));
	size_t n = 0;

	if (!env)
		spawn_fail(sp, FAILED, ENOMEM, "no memory for the environment");
	snprintf(home, sizeof(home), "HOME=%s", *u->home ? u->home : "/");
	snprintf(host, sizeof(host), "HOSTNAME=%s", sp->hostname);
	env_put(env, &n, path);
	env_put(env, &n, host);
	if (sp->flags & PROTO_TTY)
		env_put(env, &n, term);
	env_put(env, &n, home);
	for (const char *const *e = sp->base_env; e && *e; e++)
		env_put(env, &n, *e);
	for (const char *const *e = own; e && *e; e++)
		env_put(env, &n, *e);
	return env;
}

static void cwd_enter(const struct spawn *sp)
{
	char path[PATHS];

	if (snprintf(path, sizeof(path), "%s", *sp->cwd ? sp->cwd : "/") >=
	    (int)sizeof(path))
		spawn_fail(sp, FAILED, ENAMETOOLONG,
			   "the working directory's name is too long");
	if (chdir(path) && errno == ENOENT) {
		for (char *p = path; *p; p++) {
			if (*p != '/' || p == path)
				continue;
			*p = '\0';
			mkdir(path, 0755);
			*p = '/';
		}
		mkdir(path, 0755);
	}
	if (chdir(path))
		spawn_fail(sp, FAILED, errno,
			   "cannot enter the working directory %.100s", path);
	/* A link may have led out of the container's files. */
	if (!getcwd(path, sizeof(path)) || *path != '/')
		spawn_fail(sp, FAILED, errno,
			   "the working directory is not in the container");
}

/* What the agent has open is not to be reached by /proc/self/fd of a child's.
 */
static void keep_streams(struct spawn *sp)
{
	enum { STATUS = 3 };

	if (sp->status != STATUS && dup3(sp->status, STATUS, O_CLOEXEC) < 0)
		spawn_fail(sp, FAILED, errno, "no descriptor");
	sp->status = STATUS;
	syscall(SYS_close_range, STATUS + 1, ~0U, 0);
}

/* ---- exec -----------------------------------------------------------------
 */

static _Noreturn void exec_fail(const struct spawn *sp, int error)
{
	const char *name = sp->argv[0];

	if (error == ENOENT && !strchr(name, '/'))
		spawn_fail(sp, NOT_FOUND, error, "%.150s: not found in PATH",
			   name);
	if (error == ENOENT || error == ENOTDIR)
		spawn_fail(
			sp, NOT_FOUND, error,
			"%.150s: no such file, or its interpreter is missing",
			name);
	spawn_fail(sp, CANNOT_RUN, error, "%.150s cannot be run: %s", name,
		   strerror(error));
}

static _Noreturn void exec_path(const struct spawn *sp, char **env)
{
	const char *name = sp->argv[0];
	const char *dir = env_find(env, "PATH");
	int error = ENOENT;
	char path[PATHS];

	if (strchr(name, '/') || !*name) {
		execve(name, sp->argv, env);
		exec_fail(sp, errno);
	}
	while (dir && *dir) {
		const int len = (int)strcspn(dir, ":");
		const int n = snprintf(path, sizeof(path), "%.*s%s%s", len, dir,
				       len ? "/" : "./", name);

		dir += len + (dir[len] == ':');
		if (n >= (int)sizeof(path))
			continue;
		execve(path, sp->argv, env);
		if (errno != ENOENT && errno != ENOTDIR)
			error = errno;
	}
	exec_fail(sp, error);
}

static void signals_reset(void)
{
	struct sigaction sa = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int sig = 1; sig < _NSIG; sig++)
		sigaction(sig, &sa, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void spawn_exec(struct spawn *sp)
{
	struct user user;
	char what[80];
	char **env;
	int rc;

	rc = user_find(&user, sp->user, what);
	if (rc)
		spawn_fail(sp, FAILED, -rc,
			   "%s is not in the image's /etc/passwd or group",
			   what);
	env = env_make(sp, &user);
	setsid();
	stdio_set(sp);
	stdio_give(sp, user.uid);
	keep_streams(sp);
	umask(sp->rights.has_umask ? (mode_t)sp->rights.umask : 022);
	cwd_enter(sp);
	limits_set(sp);
	signals_reset();
	rights_set(sp, &user);
	exec_path(sp, env);
}
