/* Files, directories and devices that are read. */
#include "api/ctl/bench/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "vmm/base/fd.h"

static const struct {
	long magic;
	const char *name;
} kinds[] = {
	{EXT4_SUPER_MAGIC, "ext4"},	    {TMPFS_MAGIC, "tmpfs"},
	{XFS_SUPER_MAGIC, "xfs"},	    {BTRFS_SUPER_MAGIC, "btrfs"},
	{OVERLAYFS_SUPER_MAGIC, "overlay"},
};

static const char *kind_of(const char *path)
{
	struct statfs fs;
	unsigned i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!statfs(path, &fs) && fs.f_type == kinds[i].magic)
			return kinds[i].name;
	return "file";
}

/* Two of a kind are told apart by a number. */
static void name_kind(struct disks *d, struct disk *disk, const char *kind)
{
	unsigned i, same = 0;

	for (i = 0; i < d->count; i++)
		same += !strncmp(d->list[i].kind, kind, strlen(kind));
	if (same)
		snprintf(disk->kind, sizeof(disk->kind), "%s-%u", kind,
			 same + 1);
	else
		snprintf(disk->kind, sizeof(disk->kind), "%s", kind);
}

static int add(struct disks *d, const char *path, struct err *e)
{
	struct disk *disk = &d->list[d->count];
	struct stat st;

	if (d->count == DISK_MAX)
		return err_set(e, -E2BIG, "no more than %d disks", DISK_MAX);
	if (!realpath(path, disk->path) || stat(disk->path, &st) ||
	    access(disk->path, S_ISDIR(st.st_mode) ? W_OK : R_OK))
		return err_errno(e, "--drive: can't use %s", path);
	disk->is_first = !d->count;
	disk->is_directory = S_ISDIR(st.st_mode);
	if (S_ISBLK(st.st_mode)) {
		name_kind(d, disk, "raw");
	} else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
		name_kind(d, disk, kind_of(disk->path));
	} else {
		return err_set(e, -EINVAL,
			       "--drive takes a file, a directory or a block "
			       "device, and %s is none",
			       path);
	}
	d->count++;
	return 0;
}

int disks_find(struct disks *d, const char *const *named, unsigned count,
	       struct err *e)
{
	const char *tmp = getenv("TMPDIR");
	unsigned i;
	int rc = 0;

	*d = (struct disks){0};
	for (i = 0; i < count && !rc; i++)
		rc = add(d, named[i], e);
	if (count)
		return rc;
	rc = add(d, tmp && *tmp == '/' ? tmp : "/tmp", e);
	if (!rc && strcmp(d->list[0].kind, "tmpfs") != 0 &&
	    !strcmp(kind_of("/dev/shm"), "tmpfs") && !access("/dev/shm", W_OK))
		rc = add(d, "/dev/shm", e);
	return rc;
}

/* Bytes that nothing can leave out, merge or compress: xorshift's. */
static int fill(int fd, const char *path, struct err *e)
{
	enum { PIECE = 1 << 20, WORDS = PIECE / sizeof(uint64_t) };
	uint64_t *piece = malloc(PIECE), x = 88172645463325252ULL;
	unsigned i, k;
	int rc = piece ? 0 : -ENOMEM;

	for (i = 0; i < DISK_MIB && !rc; i++) {
		for (k = 0; k < WORDS; k++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			piece[k] = x;
		}
		rc = fd_write(fd, piece, PIECE);
	}
	free(piece);
	return rc ? err_set(e, rc, "can't write %s: %s", path, strerror(-rc))
		  : 0;
}

int disk_open(const struct disk *d, char path[PATH_MAX], bool *is_made,
	      struct err *e)
{
	CLEAN_FD int fd = -1;
	int rc;

	*is_made = false;
	if (!d->is_directory) {
		snprintf(path, PATH_MAX, "%s", d->path);
		return 0;
	}
	if (snprintf(path, PATH_MAX, "%s/mayctl-bench.disk.XXXXXX", d->path) >=
	    PATH_MAX)
		return err_set(e, -ENAMETOOLONG, "%s is too long", d->path);
	fd = mkstemp(path);
	if (fd < 0)
		return err_errno(e, "can't make a file in %s", d->path);
	rc = fill(fd, path, e);
	if (rc)
		unlink(path);
	*is_made = !rc;
	return rc;
}
