#include "api/ctl/vm/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "vmm/base/fd.h"

/* O_EXCL of a block device: not while it is mounted, or a part of another. */
static int flags_for(const char *path, bool is_read_only)
{
	struct stat st;

	if (is_read_only)
		return O_RDONLY;
	return O_RDWR | (!stat(path, &st) && S_ISBLK(st.st_mode) ? O_EXCL : 0);
}

/* Whether it is there, and not to be written to. */
static bool is_kept(int rc)
{
	return rc == -EACCES || rc == -EPERM || rc == -EROFS || rc == -ETXTBSY;
}

int disk_take(const char *path, const struct disk_source *s, struct err *e)
{
	CLEAN_FD int fd = fd_open(path, flags_for(path, s->is_read_only),
				  FD_REGULAR_OR_BLOCK, "disk", e);

	if (fd == -EBUSY)
		return err_set(e, -EBUSY,
			       "%s %s is in use on this host: unmount it, or "
			       "add :ro",
			       s->option, s->name);
	if (is_kept(fd) && !s->is_read_only) {
		errno = -fd;
		return err_errno(e,
				 "%s %s is to be writable; add :ro to have it "
				 "read-only",
				 s->option, s->name);
	}
	if (fd < 0)
		return fd;
	if (!flock(fd, (s->is_read_only ? LOCK_SH : LOCK_EX) | LOCK_NB))
		return fd_steal(&fd);
	if (errno != EWOULDBLOCK)
		return err_errno(e, "can't lock %s", s->name);
	return err_set(e, -EBUSY,
		       "%s %s is another microVM's disk%s; two that share one "
		       "would ruin it",
		       s->option, s->name,
		       s->is_read_only ? " to write to"
				       : ", and would be writable");
}
