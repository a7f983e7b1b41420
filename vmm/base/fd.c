/* File descriptors that close themselves, and whole reads and writes. */
#include "vmm/base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "vmm/base/passed.h"

void fd_close(int *fd)
{
	int saved = errno;

	if (*fd > 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int fd_steal(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

static const char *kind_word(mode_t mode)
{
	if (S_ISDIR(mode))
		return "directory";
	if (S_ISFIFO(mode))
		return "FIFO";
	if (S_ISSOCK(mode))
		return "socket";
	if (S_ISCHR(mode))
		return "character device";
	return S_ISBLK(mode) ? "block device" : "file of another kind";
}

static int check_kind(const struct stat *st, enum fd_kind kind,
		      const char *what, const char *path, struct err *e)
{
	const bool may_be_block = kind == FD_REGULAR_OR_BLOCK;
	const bool may_be_fifo = kind == FD_REGULAR_OR_FIFO;

	if (S_ISREG(st->st_mode) || (may_be_block && S_ISBLK(st->st_mode)) ||
	    (may_be_fifo && S_ISFIFO(st->st_mode)))
		return 0;
	return err_set(e, S_ISDIR(st->st_mode) ? -EISDIR : -EINVAL,
		       "the %s %s is a %s; give a regular file%s%s", what, path,
		       kind_word(st->st_mode),
		       may_be_block ? " or a block device" : "",
		       may_be_fifo ? " or a FIFO" : "");
}

/*
 * Looks before it opens, and again at what it got, for the name may lead
 * elsewhere by then; so it opens without blocking. Where the descriptor is for
 * io_uring, that is taken back: it would answer "later" instead of waiting for
 * a disk. To read() and mmap() of a regular file it makes no difference.
 */
int fd_open_stat(const char *path, int flags, enum fd_kind kind,
		 const char *what, struct stat *st, struct err *e)
{
	CLEAN_FD int fd = -1;
	int rc;

	if (!passed_has(path)) {
		if (stat(path, st))
			return err_errno(e, "can't open the %s %s", what, path);
		rc = check_kind(st, kind, what, path, e);
		if (rc)
			return rc;
	}
	fd = passed_open(path, flags | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, st))
		return err_errno(e, "can't open the %s %s", what, path);
	rc = check_kind(st, kind, what, path, e);
	if (rc)
		return rc;
	if (kind == FD_REGULAR_OR_BLOCK &&
	    fcntl(fd, F_SETFL, flags & ~O_ACCMODE))
		return err_errno(e, "can't make the %s %s blocking", what,
				 path);
	return fd_steal(&fd);
}

int fd_open(const char *path, int flags, enum fd_kind kind, const char *what,
	    struct err *e)
{
	struct stat st;

	return fd_open_stat(path, flags, kind, what, &st, e);
}

static int socket_option(int fd, int option)
{
	socklen_t len = sizeof(int);
	int value = -1;

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) ? -1 : value;
}

int fd_check_listener(int fd, const char *what, struct err *e)
{
	const int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return err_set(e, -EBADF, "descriptor %d, %s, is not open", fd,
			       what);
	if (socket_option(fd, SO_DOMAIN) != AF_UNIX ||
	    socket_option(fd, SO_TYPE) != SOCK_STREAM)
		return err_set(e, -EINVAL,
			       "descriptor %d, %s, is not a Unix stream socket",
			       fd, what);
	if (socket_option(fd, SO_ACCEPTCONN) != 1)
		return err_set(e, -EINVAL,
			       "descriptor %d, %s, is a socket that does not "
			       "listen; call listen() first",
			       fd, what);
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC))
		return err_errno(e, "descriptor %d, %s", fd, what);
	return 0;
}

int fd_pread(int fd, void *buf, size_t len, uint64_t offset)
{
	uint8_t *at = buf;
	ssize_t n;

	while (len) {
		n = pread(fd, at, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		at += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int fd_pwrite(int fd, const void *buf, size_t len, uint64_t offset)
{
	const uint8_t *at = buf;
	ssize_t n;

	while (len) {
		n = pwrite(fd, at, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

int fd_write(int fd, const void *buf, size_t len)
{
	const uint8_t *at = buf;
	ssize_t n;

	while (len) {
		n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

ssize_t fd_write_ready(int fd, const void *buf, size_t len)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	ssize_t n;

	if (poll(&p, 1, 0) < 0)
		return -errno;
	if (!p.revents)
		return -EAGAIN;
	n = write(fd, buf, len < PIPE_BUF ? len : PIPE_BUF);
	return n < 0 ? -errno : n;
}

bool fd_is_same(int a, int b)
{
	struct stat one, other;

	return !fstat(a, &one) && !fstat(b, &other) &&
	       one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

bool fd_is_terminal(int fd)
{
	struct termios t;

	return !tcgetattr(fd, &t);
}

void fd_event_raise(int fd)
{
	const uint64_t one = 1;
	ssize_t n;

	/*
	 * The only failure is EAGAIN at 2^64 - 1 pending events, and then the
	 * reader is woken all the same.
	 */
	do
		n = write(fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}

uint64_t fd_event_take(int fd)
{
	uint64_t count = 0;

	if (read(fd, &count, sizeof(count)) != sizeof(count))
		return 0;
	return count;
}
