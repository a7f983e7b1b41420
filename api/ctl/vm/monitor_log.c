/* What a monitor complains of: a pipe, and a file that does not grow. */
#include "api/ctl/vm/monitor_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/base/process.h"
#include "vmm/base/fd.h"
#include "vmm/base/printable.h"

/* A turn of the shim's loop is not all a flood's. */
enum { PIECE = 4 << 10, PIECES_MAX = 64, READ_MAX = 2 * MONITOR_LOG_MAX };

int monitor_log_open(struct monitor_log *log, const char *path, struct err *e)
{
	int ends[2];

	*log = (struct monitor_log){.fd = -1, .pipe_fd = -1, .write_fd = -1};
	/* Both of it are never waited for: lines that find no room are lost. */
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return err_errno(e, "can't make a pipe");
	log->pipe_fd = ends[0];
	log->write_fd = ends[1];
	log->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return log->fd < 0 ? err_errno(e, "can't write %s", path) : 0;
}

/* The shim's own words go to the same file: it is asked for its size. */
static void keep(const struct monitor_log *log, const char *bytes, size_t len)
{
	static const char cut[] = "\n[lines are left out here]\n";
	struct stat st;

	if (fstat(log->fd, &st))
		return;
	if ((uint64_t)st.st_size + len > MONITOR_LOG_MAX &&
	    (ftruncate(log->fd, MONITOR_LOG_FIRST) ||
	     fd_write(log->fd, cut, sizeof(cut) - 1)))
		return;
	/* Nobody could be told of a disk that is full. */
	(void)fd_write(log->fd, bytes, len);
}

int monitor_log_drain(struct monitor_log *log)
{
	char piece[PIECE];
	unsigned i;
	ssize_t n;

	for (i = 0; i < PIECES_MAX; i++) {
		n = read(log->pipe_fd, piece, sizeof(piece));
		if (n < 0 && errno != EINTR)
			return errno == EAGAIN ? -EAGAIN : -EPIPE;
		if (!n)
			return -EPIPE;
		if (n > 0)
			keep(log, piece, (size_t)n);
	}
	return -EAGAIN;
}

void monitor_log_said(const char *path, char *out, size_t size)
{
	char words[300], *text = NULL, *line;

	snprintf(out, size, "the monitor ended");
	if (process_read_file(path, READ_MAX, &text, NULL))
		return;
	for (line = text + strlen(text); line > text && line[-1] == '\n';)
		*--line = '\0';
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	if (printable_copy(line, strlen(line), words, sizeof(words)))
		snprintf(out, size, "the monitor ended: %s", words);
	free(text);
}

void monitor_log_close(struct monitor_log *log)
{
	fd_close(&log->fd);
	fd_close(&log->pipe_fd);
	fd_close(&log->write_fd);
}
