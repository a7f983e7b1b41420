#pragma once

#include <linux/falloc.h>
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
	int fd;	       /* owned; -1 while closed */
	uint64_t size; /* bytes, a multiple of 512; 0 is an empty drive */
};

/*
 * Opens path, for reading alone where is_read_only. The error says what is
 * wrong with the file and what to do.
 */
int block_file_open(struct block_file *f, const char *path, bool is_read_only,
		    struct err *e);
void block_file_close(struct block_file *f);

/*
 * Read or write all of iov at offset. What was transferred is taken off iov,
 * also on failure. 0 or a negative errno; -ENODATA where the file has become
 * shorter. They block until done.
 */
int block_file_read(const struct block_file *f, struct iov *iov,
		    uint64_t offset);
/*
 * As block_file_read(), but only what the page cache holds: -EAGAIN where the
 * rest would have to be waited for, -EOPNOTSUPP where the file can't tell.
 */
int block_file_read_cached(const struct block_file *f, struct iov *iov,
			   uint64_t offset);
int block_file_write(const struct block_file *f, struct iov *iov,
		     uint64_t offset);

/* The modes of fallocate() behind the two, for who calls it otherwise. */
enum {
	BLOCK_FILE_ZERO = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	BLOCK_FILE_PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
};

/*
 * Make [offset, offset + length) read as zeroes; punching gives the space back
 * to the host. -EOPNOTSUPP where the file can't.
 */
int block_file_zero(const struct block_file *f, uint64_t offset,
		    uint64_t length);
int block_file_punch(const struct block_file *f, uint64_t offset,
		     uint64_t length);

/* Returns once everything written is on stable storage. */
int block_file_flush(const struct block_file *f);
