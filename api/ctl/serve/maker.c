#include "api/ctl/serve/maker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/ctl/base/process.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"

enum { END_MS = 5000 };

bool maker_is_busy(const struct maker *m)
{
	return m->pid > 0;
}

/* The last line of what it said. */
static void read_said(struct maker *m, char out[MAKER_SAID_MAX])
{
	char text[4096];
	const ssize_t n = read(m->said_fd, text, sizeof(text) - 1);
	char *line;

	snprintf(out, MAKER_SAID_MAX, "it did not say why");
	if (n <= 0)
		return;
	text[n] = '\0';
	for (line = text + strlen(text); line > text && line[-1] == '\n';)
		*--line = '\0';
	line = strrchr(text, '\n');
	snprintf(out, MAKER_SAID_MAX, "%.*s", MAKER_SAID_MAX - 1,
		 line ? line + 1 : text);
}

static void let_go(struct maker *m)
{
	loop_delete(m->loop, &m->watch);
	fd_close(&m->fd);
	fd_close(&m->said_fd);
	m->pid = 0;
}

static void ready(struct loop_watch *w, uint32_t events)
{
	struct maker *m = container_of(w, struct maker, watch);
	char said[MAKER_SAID_MAX];
	int status = -1;

	(void)events;
	while (waitpid(m->pid, &status, 0) < 0 && errno == EINTR)
		;
	read_said(m, said);
	let_go(m);
	m->ended(m, status == 0, said);
}

/* Signals are ours alone to heed, also those that a terminal sends to all. */
static int spawn(struct maker *m, char *const *argv, int said)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t how;
	sigset_t none;
	int rc;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawnattr_init(&how);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&files, said, 2);
	posix_spawnattr_setsigmask(&how, &none);
	posix_spawnattr_setpgroup(&how, 0);
	posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK |
					       POSIX_SPAWN_SETPGROUP);
	rc = posix_spawn(&m->pid, "/proc/self/exe", &files, &how, argv,
			 environ);
	posix_spawnattr_destroy(&how);
	posix_spawn_file_actions_destroy(&files);
	return -rc;
}

int maker_start(struct maker *m, struct loop *loop, const char *const *words,
		struct err *e)
{
	const char *argv[MAKER_WORDS_MAX + 2] = {"mayctl"};
	unsigned i;
	int ends[2], rc;

	for (i = 0; words[i]; i++) {
		if (i == MAKER_WORDS_MAX)
			return err_set(e, -E2BIG,
				       "mayctl has more than %d words",
				       MAKER_WORDS_MAX);
		argv[i + 1] = words[i];
	}
	m->loop = loop;
	m->watch = (struct loop_watch){.fd = -1, .ready = ready};
	m->fd = -1;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return err_errno(e, "can't make a pipe");
	rc = spawn(m, (char *const *)(uintptr_t)argv, ends[1]);
	close(ends[1]);
	m->said_fd = ends[0];
	if (rc) {
		m->pid = 0;
		let_go(m);
		return err_set(e, rc, "can't start mayctl: %s", strerror(-rc));
	}
	m->fd = process_open(m->pid);
	rc = m->fd < 0 ? err_set(e, m->fd, "pidfd_open: %s", strerror(-m->fd))
		       : loop_add(loop, &m->watch, m->fd, EPOLLIN, e);
	if (rc)
		maker_stop(m);
	return rc;
}

void maker_stop(struct maker *m)
{
	if (m->pid <= 0)
		return;
	kill(m->pid, SIGTERM);
	/* It undoes what it has begun, unless somebody keeps it waiting. */
	if (process_wait(m->fd, END_MS))
		kill(m->pid, SIGKILL);
	while (waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
		;
	let_go(m);
}
