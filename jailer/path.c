/*
 * The jail lies where the confined process may write, and where a process of
 * an earlier jail with the same uid may still be running: every name can
 * change between two looks. So no name is looked at twice. Directories are
 * walked by descriptor, one openat2() a step; files and nodes are made with
 * O_EXCL or mknod(), which follow nothing, and what is then opened by name is
 * checked by descriptor to be the thing that was made.
 */
#include "jailer/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vmm/base/fd.h"

/* RESOLVE_NO_SYMLINKS holds for the last part too, and says ELOOP. */
static int open_beneath(int dir_fd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)flags | O_CLOEXEC,
		.mode = mode,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	if (dir_fd != AT_FDCWD)
		how.resolve |= RESOLVE_BENEATH;
	/* EAGAIN: a rename elsewhere raced with a `..`; asking again is safe.
	 */
	do
		fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return (int)fd;
}

static int open_error(const char *path, struct err *e)
{
	if (errno == ELOOP)
		return err_set(e, -ELOOP,
			       "%.256s: is or leads through a symbolic link, "
			       "which the jailer doesn't follow; give the real "
			       "path",
			       path);
	if (errno == EXDEV)
		return err_set(e, -EXDEV, "%.256s: leads out of its directory",
			       path);
	if (errno == ENOSYS)
		return err_set(e, -ENOSYS,
			       "this kernel has no openat2(); the jailer needs "
			       "Linux 5.6");
	return err_errno(e, "%.256s", path);
}

int path_open(int dir_fd, const char *path, int flags, struct err *e)
{
	int fd = open_beneath(dir_fd, path, flags, 0);

	return fd < 0 ? open_error(path, e) : fd;
}

/*
 * Reserves an entry with a descriptor of its own for the directory, before
 * anything is made: what has been made must be possible to note. It counts
 * only once made_commit() is called.
 */
static int made_prepare(struct path_made *made, int dir_fd, const char *name,
			struct err *e)
{
	struct path_entry *entry = &made->entries[made->count];

	if (made->count == PATH_MADE_MAX)
		return err_set(e, -ENOSPC,
			       "%.64s: more than %d new files and directories",
			       name, PATH_MADE_MAX);
	if (strlen(name) >= sizeof(entry->name))
		return err_set(e, -ENAMETOOLONG, "%.64s…: name is too long",
			       name);
	entry->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
	if (entry->dir_fd < 0)
		return err_errno(e, "%.256s: descriptor of its directory",
				 name);
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	return 0;
}

static void made_commit(struct path_made *made, bool is_dir)
{
	made->entries[made->count++].is_dir = is_dir;
}

static void made_drop(struct path_made *made)
{
	fd_close(&made->entries[made->count].dir_fd);
}

static int exists_error(const char *name, struct err *e)
{
	return err_set(e, -EEXIST,
		       "%.256s is already there: another jail of this id runs, "
		       "or has been left; end it and remove its directory",
		       name);
}

int path_make_dir(struct path_made *made, int dir_fd, const char *name,
		  struct err *e)
{
	int rc = made_prepare(made, dir_fd, name, e);

	if (rc)
		return rc;
	if (!mkdirat(dir_fd, name, 0755)) {
		made_commit(made, true);
	} else if (errno == EEXIST) {
		made_drop(made);
	} else {
		rc = err_errno(e, "making directory %.256s", name);
		made_drop(made);
		return rc;
	}
	return path_open(dir_fd, name, O_RDONLY | O_DIRECTORY, e);
}

int path_make_dirs(struct path_made *made, const char *path, struct err *e)
{
	CLEAN_FD int dir = -1;
	const char *at = path;
	char name[256];
	size_t len;
	int fd;

	dir = path_open(AT_FDCWD, *path == '/' ? "/" : ".",
			O_RDONLY | O_DIRECTORY, e);
	if (dir < 0)
		return dir;
	for (at += strspn(at, "/"); *at; at += len, at += strspn(at, "/")) {
		len = strcspn(at, "/");
		if (len >= sizeof(name))
			return err_set(e, -ENAMETOOLONG,
				       "%.64s…: name is too long", at);
		memcpy(name, at, len);
		name[len] = 0;
		fd = path_make_dir(made, dir, name, e);
		if (fd < 0)
			return err_context(e, "%.256s", path);
		fd_close(&dir);
		dir = fd;
	}
	return fd_steal(&dir);
}

int path_make_file(struct path_made *made, int dir_fd, const char *name,
		   mode_t mode, struct err *e)
{
	int rc = made_prepare(made, dir_fd, name, e);
	int fd;

	if (rc)
		return rc;
	fd = open_beneath(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL, mode);
	if (fd >= 0) {
		made_commit(made, false);
		return fd;
	}
	rc = errno == EEXIST ? exists_error(name, e) : open_error(name, e);
	made_drop(made);
	return rc;
}

int path_make_node(struct path_made *made, int dir_fd, const char *name,
		   dev_t device, struct err *e)
{
	int rc = made_prepare(made, dir_fd, name, e);
	CLEAN_FD int fd = -1;
	struct stat st;

	if (rc)
		return rc;
	if (mknodat(dir_fd, name, S_IFCHR | 0600, device)) {
		rc = errno == EEXIST
			     ? exists_error(name, e)
			     : err_errno(e, "making device %.128s (%u:%u)",
					 name, major(device), minor(device));
		made_drop(made);
		return rc;
	}
	made_commit(made, false);
	fd = path_open(dir_fd, name, O_PATH, e);
	if (fd < 0)
		return fd;
	/* Whoever owns the directory could have put another thing in its place.
	 */
	if (fstat(fd, &st))
		return err_errno(e, "%.128s", name);
	if (!S_ISCHR(st.st_mode) || st.st_rdev != device || st.st_nlink != 1)
		return err_set(e, -EBUSY,
			       "%.128s was replaced while it was being made",
			       name);
	return fd_steal(&fd);
}

void path_forget(struct path_made *made)
{
	while (made->count)
		fd_close(&made->entries[--made->count].dir_fd);
}

unsigned path_undo(struct path_made *made)
{
	unsigned left = 0;

	while (made->count) {
		struct path_entry *entry = &made->entries[--made->count];

		if (unlinkat(entry->dir_fd, entry->name,
			     entry->is_dir ? AT_REMOVEDIR : 0) &&
		    errno != ENOENT)
			left++;
		fd_close(&entry->dir_fd);
	}
	return left;
}
