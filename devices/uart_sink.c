/*
 * The other end of the serial port. What it leads to belongs to others, a
 * terminal or a pipe, or is a file on the host's disk, which a guest that
 * prints all day would fill: how much of it is there at a time is bounded.
 *
 * A write into a file goes to the page cache and waits for nothing, as a rule.
 * File systems of this host's own are trusted in that until a write was slow,
 * for one of them makes writers wait where too much is dirty; others never.
 */
#include "devices/uart_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

/* Longer than a write that waits for nothing takes. */
#define SLOW_NS 5000000ULL

/*
 * A descriptor of our own for fd's file: epoll takes one only once, and the
 * input may be the same. Only standard output is nobody's input, and there as
 * long as the process is. A terminal is opened anew where that is possible,
 * without blocking: it reports room as soon as there is a byte of it, and would
 * then make us wait for the rest. Our flags on fd itself would be everybody's.
 */
int uart_sink_open(struct uart_sink *s, int fd, struct err *e)
{
	char path[32];

	*s = (struct uart_sink){.fd = -1};
	if (fd_is_terminal(fd)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		s->fd = openat(AT_FDCWD, path,
			       O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	}
	if (s->fd < 0 && fd == STDOUT_FILENO)
		s->fd = fd;
	if (s->fd < 0)
		s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return s->fd < 0 ? err_errno(e, "the serial port's output") : 0;
}

void uart_sink_bound(struct uart_sink *s)
{
	struct stat st;

	if (fstat(s->fd, &st) || !S_ISREG(st.st_mode))
		return;
	s->is_bounded = true;
	s->base = (uint64_t)st.st_size;
}

void uart_sink_close(struct uart_sink *s)
{
	if (s->fd == STDOUT_FILENO)
		s->fd = -1;
	fd_close(&s->fd);
}

/* What was there before us stays, unless somebody else has cut it. */
static int begin_anew(struct uart_sink *s)
{
	struct stat st;

	if (fstat(s->fd, &st))
		return -errno;
	if ((uint64_t)st.st_size < s->base)
		s->base = (uint64_t)st.st_size;
	if (ftruncate(s->fd, (off_t)s->base))
		return -errno;
	s->written = 0;
	log_warn_limited("serial: %d MiB of output are in the file, which "
			 "begins anew",
			 UART_SINK_FILE_MAX >> 20);
	return 0;
}

static bool is_of_this_host(int fd)
{
	static const uint32_t own[] = {
		EXT4_SUPER_MAGIC,      XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
		F2FS_SUPER_MAGIC,      TMPFS_MAGIC,	RAMFS_MAGIC,
		OVERLAYFS_SUPER_MAGIC,
	};
	struct statfs fs;
	unsigned i;

	if (fstatfs(fd, &fs))
		return false;
	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if ((uint32_t)fs.f_type == own[i])
			return true;
	return false;
}

/* With the first output, for no start is to pay for it. */
bool uart_sink_may_wait(struct uart_sink *s)
{
	struct stat st;

	if (!s->is_known && s->fd >= 0) {
		s->is_known = true;
		s->is_file = !fstat(s->fd, &st) && S_ISREG(st.st_mode);
		s->may_wait = s->is_file && !is_of_this_host(s->fd);
	}
	return s->may_wait;
}

ssize_t uart_sink_write(struct uart_sink *s, const void *bytes, size_t len)
{
	uint64_t begin;
	ssize_t n;
	int rc;

	if (s->fd < 0)
		return (ssize_t)len;
	if (s->is_bounded && s->written >= UART_SINK_FILE_MAX) {
		rc = begin_anew(s);
		if (rc)
			return rc;
	}
	begin = s->is_file && !s->may_wait ? clock_now_ns() : 0;
	n = fd_write_ready(s->fd, bytes, len);
	if (n > 0)
		s->written += (uint64_t)n;
	if (begin && clock_now_ns() - begin > SLOW_NS)
		s->may_wait = true;
	return n;
}
