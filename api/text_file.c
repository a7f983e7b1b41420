/*
 * Files that are read at the start. What is given by mistake must be a sentence
 * and not a monitor that waits for ever: a pipe's writer may never come.
 */
#include "api/text_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum { BYTES_MAX = 1 << 20, PIPE_WAIT_MS = 10000 };

/* 1: there is something to read, or the end. Waits for a first writer too. */
static int wait_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n;

	do
		n = poll(&p, 1, PIPE_WAIT_MS);
	while (n < 0 && errno == EINTR);
	return n;
}

/*
 * A regular file comes with one read; what has no size beforehand (a pipe, a
 * file of /proc) is read to its end.
 */
static int read_whole(int fd, const struct stat *st, char **out, size_t *len,
		      struct err *e)
{
	const bool is_sized = S_ISREG(st->st_mode) && st->st_size > 0;
	const size_t room = is_sized ? (size_t)st->st_size : BYTES_MAX;
	ssize_t n;

	if (room > BYTES_MAX)
		return err_set(e, -EFBIG, "it is larger than %d bytes",
			       BYTES_MAX);
	*out = malloc(room + 1);
	if (!*out)
		return err_set(e, -ENOMEM, "no memory to read it");
	for (;;) {
		if (S_ISFIFO(st->st_mode) && wait_readable(fd) == 0)
			return err_set(e, -ETIMEDOUT,
				       "it is a pipe that nobody wrote to for "
				       "%d s",
				       PIPE_WAIT_MS / 1000);
		n = read(fd, *out + *len, room + 1 - *len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n > 0)
			*len += (size_t)n;
		/* The size said where a regular file ends. */
		if (n <= 0 || *len >= room + !is_sized)
			break;
	}
	if (n < 0)
		return err_errno(e, "can't read it");
	if (*len > room)
		return err_set(e, -EFBIG, "it is larger than %zu bytes", room);
	return 0;
}

int text_file_read(const char *path, const char *what, char **text, size_t *len,
		   struct err *e)
{
	struct stat st;
	CLEAN_FD int fd =
		fd_open_stat(path, O_RDONLY, FD_REGULAR_OR_FIFO, what, &st, e);
	int rc;

	*text = NULL;
	*len = 0;
	if (fd < 0)
		return fd;
	rc = read_whole(fd, &st, text, len, e);
	if (rc) {
		free(*text);
		*text = NULL;
		err_context(e, "%s %s", what, path);
	}
	return rc;
}
