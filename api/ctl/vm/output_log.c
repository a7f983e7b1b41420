/* The output of a detached container on disk: two files, whole records. */
#include "api/ctl/vm/output_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/fd.h"

static int open_file(struct output_log *log)
{
	fd_close(&log->fd);
	log->len = 0;
	log->fd = openat(log->dir_fd, OUTPUT_FILE,
			 O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return log->fd < 0 ? -errno : 0;
}

int output_log_open(struct output_log *log, const char *dir, struct err *e)
{
	*log = (struct output_log){.fd = -1, .dir_fd = -1};
	log->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (log->dir_fd < 0 || open_file(log))
		return err_errno(e, "can't write %s/%s", dir, OUTPUT_FILE);
	return 0;
}

static void write_record(struct output_log *log, uint8_t stream,
			 const void *bytes, size_t len)
{
	struct output_record r = {
		.magic = OUTPUT_MAGIC,
		.stream = stream,
		.len = (uint32_t)len,
	};
	struct timespec now;

	if (log->len + sizeof(r) + len > OUTPUT_FILE_MAX) {
		(void)renameat(log->dir_fd, OUTPUT_FILE, log->dir_fd,
			       OUTPUT_FILE_OLD);
		if (open_file(log))
			return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	r.time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	/*
	 * The bytes first, so that a header means a whole record. Over the end
	 * of what could be written goes the next.
	 */
	if (fd_pwrite(log->fd, bytes, len, log->len + sizeof(r)) ||
	    fd_pwrite(log->fd, &r, sizeof(r), log->len)) {
		if (ftruncate(log->fd, (off_t)log->len))
			fd_close(&log->fd);
		return;
	}
	log->len += sizeof(r) + len;
}

void output_log_write(struct output_log *log, uint8_t stream, const void *bytes,
		      size_t len)
{
	const uint8_t *at = bytes;

	while (len && log->fd >= 0) {
		const size_t n = len < OUTPUT_RECORD_MAX ? len
							 : OUTPUT_RECORD_MAX;

		write_record(log, stream, at, n);
		at += n;
		len -= n;
	}
}

void output_log_close(struct output_log *log)
{
	fd_close(&log->fd);
	fd_close(&log->dir_fd);
}

/* ---- reading ------------------------------------------------------------ */

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n < 0)
			continue;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

/* RFC 3339 in UTC, before each record, as docker logs -t has it. */
static int print_time(int fd, uint64_t time_ns)
{
	const time_t seconds = (time_t)(time_ns / 1000000000u);
	char date[32], text[64];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text, sizeof(text), "%s.%09uZ ", date,
		 (unsigned)(time_ns % 1000000000u));
	return write_all(fd, text, strlen(text));
}

int output_log_print(int fd, uint64_t *offset, bool has_times)
{
	char *bytes = malloc(OUTPUT_RECORD_MAX);
	struct output_record r;
	int rc = 0, to;

	if (!bytes)
		return -ENOMEM;
	while (!rc && !fd_pread(fd, &r, sizeof(r), *offset)) {
		/* A hole is a record whose header is still to come. */
		if (r.magic != OUTPUT_MAGIC || r.len > OUTPUT_RECORD_MAX ||
		    fd_pread(fd, bytes, r.len, *offset + sizeof(r)))
			break;
		to = r.stream == 2 ? STDERR_FILENO : STDOUT_FILENO;
		if (has_times)
			rc = print_time(to, r.time_ns);
		if (!rc)
			rc = write_all(to, bytes, r.len);
		*offset += sizeof(r) + r.len;
	}
	free(bytes);
	return rc;
}
