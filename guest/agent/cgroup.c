#include "guest/agent/cgroup.h"

#include "guest/agent/disk.h"
#include "guest/agent/machine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH = 32 };

int cgroup_root(void)
{
	static int root_fd = -1;

	/* Whoever may write below a group of his own may not write in it. */
	if (root_fd < 0)
		root_fd = mount_detached("cgroup2", "cgroup2",
					 machine.is_test ? NULL : "nsdelegate",
					 0);
	return root_fd < 0 ? -ENOTSUP : root_fd;
}

int cgroup_own(const char *prefix, char name[static CGROUP_NAME])
{
	const int root = cgroup_root();
	int rc = 0;

	if (*name)
		return 0;
	if (root < 0)
		return root;
	/* Outside a VM other agents have theirs beside it. */
	snprintf(name, CGROUP_NAME, "%s-%llu", prefix,
		 (unsigned long long)(machine.is_test ? machine_realtime_ns()
						      : 0));
	if (mkdirat(root, name, 0755) && errno != EEXIST)
		rc = -ENOTSUP;
	else if (faccessat(root, name, X_OK, 0))
		rc = -errno;
	if (rc)
		*name = '\0';
	return rc;
}

ssize_t cgroup_read(int dir_fd, const char *path, char *text, size_t size)
{
	const int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = -1;

	/* What the kernel puts together comes in pages. */
	while (fd >= 0 && len < size - 1) {
		n = read(fd, text + len, size - 1 - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (fd >= 0)
		close(fd);
	text[len] = '\0';
	return n < 0 && !len ? -1 : (ssize_t)len;
}

int cgroup_write(int dir_fd, const char *path, const char *text)
{
	const int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC);
	int rc;

	if (fd < 0)
		return -errno;
	rc = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return rc;
}

/* Files go with their group. */
static int remove_in(int dir_fd, const char *path, unsigned depth)
{
	const struct dirent *item;
	DIR *dir;
	int fd;

	if (!unlinkat(dir_fd, path, AT_REMOVEDIR))
		return 0;
	if (errno != EBUSY && errno != ENOTEMPTY)
		return -errno;
	fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return -EBUSY;
	}
	while (depth < DEPTH && (item = readdir(dir)))
		if (item->d_type == DT_DIR && item->d_name[0] != '.')
			(void)remove_in(fd, item->d_name, depth + 1);
	closedir(dir);
	return unlinkat(dir_fd, path, AT_REMOVEDIR) ? -errno : 0;
}

int cgroup_remove(int dir_fd, const char *path)
{
	return remove_in(dir_fd, path, 0);
}
