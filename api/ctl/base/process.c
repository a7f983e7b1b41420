/* Processes and small files of the host. */
#include "api/ctl/base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum { SAID_MAX = 400 };

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

static int spawn(const char *const argv[], int in, int out, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc)
		return -rc;
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDERR_FILENO);
	/* posix_spawnp() writes to none of them. */
	rc = posix_spawnp(pid, argv[0], &actions, NULL,
			  (char *const *)(uintptr_t)argv, environ);
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

static int run(const char *const argv[], int in, struct err *e)
{
	CLEAN_FD int out = memfd_create("said", MFD_CLOEXEC);
	char said[SAID_MAX];
	int rc, status;
	pid_t pid;

	if (out < 0)
		return err_errno(e, "can't make a memory file");
	rc = spawn(argv, in, out, &pid);
	if (rc)
		return err_set(e, rc, "can't run %s: %s; is it installed?",
			       argv[0], strerror(-rc));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_errno(e, "can't wait for %s", argv[0]);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	read_said(out, said);
	return err_set(e, -EIO, "%s failed: %s", argv[0],
		       *said ? said : "it did not say why");
}

int process_run(const char *const argv[], struct err *e)
{
	CLEAN_FD int in = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (in < 0)
		return err_errno(e, "can't open /dev/null");
	return run(argv, in, e);
}

int process_feed(const char *const argv[], const char *text, struct err *e)
{
	CLEAN_FD int in = memfd_create("input", MFD_CLOEXEC);

	if (in < 0 || fd_pwrite(in, text, strlen(text), 0))
		return err_errno(e, "can't make a memory file");
	return run(argv, in, e);
}

/* ---- files -------------------------------------------------------------- */

int process_read_file(const char *path, size_t max, char **out, struct err *e)
{
	CLEAN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	int rc;

	*out = NULL;
	if (fd < 0 || fstat(fd, &st))
		return err_errno(e, "can't read %s", path);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max)
		return err_set(e, -EFBIG, "%s is no file of at most %zu bytes",
			       path, max);
	*out = malloc((size_t)st.st_size + 1);
	if (!*out)
		return err_set(e, -ENOMEM, "no memory for %s", path);
	rc = fd_pread(fd, *out, (size_t)st.st_size, 0);
	(*out)[rc ? 0 : st.st_size] = '\0';
	if (!rc)
		return 0;
	free(*out);
	*out = NULL;
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
