/*
 * Trees of others are removed by descriptors, a bounded number of them: what
 * lies too deep is moved up to the top of the tree, which is then gone through
 * once more.
 */
#include "api/ctl/base/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/fd.h"

/* Directories below one another, and so descriptors held. */
enum { DEPTH_MAX = 64 };

struct removal {
	int top_fd;	 /* owned; what is too deep is moved up to here */
	unsigned moved;	 /* how many such there were */
	bool moved_some; /* since the last look */
	bool is_strict;
	struct tree_report *report; /* borrowed; may be NULL */
};

/* Opens a folder even where its mode forbids that to its owner. */
static int open_folder(int dirfd, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dirfd, name, flags);

	if (fd >= 0 && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) == 0)
		return fd;
	if (fd >= 0) {
		(void)fchmod(fd, 0700);
		return fd;
	}
	/*
	 * fchmodat() follows a link in its last place. Nobody can put one
	 * there: only in trees of our own, in folders of mode 0700, is there
	 * anything that we may not open.
	 */
	if (errno != EACCES || fchmodat(dirfd, name, 0700, 0))
		return -errno;
	fd = openat(dirfd, name, flags);
	return fd < 0 ? -errno : fd;
}

static int fail(const struct removal *r, const char *name, int error)
{
	if (r->report && !*r->report->failed)
		snprintf(r->report->failed, sizeof(r->report->failed), "%s",
			 name);
	return -error;
}

/* What is not there any more has been removed. */
static int unlink_entry(const struct removal *r, int dirfd, const char *name,
			const struct stat *st)
{
	const bool is_folder = S_ISDIR(st->st_mode);

	if (unlinkat(dirfd, name, is_folder ? AT_REMOVEDIR : 0))
		return errno == ENOENT ? 0 : -errno;
	if (r->report && (is_folder || st->st_nlink == 1))
		r->report->bytes += (uint64_t)st->st_blocks * 512;
	return 0;
}

static int move_up(struct removal *r, int dirfd, const char *name)
{
	char to[32];

	snprintf(to, sizeof(to), ".mayctl-%u", r->moved++);
	if (renameat(dirfd, name, r->top_fd, to))
		return fail(r, name, errno);
	r->moved_some = true;
	return 0;
}

static int empty_folder(struct removal *r, int fd, unsigned depth);

static int remove_entry(struct removal *r, int dirfd, const char *name,
			unsigned depth)
{
	struct statx folder;
	int fd, status, rc;
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : fail(r, name, errno);
	rc = unlink_entry(r, dirfd, name, &st);
	if (!rc)
		return 0;
	if (!S_ISDIR(st.st_mode) || (rc != -ENOTEMPTY && rc != -EEXIST))
		return fail(r, name, -rc);
	if (depth == DEPTH_MAX)
		return move_up(r, dirfd, name);
	fd = open_folder(dirfd, name);
	if (fd < 0)
		return fail(r, name, -fd);
	if (!statx(fd, "", AT_EMPTY_PATH, 0, &folder) &&
	    folder.stx_attributes & STATX_ATTR_MOUNT_ROOT) {
		close(fd);
		return fail(r, name, EBUSY);
	}
	status = empty_folder(r, fd, depth);
	if (status && r->is_strict)
		return status;
	rc = unlink_entry(r, dirfd, name, &st);
	if (rc && !status)
		status = fail(r, name, -rc);
	return rc ? status : 0;
}

/* fd is closed. */
static int empty_folder(struct removal *r, int fd, unsigned depth)
{
	DIR *dir = fdopendir(fd);
	const struct dirent *d;
	int status = 0, rc;

	if (!dir) {
		rc = -errno;
		close(fd);
		return rc;
	}
	do {
		rc = errno = 0;
		d = readdir(dir);
		if (!d)
			rc = -errno;
		else if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			rc = remove_entry(r, fd, d->d_name, depth + 1);
		if (!status)
			status = rc;
	} while (d && !(rc && r->is_strict));
	closedir(dir);
	return status;
}

int tree_remove(int dirfd, const char *name, unsigned flags,
		struct tree_report *report)
{
	struct removal r = {
		.is_strict = flags & TREE_STRICT,
		.report = report,
		.top_fd = open_folder(dirfd, name),
	};
	int rc;

	do {
		r.moved_some = false;
		if (report)
			*report->failed = '\0';
		rc = remove_entry(&r, dirfd, name, 0);
	} while (r.moved_some && (!rc || rc == -ENOTEMPTY));
	fd_close(&r.top_fd);
	return rc;
}

int tree_empty(int dirfd, const char *name)
{
	struct removal r = {.top_fd = open_folder(dirfd, name)};
	int fd, rc = r.top_fd;

	if (rc < 0)
		return rc;
	do {
		r.moved_some = false;
		fd = open_folder(dirfd, name);
		rc = fd < 0 ? fd : empty_folder(&r, fd, 0);
	} while (r.moved_some && !rc);
	fd_close(&r.top_fd);
	return rc;
}

int tree_make(const char *path)
{
	char part[PATH_MAX];
	char *slash;

	snprintf(part, sizeof(part), "%s", path);
	for (slash = strchr(part + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(part, 0700) && errno != EEXIST ? -errno : 0;
}
