/* Disk files: opening them with care, and whole reads and writes. */
#include "devices/block_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "vmm/base/fd.h"
#include "vmm/base/passed.h"

enum { SECTOR = 512 };

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
	f->fd = fd_steal(&fd);
	return 0;
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

static int allocate(const struct block_file *f, int mode, uint64_t offset,
		    uint64_t length)
{
	while (fallocate(f->fd, mode, (off_t)offset, (off_t)length))
		if (errno != EINTR)
			return -errno;
	return 0;
}

int block_file_zero(const struct block_file *f, uint64_t offset,
		    uint64_t length)
{
	return allocate(f, BLOCK_FILE_ZERO, offset, length);
}

int block_file_punch(const struct block_file *f, uint64_t offset,
		     uint64_t length)
{
	return allocate(f, BLOCK_FILE_PUNCH, offset, length);
}

int block_file_flush(const struct block_file *f)
{
	return fdatasync(f->fd) ? -errno : 0;
}
