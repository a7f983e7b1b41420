/*
 * A key is a digest of the overlay's options and of each lower directory: its
 * path, device, inode, change time and file system. These tell directories
 * apart where a file system gives them itself, and for as long as it stands,
 * which is asked for: images that are mounted take other images' devices and
 * inodes when they are gone. The one that is known is what containerd's erofs
 * snapshotter mounts, a layer.erofs beside it.
 */
#include "api/ctl/containerd/key.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "vmm/base/fd.h"

/* Not in every linux/magic.h. */
enum { MAGIC_ZFS = 0x2fc12fc1, MAGIC_BCACHEFS = (int)0xca451a4e };

/* One that gives its files numbers and times of their own. */
static bool is_of_its_own(unsigned magic)
{
	static const unsigned known[] = {
		EXT4_SUPER_MAGIC,	  XFS_SUPER_MAGIC,
		BTRFS_SUPER_MAGIC,	  TMPFS_MAGIC,
		F2FS_SUPER_MAGIC,	  MAGIC_ZFS,
		(unsigned)MAGIC_BCACHEFS,
	};

	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (magic == known[i])
			return true;
	return false;
}

/* With its NUL, lest "a","bc" be "ab","c". */
static void add_text(SHA2_CTX *sha, const char *text)
{
	SHA256Update(sha, (const uint8_t *)text, strlen(text) + 1);
}

/* What fd is, where that tells it from all others. */
static bool add_identity(SHA2_CTX *sha, int fd)
{
	struct {
		uint64_t dev, ino, size;
		int64_t s, ns;
		fsid_t fs;
	} is = {0};
	struct statfs fs;
	struct stat st;

	if (fstatfs(fd, &fs) || fstat(fd, &st) ||
	    !is_of_its_own((unsigned)fs.f_type))
		return false;
	is.dev = st.st_dev;
	is.ino = st.st_ino;
	is.size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	is.s = st.st_ctim.tv_sec;
	is.ns = st.st_ctim.tv_nsec;
	is.fs = fs.f_fsid;
	SHA256Update(sha, (const uint8_t *)&is, sizeof(is));
	return true;
}

/* The image that containerd's erofs snapshotter has mounted there. */
static bool add_layer(SHA2_CTX *sha, int dir)
{
	CLEAN_FD int fd =
		openat(dir, "../layer.erofs", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct statfs fs;
	struct stat st;

	return fd >= 0 && !fstatfs(dir, &fs) &&
	       (unsigned)fs.f_type == EROFS_SUPER_MAGIC_V1 && !fstat(fd, &st) &&
	       S_ISREG(st.st_mode) && add_identity(sha, fd);
}

static bool add_lower(SHA2_CTX *sha, const char *path)
{
	CLEAN_FD int fd = -1;

	/* overlayfs: a backslash before a colon, two colons before data. */
	if (*path != '/' || strchr(path, '\\'))
		return false;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	add_text(sha, path);
	return fd >= 0 && (add_identity(sha, fd) || add_layer(sha, fd));
}

static bool add_lowers(SHA2_CTX *sha, const char *list)
{
	char *paths = strdup(list), *at = paths, *path;
	bool is_known = paths != NULL;

	while (is_known && (path = strsep(&at, ":")))
		is_known = add_lower(sha, path);
	free(paths);
	return is_known;
}

/* The root is as this one is, but nothing is in it. */
static bool add_upper(SHA2_CTX *sha, const char *path)
{
	const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;
	uint32_t is[3];
	bool is_empty;
	struct stat st;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	is_empty = !fstat(fd, &st) &&
		   fgetxattr(fd, "trusted.overlay.opaque", NULL, 0) < 0 &&
		   fgetxattr(fd, "user.overlay.opaque", NULL, 0) < 0;
	while (is_empty && (d = readdir(dir)))
		is_empty = !strcmp(d->d_name, ".") || !strcmp(d->d_name, "..");
	closedir(dir);
	if (!is_empty)
		return false;
	is[0] = st.st_mode;
	is[1] = st.st_uid;
	is[2] = st.st_gid;
	SHA256Update(sha, (const uint8_t *)is, sizeof(is));
	return true;
}

static bool add_option(SHA2_CTX *sha, const char *o, bool *has_lower)
{
	if (!strncmp(o, "lowerdir=", 9)) {
		*has_lower = true;
		return add_lowers(sha, o + 9);
	}
	if (!strncmp(o, "upperdir=", 9))
		return add_upper(sha, o + 9);
	if (!strncmp(o, "workdir=", 8))
		return true;
	/* Lowers in words that mount(2) does not have. */
	if (!strncmp(o, "lowerdir", 8) || !strncmp(o, "datadir", 7))
		return false;
	add_text(sha, o);
	return true;
}

bool key_of(const struct rootfs *r, char hex[KEY_SIZE])
{
	char *options = NULL, *at, *o;
	bool is_known, has_lower = false;
	SHA2_CTX sha;

	if (r->count != 1 || strcmp(r->mounts[0].type, "overlay") != 0)
		return false;
	at = options = strdup(r->mounts[0].options);
	is_known = options != NULL;
	SHA256Init(&sha);
	add_text(&sha, MAYFLY_VERSION);
	while (is_known && (o = strsep(&at, ",")))
		is_known = add_option(&sha, o, &has_lower);
	free(options);
	SHA256End(&sha, hex);
	return is_known && has_lower;
}
