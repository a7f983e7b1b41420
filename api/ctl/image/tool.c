/*
 * Running a tool: fork, wall, exec, then one poll() loop over its output, its
 * words and our signals.
 */
#include "api/ctl/image/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/ctl/image/wall.h"
#include "api/ctl/image/words.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"

enum { OUTPUT_MAX = 8 << 20, TICK_MS = 100 };

/* One tool at work. */
struct work {
	struct image_tools *tools;
	const struct image_tool *tool;
	pid_t pid;
	int output; /* the ends we read */
	int words;
	char *text; /* owned; collected output */
	size_t len;
	struct image_words said;
};

/* What ends an import, but for what nohup and shells' `&` have us ignore. */
static void ending_signals(sigset_t *set)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction now;
	unsigned i;

	sigemptyset(set);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sigaction(signals[i], NULL, &now) ||
		    now.sa_handler != SIG_IGN)
			sigaddset(set, signals[i]);
}

int image_tools_begin(struct image_tools *t, struct err *e)
{
	sigset_t set;

	ending_signals(&set);
	sigprocmask(SIG_BLOCK, &set, &t->mask);
	t->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return t->signals < 0 ? err_errno(e, "can't watch for signals") : 0;
}

void image_tools_end(struct image_tools *t, bool is_taken)
{
	struct signalfd_siginfo info;

	/* What ended the import has had its effect; what came too late for
	 * that is for the caller. */
	while (is_taken && t->signals >= 0 &&
	       read(t->signals, &info, sizeof(info)) == sizeof(info))
		continue;
	fd_close(&t->signals);
	sigprocmask(SIG_SETMASK, &t->mask, NULL);
}

static int wait_signal(struct image_tools *t, int ms, struct err *e)
{
	struct pollfd p = {.fd = t->signals, .events = POLLIN};

	if (poll(&p, 1, ms) > 0)
		return err_set(e, -EINTR,
			       "interrupted; the store is as it was");
	return 0;
}

int image_tools_check(struct image_tools *t, struct err *e)
{
	return wait_signal(t, 0, e);
}

int image_tools_pause(struct image_tools *t, struct err *e)
{
	return wait_signal(t, TICK_MS, e);
}

/* ---- the child --------------------------------------------------------- */

static void child_fail(const char *what)
{
	const int code = errno;

	dprintf(2, "%s: %s\n", what, strerror(code));
	_exit(code == ENOENT ? 127 : 126);
}

static void child(const struct work *w, int output, int words, pid_t parent)
{
	const struct image_tool *tool = w->tool;
	const char *input = tool->input ? tool->input : "/dev/null";
	const int in = open(input, O_RDONLY);
	sigset_t none;
	unsigned i;
	int r;

	/* Whatever number it gets, dup2() puts it in its place below. */
	if (in < 0)
		child_fail(input);
	if (dup2(in, 0) < 0 || dup2(output, 1) < 0 || dup2(words, 2) < 0)
		_exit(126);
	if (in > 2)
		close(in);
	if (fchdir(w->tools->folder))
		child_fail("the import's folder");
	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	umask(022);
	setenv("TMPDIR", w->tools->temp, 1);
	setenv("LC_ALL", "C.UTF-8", 1);
	/* tools' own options, from the environment, are not ours */
	unsetenv("TAR_OPTIONS");
	unsetenv("GZIP");
	for (i = 0; tool->env && tool->env[i]; i++)
		putenv((char *)(uintptr_t)tool->env[i]);
	r = image_wall_enter(tool->walls, w->tools->folder);
	if (r) {
		errno = -r;
		child_fail("can't confine it");
	}
	/* After the wall: changing credentials undoes this. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(126);
	execvp(tool->argv[0], (char **)(uintptr_t)tool->argv);
	child_fail(tool->argv[0]);
}

static int start(struct work *w, struct err *e)
{
	const pid_t parent = getpid();
	int output[2] = {-1, -1};
	int words[2] = {-1, -1};
	int r = 0;

	if (pipe2(output, O_CLOEXEC) || pipe2(words, O_CLOEXEC))
		r = err_errno(e, "can't make a pipe");
	/* Larger pipes, fewer turns. */
	(void)fcntl(output[0], F_SETPIPE_SZ, 1 << 20);
	w->pid = r ? -1 : fork();
	if (!r && w->pid < 0)
		r = err_errno(e, "can't start %s", w->tool->argv[0]);
	if (w->pid == 0)
		child(w, output[1], words[1], parent);
	w->output = output[0];
	w->words = words[0];
	fd_close(&output[1]);
	fd_close(&words[1]);
	return r;
}

/* ---- the parent -------------------------------------------------------- */

/* rchar and wchar of /proc/PID/io. */
static void tick(const struct work *w)
{
	char path[40];
	char text[256];
	uint64_t got = 0;
	uint64_t put = 0;
	ssize_t n;
	int fd;

	if (!w->tools->tick)
		return;
	snprintf(path, sizeof(path), "/proc/%d/io", w->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	fd_close(&fd);
	if (n > 0) {
		text[n] = 0;
		(void)sscanf(text, "rchar: %" SCNu64 "\nwchar: %" SCNu64, &got,
			     &put);
	}
	w->tools->tick(w->tools->ctx, got, put);
}

static int collect(struct work *w, const char *data, size_t len, struct err *e)
{
	char *more;

	if (len > OUTPUT_MAX - w->len)
		return err_set(e, -EFBIG, "%s says more than %d MiB",
			       w->tool->argv[0], OUTPUT_MAX >> 20);
	more = realloc(w->text, w->len + len + 1);
	if (!more)
		return err_set(e, -ENOMEM, "no memory for what %s says",
			       w->tool->argv[0]);
	memcpy(more + w->len, data, len);
	w->text = more;
	w->len += len;
	w->text[w->len] = 0;
	return 0;
}

/* Reads once from *fd; closes it at its end. */
static int take(struct work *w, int *fd, struct err *e)
{
	static char data[256 << 10];
	const ssize_t n = read(*fd, data, sizeof(data));

	if (n <= 0) {
		if (n == 0 || errno != EINTR)
			fd_close(fd);
		return 0;
	}
	if (fd == &w->output && w->tool->sink)
		return w->tool->sink(w->tool->sink_ctx, data, (size_t)n, e);
	if (fd == &w->output && w->tool->out)
		return collect(w, data, (size_t)n, e);
	image_words_add(&w->said, data, (size_t)n);
	return 0;
}

static int listen_to(struct work *w, struct err *e)
{
	uint64_t next_ms = 0;
	uint64_t ms;
	int r = 0;

	while (!r && (w->output >= 0 || w->words >= 0)) {
		struct pollfd p[] = {
			{.fd = w->tools->signals, .events = POLLIN},
			{.fd = w->output, .events = POLLIN},
			{.fd = w->words, .events = POLLIN},
		};

		if (poll(p, 3, TICK_MS) < 0 && errno != EINTR)
			return err_errno(e, "poll");
		ms = clock_now_ns() / 1000000;
		if (ms >= next_ms) {
			tick(w);
			next_ms = ms + TICK_MS;
		}
		if (p[0].revents)
			r = image_tools_check(w->tools, e);
		if (!r && p[1].revents)
			r = take(w, &w->output, e);
		if (!r && p[2].revents)
			r = take(w, &w->words, e);
	}
	return r;
}

/* How it ended, as an error with a sentence. */
static int judge(const struct work *w, int status, struct err *e)
{
	const char *name = w->tool->argv[0];

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return err_set(e, -ENOENT,
			       "%s is not installed; install the package %s",
			       name, image_words_package(name));
	if (WIFSIGNALED(status))
		return err_set(e, -EIO, "%s was ended by signal %d%s", name,
			       WTERMSIG(status),
			       WTERMSIG(status) == SIGKILL
				       ? ": was there too little memory?"
				       : "");
	return image_words_judge(&w->said, name, e);
}

int image_tool_run(struct image_tools *t, const struct image_tool *tool,
		   struct err *e)
{
	struct work w = {
		.tools = t,
		.tool = tool,
		.pid = -1,
		.output = -1,
		.words = -1,
	};
	int status = 0;
	int r = image_tools_check(t, e);

	if (!r)
		r = start(&w, e);
	if (!r)
		r = listen_to(&w, e);
	if (w.pid > 0) {
		if (r) {
			kill(-w.pid, SIGKILL);
			kill(w.pid, SIGKILL);
		}
		while (waitpid(w.pid, &status, 0) < 0 && errno == EINTR)
			continue;
	}
	fd_close(&w.output);
	fd_close(&w.words);
	if (!r)
		r = judge(&w, status, e);
	if (r || !tool->out) {
		free(w.text);
		return r;
	}
	*tool->out = w.text ? w.text : strdup("");
	if (tool->out_len)
		*tool->out_len = w.len;
	return *tool->out ? 0
			  : err_set(e, -ENOMEM, "no memory for what %s says",
				    tool->argv[0]);
}
