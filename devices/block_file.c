/* Disk files: opening them with care, and whole reads and writes. */
#include "devices/block_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "vmm/base/fd.h"
#include "vmm/base/newer.h"
#include "vmm/base/passed.h"

enum { SECTOR = 512, ZERO_PIECES = 16 };

static int find_size(int fd, const char *path, uint64_t *size, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_errno(e, "can't examine the disk %s", path);
	*size = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, size))
		return err_errno(e, "can't ask for the size of %s", path);
	if (*size % SECTOR)
		return err_set(e, -EINVAL,
			       "the disk %s has %llu bytes, which is no "
			       "multiple of 512; `truncate -s %%512 %s` rounds "
			       "it up",
			       path, (unsigned long long)*size, path);
	return 0;
}

int block_file_open(struct block_file *f, const char *path, bool is_read_only,
		    struct err *e)
{
	CLEAN_FD int fd = fd_open(path, is_read_only ? O_RDONLY : O_RDWR,
				  FD_REGULAR_OR_BLOCK, "disk", e);
	struct statfs fs;
	int rc;

	f->fd = -1;
	if (!is_read_only && (fd == -EACCES || fd == -EROFS))
		return err_set(e, fd,
			       "can't open the disk %s for writing; make it "
			       "writable or set is_read_only: %s",
			       path, strerror(-fd));
	if (fd < 0)
		return fd;
	rc = find_size(fd, path, &f->size, e);
	if (rc)
		return rc;
	f->is_in_memory = !fstatfs(fd, &fs) && fs.f_type == TMPFS_MAGIC;
	f->fd = fd_steal(&fd);
	return 0;
}

int block_file_measure(const struct block_file *f, const char *path,
		       uint64_t *size, struct err *e)
{
	return find_size(f->fd, path, size, e);
}

void block_file_close(struct block_file *f)
{
	fd_close(&f->fd);
}

int block_file_read(const struct block_file *f, struct iov *iov,
		    uint64_t offset)
{
	ssize_t n;

	while (iov->bytes) {
		n = preadv(f->fd, iov->at, (int)iov->count, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ENODATA;
		iov_drop_front(iov, (size_t)n);
		offset += (uint64_t)n;
	}
	return 0;
}

int block_file_read_cached(const struct block_file *f, struct iov *iov,
			   uint64_t offset)
{
	ssize_t n;

	/* Linux knows no RWF_NOWAIT there, for there is no disk. */
	if (f->is_in_memory)
		return block_file_read(f, iov, offset);
	while (iov->bytes) {
		n = preadv2(f->fd, iov->at, (int)iov->count, (off_t)offset,
			    RWF_NOWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EAGAIN; /* the slow way knows what it means */
		iov_drop_front(iov, (size_t)n);
		offset += (uint64_t)n;
	}
	return 0;
}

bool block_file_can_tell(const struct block_file *f)
{
	uint8_t byte;
	struct iovec at = {.iov_base = &byte, .iov_len = 1};
	ssize_t n;

	do
		n = preadv2(f->fd, &at, 1, 0, RWF_NOWAIT);
	while (n < 0 && errno == EINTR);
	return n >= 0 || errno != EOPNOTSUPP;
}

int block_file_write(const struct block_file *f, struct iov *iov,
		     uint64_t offset)
{
	ssize_t n;

	while (iov->bytes) {
		n = pwritev(f->fd, iov->at, (int)iov->count, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO; /* it would go on so for ever */
		iov_drop_front(iov, (size_t)n);
		offset += (uint64_t)n;
	}
	return 0;
}

enum {
	ZERO = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	RESERVE = FALLOC_FL_KEEP_SIZE,
};

static int allocate(const struct block_file *f, int mode, uint64_t offset,
		    uint64_t length)
{
	while (fallocate(f->fd, mode, (off_t)offset, (off_t)length))
		if (errno != EINTR)
			return -errno;
	return 0;
}

/*
 * The same, and remembers where the file system has no such mode. A device does
 * it with whole blocks of its own alone, which may be longer than a sector:
 * what is none of those is for the next way, and others are tried again.
 */
static int try(const struct block_file *f, bool *cannot, int mode,
	       uint64_t offset, uint64_t length)
{
	int rc = *cannot ? -EOPNOTSUPP : allocate(f, mode, offset, length);

	if (rc == -EINVAL)
		return -EOPNOTSUPP;
	*cannot = rc == -EOPNOTSUPP;
	return rc;
}

bool block_file_can_punch(const struct block_file *f)
{
	/* Behind the end there is nothing to lose. A device has no behind. */
	return allocate(f, PUNCH, f->size, SECTOR) != -EOPNOTSUPP;
}

/* The slow way, in pieces, for someone may be waiting for an end. */
static int write_zeroes(const struct block_file *f, uint64_t offset,
			uint64_t length)
{
	static const uint8_t zeroes[64 << 10];
	struct iovec at[ZERO_PIECES];
	struct iov iov;
	uint64_t n;
	int rc = 0;

	while (length && !rc) {
		if (f->is_hurried)
			return -ECANCELED;
		iov = (struct iov){.at = at};
		while (iov.count < ZERO_PIECES && iov.bytes < length) {
			n = length - iov.bytes;
			if (n > sizeof(zeroes))
				n = sizeof(zeroes);
			/* It is only read. */
			at[iov.count++] = (struct iovec){
				.iov_base = (void *)(uintptr_t)zeroes,
				.iov_len = (size_t)n,
			};
			iov.bytes += (size_t)n;
		}
		n = iov.bytes;
		rc = block_file_write(f, &iov, offset);
		offset += n;
		length -= n;
	}
	return rc;
}

int block_file_zero(struct block_file *f, uint64_t offset, uint64_t length)
{
	int rc = try(f, &f->cannot_zero, ZERO, offset, length);

	if (rc != -EOPNOTSUPP)
		return rc;
	/* A hole reads as zeroes; then it is filled, or else it was space. */
	rc = try(f, &f->cannot_punch, PUNCH, offset, length);
	if (rc == -EOPNOTSUPP)
		return write_zeroes(f, offset, length);
	if (!rc)
		rc = allocate(f, RESERVE, offset, length);
	return rc == -EOPNOTSUPP ? 0 : rc;
}

int block_file_unmap(struct block_file *f, uint64_t offset, uint64_t length)
{
	int rc = try(f, &f->cannot_punch, PUNCH, offset, length);

	return rc == -EOPNOTSUPP ? block_file_zero(f, offset, length) : rc;
}

int block_file_discard(struct block_file *f, uint64_t offset, uint64_t length)
{
	const uint64_t range[2] = {offset, length};
	int rc = try(f, &f->cannot_punch, PUNCH, offset, length);

	if (rc != -EOPNOTSUPP)
		return rc;
	/* A device may discard and not promise zeroes; a file says ENOTTY. */
	(void)ioctl(f->fd, BLKDISCARD, range);
	return 0;
}

int block_file_flush(const struct block_file *f)
{
	return fdatasync(f->fd) ? -errno : 0;
}
