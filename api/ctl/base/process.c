/* Processes and small files of the host. */
#include "api/ctl/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/ctl/base/interrupt.h"
#include "vmm/base/fd.h"

enum { SAID_MAX = 400, END_MS = 3000 };

uint64_t process_start_time(pid_t pid)
{
	CLEAN_FD int fd = -1;
	char path[32], text[1024], state, *at;
	uint64_t start = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	/* The name, in brackets, may hold blanks and brackets. */
	at = strrchr(text, ')');
	if (!at ||
	    sscanf(at,
		   ") %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		   "%*s %*s %*s %*s %*s %*s %" SCNu64,
		   &state, &start) != 2 ||
	    state == 'Z' || state == 'X')
		return 0;
	return start;
}

int process_open(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}

void process_leave_streams(int log)
{
	CLEAN_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(log >= 0 ? log : null, STDERR_FILENO);
}

int process_signal(int pidfd, int signal)
{
	if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0))
		return -errno;
	return 0;
}

int process_wait(int pidfd, int timeout_ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int n;

	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	return n > 0 ? 0 : -ETIMEDOUT;
}

/* ---- programs ----------------------------------------------------------- */

static int spawn(const char *const argv[], int in, int out, int err, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc)
		return -rc;
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
	/*
	 * What we hold back is not held back there, and a terminal's keys are
	 * for us: in a group of its own it gets what we pass on.
	 */
	posix_spawnattr_init(&attributes);
	sigemptyset(&none);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETPGROUP);
	/* posix_spawnp() writes to none of them. */
	rc = posix_spawnp(pid, argv[0], &actions, &attributes,
			  (char *const *)(uintptr_t)argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

/* What a program said, without line feeds, for a sentence. */
static void read_said(int fd, char said[SAID_MAX])
{
	ssize_t n = pread(fd, said, SAID_MAX - 1, 0);
	char *at;

	said[n > 0 ? n : 0] = '\0';
	while ((at = strpbrk(said, "\r\n")))
		*at = ' ';
	for (at = said + strlen(said); at > said && at[-1] == ' ';)
		*--at = '\0';
}

/*
 * Waits for a program, and ends it where we are told to end: it then has
 * END_MS to tidy up.
 */
static int await(pid_t pid, int *status, struct err *e)
{
	CLEAN_FD int signals = interrupt_open();
	CLEAN_FD int end = process_open(pid);
	struct pollfd p[] = {{.fd = end, .events = POLLIN},
			     {.fd = signals, .events = POLLIN}};
	bool is_told = false;

	while (signals >= 0 && end >= 0 && !(p[0].revents & POLLIN)) {
		if (poll(p, is_told ? 1 : 2, is_told ? END_MS : -1) == 0)
			(void)process_signal(end, SIGKILL);
		else if (!is_told && p[1].revents)
			(void)process_signal(end, SIGTERM);
		is_told = is_told || p[1].revents;
	}
	while (waitpid(pid, status, 0) < 0)
		if (errno != EINTR)
			return err_errno(e, "can't wait for a program");
	return is_told ? err_set(e, -EINTR, "interrupted") : 0;
}

static int run(const char *const argv[], int in, int out, struct err *e)
{
	CLEAN_FD int said_fd = memfd_create("said", MFD_CLOEXEC);
	char said[SAID_MAX];
	int rc, status;
	pid_t pid;

	if (said_fd < 0)
		return err_errno(e, "can't make a memory file");
	rc = spawn(argv, in, out < 0 ? said_fd : out, said_fd, &pid);
	if (rc)
		return err_set(e, rc, "can't run %s: %s; is it installed?",
			       argv[0], strerror(-rc));
	rc = await(pid, &status, e);
	if (rc)
		return rc;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	read_said(said_fd, said);
	return err_set(e, -EIO, "%s failed: %s", argv[0],
		       *said ? said : "it did not say why");
}

int process_run(const char *const argv[], struct err *e)
{
	CLEAN_FD int in = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (in < 0)
		return err_errno(e, "can't open /dev/null");
	return run(argv, in, -1, e);
}

int process_feed(const char *const argv[], const char *text, struct err *e)
{
	CLEAN_FD int in = memfd_create("input", MFD_CLOEXEC);

	if (in < 0 || fd_pwrite(in, text, strlen(text), 0))
		return err_errno(e, "can't make a memory file");
	return run(argv, in, -1, e);
}

/* The text of a descriptor's whole file, which has at most max bytes. */
static int read_all(int fd, size_t max, char **out)
{
	struct stat st;
	int rc;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max)
		return -EFBIG;
	*out = malloc((size_t)st.st_size + 1);
	if (!*out)
		return -ENOMEM;
	rc = fd_pread(fd, *out, (size_t)st.st_size, 0);
	(*out)[rc ? 0 : st.st_size] = '\0';
	if (!rc)
		return 0;
	free(*out);
	*out = NULL;
	return rc;
}

int process_ask(const char *const argv[], size_t max, char **out, struct err *e)
{
	CLEAN_FD int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CLEAN_FD int answer = memfd_create("answer", MFD_CLOEXEC);
	int rc;

	*out = NULL;
	if (in < 0 || answer < 0)
		return err_errno(e, "can't open files for %s", argv[0]);
	rc = run(argv, in, answer, e);
	if (rc)
		return rc;
	rc = read_all(answer, max, out);
	return rc ? err_set(e, rc, "%s said too much", argv[0]) : 0;
}

/* ---- files -------------------------------------------------------------- */

int process_read_file(const char *path, size_t max, char **out, struct err *e)
{
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int rc;

	*out = NULL;
	if (fd < 0)
		return err_errno(e, "can't read %s", path);
	rc = read_all(fd, max, out);
	if (!rc)
		return 0;
	if (rc == -EFBIG)
		return err_set(e, -EFBIG, "%s is no file of at most %zu bytes",
			       path, max);
	return err_set(e, rc, "can't read %s: %s", path, strerror(-rc));
}

int process_write_file(const char *path, const char *text, struct err *e)
{
	CLEAN_FD int fd = -1;
	char other[PATH_MAX];
	int rc;

	snprintf(other, sizeof(other), "%s.new", path);
	fd = open(other, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(e, "can't write %s", other);
	rc = fd_pwrite(fd, text, strlen(text), 0);
	if (!rc && rename(other, path))
		rc = -errno;
	if (!rc)
		return 0;
	unlink(other);
	return err_set(e, rc, "can't write %s: %s", path, strerror(-rc));
}

int process_own_dir(char *out, size_t size, struct err *e)
{
	ssize_t n = readlink("/proc/self/exe", out, size - 1);
	char *slash;

	if (n <= 0)
		return err_errno(e, "can't tell where mayctl is");
	out[n] = '\0';
	slash = strrchr(out, '/');
	if (slash)
		*slash = '\0';
	return 0;
}
