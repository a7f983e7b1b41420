/* The output of a detached container on disk: two files, whole records. */
#include "api/ctl/vm/output_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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

bool output_log_next(int fd, uint64_t *offset, struct output_record *r,
		     void *bytes)
{
	/* A hole is a record whose header is still to come. */
	if (fd_pread(fd, r, sizeof(*r), *offset) || r->magic != OUTPUT_MAGIC ||
	    r->len > OUTPUT_RECORD_MAX ||
	    fd_pread(fd, bytes, r->len, *offset + sizeof(*r)))
		return false;
	*offset += sizeof(*r) + r->len;
	return true;
}
