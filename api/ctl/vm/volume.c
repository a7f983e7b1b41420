/* -v and --disk: what a container has beside its image. */
#include "api/ctl/vm/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/base/erofs.h"
#include "api/ctl/base/process.h"
#include "api/ctl/vm/disk.h"
#include "vmm/base/fd.h"

/* What the agent can mount; where they say so in their first bytes. */
static bool has_file_system(int fd)
{
	static const uint8_t erofs[] = {0xe2, 0xe1, 0xf5, 0xe0};
	static const uint8_t ext4[] = {0x53, 0xef};
	uint8_t head[1088];

	if (fd_pread(fd, head, sizeof(head), 0))
		return false;
	return !memcmp(head + 1024, erofs, sizeof(erofs)) ||
	       !memcmp(head + 1080, ext4, sizeof(ext4)) ||
	       !memcmp(head, "hsqs", 4);
}

/* Nothing is said that would change the file: it is no disk to begin with. */
static int read_file(struct volume *v, int fd, const struct stat *st,
		     const char *source, struct err *e)
{
	int rc;

	if (st->st_size > VOLUME_FILE_MAX)
		return err_set(
			e, -EFBIG,
			"-v %s: a file of more than %d MiB without a "
			"file system in it (ext4, EROFS, squashfs) can't "
			"be given; give the directory it is in",
			source, VOLUME_FILE_MAX >> 20);
	v->len = (size_t)st->st_size;
	v->bytes = malloc(v->len + 1);
	if (!v->bytes)
		return err_set(e, -ENOMEM, "no memory for -v %s", source);
	rc = fd_pread(fd, v->bytes, v->len, 0);
	if (rc)
		return err_set(e, rc, "-v %s: %s", source, strerror(-rc));
	v->kind = VOLUME_FILE;
	v->is_read_only = true;
	v->mode = st->st_mode & 0777;
	v->uid = st->st_uid;
	v->gid = st->st_gid;
	return 0;
}

static int find_disk(struct volume *v, const struct volume_source *asked,
		     struct err *e)
{
	const struct disk_source disk = {"-v", asked->source,
					 asked->is_read_only};
	const int fd = disk_take(v->path, &disk, e);

	v->kind = VOLUME_DISK;
	v->is_read_only = asked->is_read_only;
	if (fd < 0)
		return fd;
	v->lock_fd = fd;
	return 0;
}

static int look(struct volume *v, const char *source, struct stat *st,
		struct err *e)
{
	if (realpath(source, v->path) && !stat(v->path, st))
		return 0;
	if (errno == ENOENT && !strchr(source, '/'))
		return err_set(e, -ENOENT,
			       "-v %s: there is no such file, and microVMs "
			       "have no volumes of a name; give a directory, "
			       "or a disk that truncate and mkfs.ext4 make",
			       source);
	return err_errno(e, "-v %s", source);
}

int volume_find(struct volume *v, const struct volume_source *asked,
		struct err *e)
{
	CLEAN_FD int fd = -1;
	struct stat st = {0};
	int rc;

	*v = (struct volume){0};
	rc = look(v, asked->source, &st, e);
	if (rc)
		return rc;
	if (S_ISBLK(st.st_mode))
		return find_disk(v, asked, e);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return err_set(e, -EINVAL,
			       "-v %s is a socket, a pipe or a device, which "
			       "leads nowhere in a microVM; a file, a "
			       "directory or a block device can be given",
			       asked->source);
	fd = open(v->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st))
		return err_errno(e, "-v %s", asked->source);
	if (S_ISDIR(st.st_mode)) {
		v->kind = VOLUME_DIRECTORY;
		v->is_read_only = true;
		return 0;
	}
	/* Another by now. */
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EAGAIN, "-v %s changes", asked->source);
	if (has_file_system(fd))
		return find_disk(v, asked, e);
	return read_file(v, fd, &st, asked->source, e);
}

int volume_make(struct volume *v, const struct vm *vm, unsigned index,
		struct err *e)
{
	char name[32], image[PATH_MAX];
	int rc;

	if (v->kind != VOLUME_DIRECTORY)
		return 0;
	snprintf(name, sizeof(name), "volume%u.erofs", index);
	vm_disk_path(vm, name, image);
	rc = erofs_pack(v->path, image, e);
	if (rc)
		return err_context(e, "-v %s", v->path);
	snprintf(v->path, sizeof(v->path), "%s", image);
	return 0;
}

int volume_make_scratch(struct volume *v, const struct vm *vm, uint64_t bytes,
			struct err *e)
{
	char image[PATH_MAX];
	/* Nothing in it outlives the microVM, so nothing need be journalled. */
	const char *const mkfs[] = {
		"mkfs.ext4",	"-q", "-F",
		"-m",		"0",  "-O",
		"^has_journal", "-E", "lazy_itable_init=1,root_owner=0:0",
		image,		NULL};
	CLEAN_FD int fd = -1;
	int rc;

	*v = (struct volume){.kind = VOLUME_DISK};
	vm_disk_path(vm, "scratch.ext4", image);
	fd = open(image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)(bytes & ~4095ull)))
		return err_errno(e, "--disk: can't make %s", image);
	rc = process_run(mkfs, e);
	if (rc)
		return err_context(e, "--disk");
	snprintf(v->path, sizeof(v->path), "%s", image);
	return 0;
}

void volume_fini(struct volume *v)
{
	free(v->bytes);
	v->bytes = NULL;
	fd_close(&v->lock_fd);
}
