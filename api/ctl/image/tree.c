/*
 * Removing trees that hostile archives made. The depth is bounded by the
 * archive walker and by PATH_MAX; one descriptor is open for each level, so
 * the recursion also ends where descriptors do.
 */
#include "api/ctl/image/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

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
	 * there: the tree is ours, in a folder of mode 0700.
	 */
	if (errno != EACCES || fchmodat(dirfd, name, 0700, 0))
		return -errno;
	fd = openat(dirfd, name, flags);
	return fd < 0 ? -errno : fd;
}

static int empty_folder(int fd, uint64_t *bytes);

static int remove_entry(int dirfd, const char *name, uint64_t *bytes)
{
	struct stat st;
	int status = 0;
	int fd;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode)) {
		fd = open_folder(dirfd, name);
		status = fd < 0 ? fd : empty_folder(fd, bytes);
	}
	if (unlinkat(dirfd, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) &&
	    errno != ENOENT)
		return status ? status : -errno;
	if (bytes && (S_ISDIR(st.st_mode) || st.st_nlink == 1))
		*bytes += (uint64_t)st.st_blocks * 512;
	return status;
}

/* fd is closed. */
static int empty_folder(int fd, uint64_t *bytes)
{
	DIR *dir = fdopendir(fd);
	const struct dirent *d;
	int status = 0;
	int r;

	if (!dir) {
		r = -errno;
		close(fd);
		return r;
	}
	for (errno = 0; (d = readdir(dir)); errno = 0) {
		if (is_dots(d->d_name))
			continue;
		r = remove_entry(fd, d->d_name, bytes);
		if (r && !status)
			status = r;
	}
	if (errno && !status)
		status = -errno;
	closedir(dir);
	return status;
}

int image_tree_remove(int dirfd, const char *name, uint64_t *bytes)
{
	return remove_entry(dirfd, name, bytes);
}

int image_tree_empty(int dirfd, const char *name)
{
	const int fd = open_folder(dirfd, name);

	return fd < 0 ? fd : empty_folder(fd, NULL);
}
