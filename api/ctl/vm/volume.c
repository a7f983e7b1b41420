/* -v: what the host gives a container, as a disk. */
#include "api/ctl/vm/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/base/process.h"
#include "vmm/base/fd.h"

static int make_image(struct volume *v, const struct vm *vm, unsigned index,
		      const char *source, struct err *e)
{
	char name[32], image[PATH_MAX];
	const char *const mkfs[] = {"mkfs.erofs", "--quiet", image, source,
				    NULL};
	int rc;

	snprintf(name, sizeof(name), "volume%u.erofs", index);
	vm_disk_path(vm, name, image);
	rc = process_run(mkfs, e);
	if (rc)
		return err_context(e, "-v %s", source);
	/* source may be v->path. */
	snprintf(v->path, sizeof(v->path), "%s", image);
	v->is_read_only = true;
	return 0;
}

/* O_EXCL of a block device: not while it is mounted, or a part of another. */
static int lock_disk(struct volume *v, bool is_block, const char *asked,
		     struct err *e)
{
	const int mode = v->is_read_only ? O_RDONLY
					 : O_RDWR | (is_block ? O_EXCL : 0);
	CLEAN_FD int fd = open(v->path, mode | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && errno == EBUSY)
		return err_set(e, -EBUSY,
			       "-v %s is in use on this host: unmount it, or "
			       "add :ro",
			       asked);
	if (fd < 0)
		return err_errno(e, "-v %s%s", asked,
				 v->is_read_only
					 ? ""
					 : " is to be writable; add :ro to "
					   "have it read-only");
	if (!flock(fd, (v->is_read_only ? LOCK_SH : LOCK_EX) | LOCK_NB)) {
		v->lock_fd = fd_steal(&fd);
		return 0;
	}
	if (errno != EWOULDBLOCK)
		return err_errno(e, "can't lock %s", asked);
	return err_set(e, -EBUSY,
		       "-v %s is another microVM's disk%s; two that share one "
		       "would ruin it",
		       asked,
		       v->is_read_only ? " to write to"
				       : ", and would be writable");
}

int volume_make(struct volume *v, const struct vm *vm, unsigned index,
		const struct volume_source *asked, struct err *e)
{
	struct stat st;

	if (!realpath(asked->source, v->path) || stat(v->path, &st))
		return err_errno(e, "-v %s", asked->source);
	if (S_ISDIR(st.st_mode))
		return make_image(v, vm, index, v->path, e);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, -EINVAL,
			       "-v %s: only a directory, a block device or a "
			       "file with a file system in it can be given",
			       asked->source);
	v->is_read_only = asked->is_read_only;
	return lock_disk(v, S_ISBLK(st.st_mode), asked->source, e);
}
