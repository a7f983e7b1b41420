/*
 * The other end of the serial port. What it leads to belongs to others, a
 * terminal or a pipe, or is a file on the host's disk, which a guest that
 * prints all day would fill: how much of it is there at a time is bounded.
 */
#include "devices/uart_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/fd.h"
#include "vmm/base/log.h"

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
	if (isatty(fd)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		s->fd = open(path,
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

ssize_t uart_sink_write(struct uart_sink *s, const void *bytes, size_t len)
{
	ssize_t n;
	int rc;

	if (s->fd < 0)
		return (ssize_t)len;
	if (s->is_bounded && s->written >= UART_SINK_FILE_MAX) {
		rc = begin_anew(s);
		if (rc)
			return rc;
	}
	n = fd_write_ready(s->fd, bytes, len);
	if (n > 0)
		s->written += (uint64_t)n;
	return n;
}
