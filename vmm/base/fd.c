/* File descriptors that close themselves, and whole reads and writes. */
#include "vmm/base/fd.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

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
