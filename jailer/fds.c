/*
 * What is passed into a jail is outside of all its walls. So it is looked at:
 * from a directory openat() goes anywhere, pivot_root() or not.
 */
#include "jailer/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

static int check_one(int fd, struct err *e)
{
	const int flags = fcntl(fd, F_GETFL);
	struct statfs fs;
	struct stat st;

	if (flags < 0)
		return err_set(e, -EBADF,
			       "--pass-fds: descriptor %d is not open; open it "
			       "without O_CLOEXEC before the jailer is started",
			       fd);
	if (fstat(fd, &st) || fstatfs(fd, &fs))
		return err_errno(e, "--pass-fds: descriptor %d", fd);
	if (S_ISDIR(st.st_mode))
		return err_set(e, -EINVAL,
			       "--pass-fds: descriptor %d is a directory, by "
			       "which the monitor could leave its jail",
			       fd);
	if (flags & O_PATH)
		return err_set(e, -EINVAL,
			       "--pass-fds: descriptor %d was opened with "
			       "O_PATH and is of no use to the monitor",
			       fd);
	if (fs.f_type == NSFS_MAGIC)
		return err_set(e, -EINVAL,
			       "--pass-fds: descriptor %d is a namespace, into "
			       "which the monitor could leave its jail",
			       fd);
	if (fcntl(fd, F_SETFD, 0))
		return err_errno(e, "--pass-fds: descriptor %d", fd);
	return 0;
}

int fds_check(const int *fds, unsigned count, struct err *e)
{
	unsigned i;
	int rc = 0;

	for (i = 0; i < count && !rc; i++)
		rc = check_one(fds[i], e);
	return rc;
}
