#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/iov.h"
#include "vmm/base/err.h"

/*
 * The host's side of a disk: a regular file or a block device of raw bytes.
 * The format is never guessed, so a guest can't turn its disk into something
 * that names other files.
 */
struct block_file {
	int fd;		   /* owned; -1 while closed */
	uint64_t size;	   /* bytes, a multiple of 512; 0 is an empty drive */
	bool is_in_memory; /* tmpfs: no disk to wait for */
	/* What its file system turned out not to know. */
	bool cannot_zero;
	bool cannot_punch;
	/* Work that is done in pieces ends after the next one. Thread: any. */
	_Atomic bool is_hurried;
};

/*
 * Opens path, for reading alone where is_read_only. The error says what is
 * wrong with the file and what to do.
 */
int block_file_open(struct block_file *f, const char *path, bool is_read_only,
		    struct err *e);
void block_file_close(struct block_file *f);

/* How many bytes it has now; path is for the error's sentence. */
int block_file_measure(const struct block_file *f, const char *path,
		       uint64_t *size, struct err *e);

/*
 * Read or write all of iov at offset. What was transferred is taken off iov,
 * also on failure. 0 or a negative errno; -ENODATA where the file has become
 * shorter. They block until done.
 */
int block_file_read(const struct block_file *f, struct iov *iov,
		    uint64_t offset);
/*
 * As block_file_read(), but only what the page cache holds: -EAGAIN where the
 * rest would have to be waited for, -EOPNOTSUPP where the file can't tell. A
 * file in memory is read to its end.
 */
int block_file_read_cached(const struct block_file *f, struct iov *iov,
			   uint64_t offset);
/* Whether the file can tell at all; asked of its first byte. */
bool block_file_can_tell(const struct block_file *f);
int block_file_write(const struct block_file *f, struct iov *iov,
		     uint64_t offset);

/*
 * Whether the file system can give space back; asked without changing the file.
 * True of a block device, which says so only when it is tried.
 */
bool block_file_can_punch(const struct block_file *f);

/*
 * Make [offset, offset + length) read as zeroes. Zeroing keeps the space the
 * file's, unmapping gives it back to the host where that is possible; what the
 * file system has no call for is written, which takes its time.
 *
 * Discarding says only that the contents are of no interest, so that it is no
 * failure where nothing can be done with that.
 */
int block_file_zero(struct block_file *f, uint64_t offset, uint64_t length);
int block_file_unmap(struct block_file *f, uint64_t offset, uint64_t length);
int block_file_discard(struct block_file *f, uint64_t offset, uint64_t length);

/* Returns once everything written is on stable storage. */
int block_file_flush(const struct block_file *f);
