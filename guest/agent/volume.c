/*
 * What is mounted into a container: disks, tmpfs, single files, which lie in a
 * tmpfs of which nothing else can be seen, and directories that containers
 * share, which lie beside what they write.
 */
#include "guest/agent/volume.h"

#include "guest/agent/disk.h"
#include "guest/agent/file.h"
#include "guest/agent/tar.h"
#include "guest/agent/tree.h"
#include "guest/proto.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FAILED = 125, PLACE = 600, SENTENCE = 200 };

static uint64_t attributes_of(const struct spawn *sp,
			      const struct root_mount *m)
{
	uint64_t attributes = 0;

	if (m->flags & PROTO_MOUNT_READ_ONLY)
		attributes |= MOUNT_ATTR_RDONLY;
	if (m->flags & PROTO_MOUNT_NO_EXEC)
		attributes |= MOUNT_ATTR_NOEXEC;
	if (m->flags & PROTO_MOUNT_NO_SUID)
		attributes |= MOUNT_ATTR_NOSUID;
	if (!(sp->flags & PROTO_UNMASKED))
		attributes |= MOUNT_ATTR_NODEV;
	return attributes;
}

static int tmpfs_open(const struct root_mount *m, uint64_t attributes)
{
	char options[96];
	int len = snprintf(options, sizeof(options), "mode=%o,uid=%u,gid=%u",
			   m->mode ? m->mode & 07777 : 01777, m->uid, m->gid);

	if (m->tmp_bytes)
		snprintf(options + len, sizeof(options) - (size_t)len,
			 ",size=%llu", (unsigned long long)m->tmp_bytes);
	return mount_detached("tmpfs", NULL, options, attributes);
}

/* The tmpfs of files, at a place where it can be cloned from. */
static int files_mount(const char *dir)
{
	char path[PLACE];
	int fd = mount_detached("tmpfs", NULL, "mode=755", 0), rc;

	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "%s/files", dir);
	mkdir(path, 0700);
	rc = mount_attach(fd, AT_FDCWD, path);
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

static int file_write(int fd, const struct file *f)
{
	for (size_t done = 0; done < f->len;) {
		const ssize_t n = write(fd, f->bytes + done, f->len - done);

		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	if (fchown(fd, f->uid, f->gid) || fchmod(fd, f->mode))
		return -errno;
	return 0;
}

/* Two mounts of a file are of one, and see what the other writes. */
static int file_open(int files, const struct root_mount *m, uint64_t attributes)
{
	const struct file *f = file_find(m->serial);
	char name[24];
	int fd, rc;

	if (!f)
		return -ENOENT;
	snprintf(name, sizeof(name), "%p", (const void *)f);
	fd = openat(files, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	rc = fd < 0 ? -errno : file_write(fd, f);
	if (fd >= 0)
		close(fd);
	if (rc && rc != -EEXIST)
		return rc;
	return mount_clone(files, name, attributes);
}

/* What came by FILE, as something that can be read. */
static int file_as_input(const struct file *f)
{
	const int fd = memfd_create("file", MFD_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	rc = file_write(fd, f);
	if (!rc && lseek(fd, 0, SEEK_SET))
		rc = -errno;
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

static int shared_fill(const struct root_mount *m, int dir,
		       char sentence[static SENTENCE])
{
	const struct file *f = file_find(m->serial);
	int in, rc;

	if (fchown(dir, m->uid, m->gid) ||
	    fchmod(dir, m->mode ? m->mode & 07777 : 01777))
		return -errno;
	if (!f)
		return 0;
	in = file_as_input(f);
	if (in < 0)
		return in;
	rc = tar_unpack(dir, in, 0, sentence, SENTENCE);
	close(in);
	return -rc;
}

/* It has its name when it is whole: '~' is in no name. */
static int shared_make(const struct spawn *sp, const struct root_mount *m,
		       int all, const char *path)
{
	char made[PROTO_ID_MAX + 24], sentence[SENTENCE] = "";
	unsigned long long number;
	int dir, rc;

	if (!faccessat(all, m->serial, F_OK, AT_SYMLINK_NOFOLLOW))
		return 0;
	/* Each container's first process is number 1. */
	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return -EAGAIN;
	snprintf(made, sizeof(made), "%s~%llx", m->serial, number);
	if (mkdirat(all, made, 0700))
		return -errno;
	dir = openat(all, made, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = dir < 0 ? -errno : shared_fill(m, dir, sentence);
	if (dir >= 0)
		close(dir);
	/* Two that begin at once make one each, and share the first. */
	if (!rc &&
	    syscall(SYS_renameat2, all, made, all, m->serial, RENAME_NOREPLACE))
		rc = errno == EEXIST ? 0 : -errno;
	else if (!rc)
		return 0;
	tree_remove(path, made);
	if (rc && sentence[0])
		spawn_fail(sp, FAILED, -rc, "cannot fill %.100s: %s", m->path,
			   sentence);
	return rc;
}

static int shared_open(const struct spawn *sp, const struct root *root,
		       const struct root_mount *m, uint64_t attributes)
{
	char path[PLACE];
	int all, rc;

	snprintf(path, sizeof(path), "%s/~shared", root->base);
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	all = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (all < 0)
		return -errno;
	rc = shared_make(sp, m, all, path);
	if (!rc)
		rc = mount_clone(all, m->serial, attributes);
	close(all);
	return rc;
}

void volumes_open(const struct spawn *sp, const struct root *root,
		  const char *dir, int fds[static ROOT_MOUNTS])
{
	int files = -1;

	for (size_t i = 0; i < root->mounts_len; i++) {
		const struct root_mount *m = &root->mounts[i];
		const uint64_t attributes = attributes_of(sp, m);

		if (m->flags & PROTO_MOUNT_FILE && files < 0)
			files = files_mount(dir);
		if (m->flags & PROTO_MOUNT_SHARED)
			fds[i] = shared_open(sp, root, m, attributes);
		else if (m->flags & PROTO_MOUNT_FILE)
			fds[i] = files < 0 ? files
					   : file_open(files, m, attributes);
		else if (*m->serial)
			fds[i] = disk_mount(m->serial, attributes);
		else
			fds[i] = tmpfs_open(m, attributes);
		if (fds[i] < 0)
			spawn_fail(sp, FAILED, -fds[i],
				   "cannot mount '%s' for %.100s: %s",
				   m->serial, m->path, strerror(-fds[i]));
	}
	if (files >= 0)
		close(files);
}

/* mkdir -p, and for a file an empty one; a symbolic link on the way is
 * followed, in this root. */
static void path_make(const char *path, bool is_file)
{
	char copy[4096];
	int fd;

	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return;
	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdir(copy, 0755);
		*p = '/';
	}
	if (!is_file) {
		mkdir(copy, 0755);
		return;
	}
	/* Never opened if it is there: it could be a FIFO. */
	fd = open(copy, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd >= 0)
		close(fd);
}

/* How deep a path is; a slash more or less is none. */
static unsigned depth_of(const char *path)
{
	unsigned depth = 0;

	for (; *path; path++)
		depth += path[0] == '/' && path[1] && path[1] != '/';
	return depth;
}

static void volume_attach(const struct spawn *sp, const struct root_mount *m,
			  int fd)
{
	int rc;

	path_make(m->path, m->flags & PROTO_MOUNT_FILE);
	rc = mount_attach(fd, AT_FDCWD, m->path);
	if (rc)
		spawn_fail(sp, FAILED, -rc, "cannot mount at %.150s: %s",
			   m->path, strerror(-rc));
	close(fd);
}

void volumes_attach(const struct spawn *sp, const struct root *root,
		    const int fds[static ROOT_MOUNTS])
{
	size_t left = root->mounts_len;

	for (unsigned depth = 0; left; depth++)
		for (size_t i = 0; i < root->mounts_len; i++) {
			if (depth_of(root->mounts[i].path) != depth)
				continue;
			volume_attach(sp, &root->mounts[i], fds[i]);
			left--;
		}
}
