/* -v: what the host gives a container, as a disk. */
#include "api/ctl/vm/volume.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/base/process.h"

static int make_image(struct volume *v, const struct vm *vm, unsigned index,
		      const char *source, struct err *e)
{
	char name[32], image[VM_PATH_MAX];
	const char *const mkfs[] = {"mkfs.erofs", "--quiet", image, source,
				    NULL};
	int rc;

	snprintf(name, sizeof(name), "volume%u.erofs", index);
	vm_path(vm, name, image);
	rc = process_run(mkfs, e);
	if (rc)
		return err_context(e, "-v %s", source);
	/* source may be v->path. */
	snprintf(v->path, sizeof(v->path), "%s", image);
	v->is_read_only = true;
	return 0;
}

int volume_make(struct volume *v, const struct vm *vm, unsigned index,
		const struct volume_source *asked, struct err *e)
{
	struct stat st;
	int mode;

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
	mode = v->is_read_only ? R_OK : R_OK | W_OK;
	if (access(v->path, mode))
		return err_errno(e, "-v %s%s", asked->source,
				 v->is_read_only
					 ? ""
					 : " is to be writable; add :ro to "
					   "have it read-only");
	return 0;
}
