/* Files and disks that are copied whole, without what is empty in them. */
#include "api/ctl/base/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum { CHUNK = 1 << 20, PAGE = 4096 };

static bool is_empty(const uint8_t *bytes, size_t len)
{
	return !*bytes && !memcmp(bytes, bytes + 1, len - 1);
}

/* By hand, where the kernel does not: zeroes stay holes. */
static int copy_bytes(int from, int to, uint64_t at, uint64_t end)
{
	uint8_t *bytes = malloc(CHUNK);
	int rc = bytes ? 0 : -ENOMEM;

	while (!rc && at < end) {
		const size_t n = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
		size_t i, len;

		rc = fd_pread(from, bytes, n, at);
		for (i = 0; i < n && !rc; i += len) {
			len = n - i < PAGE ? n - i : PAGE;
			if (!is_empty(bytes + i, len))
				rc = fd_pwrite(to, bytes + i, len, at + i);
		}
		at += n;
	}
	free(bytes);
	return rc;
}

/* One stretch of data. */
static int copy_data(int from, int to, uint64_t at, uint64_t end)
{
	while (at < end) {
		off64_t in = (off64_t)at, out = (off64_t)at;
		const ssize_t n =
			copy_file_range(from, &in, to, &out, end - at, 0);

		if (n < 0 && errno == EINTR)
			continue;
		/* Two file systems, or what is no file: EXDEV, EINVAL … */
		if (n < 0 && errno != ENOSPC && errno != EDQUOT && errno != EIO)
			return copy_bytes(from, to, at, end);
		if (n < 0)
			return -errno;
		if (!n)
			return -ENODATA;
		at += (uint64_t)n;
	}
	return 0;
}

static int copy_all(int from, int to, uint64_t size)
{
	uint64_t at = 0, end;
	off_t data, hole;
	int rc = 0;

	if (!ioctl(to, FICLONE, from))
		return 0;
	while (!rc && at < size) {
		data = lseek(from, (off_t)at, SEEK_DATA);
		/* Only holes up to the end; or one who knows of none. */
		if (data < 0 && errno == ENXIO)
			break;
		hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
		if (data > (off_t)at)
			at = (uint64_t)data;
		/* Whoever has holes before data knows of none, either. */
		end = hole <= (off_t)at || (uint64_t)hole > size
			      ? size
			      : (uint64_t)hole;
		if (at < end)
			rc = copy_data(from, to, at, end);
		at = end;
	}
	return rc;
}

int copy_file(int from, int to, uint64_t size, const char *what, struct err *e)
{
	int rc = copy_all(from, to, size);

	if (!rc && ftruncate(to, (off_t)size))
		rc = -errno;
	if (rc == -ENODATA)
		return err_set(e, rc, "%s became shorter while it was copied",
			       what);
	return rc ? err_set(e, rc, "can't copy %s: %s", what, strerror(-rc))
		  : 0;
}

int copy_open(int dir, const char *name, uint64_t *size, struct err *e)
{
	CLEAN_FD int fd = openat(dir, name,
				 O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
					 O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return err_errno(e, "can't open %s", name);
	if (fstat(fd, &st))
		return err_errno(e, "can't examine %s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL,
			       "%s is no file; somebody has put something else "
			       "in its place",
			       name);
	*size = (uint64_t)st.st_size;
	return fd_steal(&fd);
}

int copy_make(int dir, const char *name, struct err *e)
{
	int fd = openat(dir, name,
			O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			0600);

	return fd < 0 ? err_errno(e, "can't make %s", name) : fd;
}
