#include "api/ctl/vm/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/base/tree.h"
#include "vmm/base/fd.h"

#define PART ".mayfly-"

enum { DIGITS = 16 };

static bool is_part(const char *name)
{
	const char *at = strstr(name, PART);

	return at && at != name &&
	       strspn(at + strlen(PART), "0123456789abcdef") == DIGITS &&
	       strlen(at + strlen(PART)) == DIGITS;
}

/* One that is locked has somebody who works at it. */
static void sweep(int parent)
{
	int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		fd_close(&fd);
		return;
	}
	while ((entry = readdir(dir))) {
		CLEAN_FD int at = -1;

		if (!is_part(entry->d_name))
			continue;
		at = openat(parent, entry->d_name,
			    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (at >= 0 && !flock(at, LOCK_EX | LOCK_NB))
			(void)tree_remove(parent, entry->d_name, 0, NULL);
	}
	closedir(dir);
}

bool folder_is_begun(int parent, const char *name)
{
	int fd = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const size_t len = strlen(name);
	const struct dirent *entry;
	bool is_there = false;

	if (!dir)
		fd_close(&fd);
	while (dir && (entry = readdir(dir)))
		is_there = is_there ||
			   (is_part(entry->d_name) &&
			    !strncmp(entry->d_name, name, len) &&
			    !strncmp(entry->d_name + len, PART, strlen(PART)));
	if (dir)
		closedir(dir);
	return is_there;
}

void folder_sweep(const char *path)
{
	CLEAN_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		sweep(fd);
}

/* DIR and NAME of DIR/NAME, slashes at the end apart. */
static int split(struct folder *f, const char *path, char parent[PATH_MAX],
		 struct err *e)
{
	char text[PATH_MAX], *slash;
	size_t len = strlen(path);

	if (len >= sizeof(text))
		return err_set(e, -ENAMETOOLONG, "%.80s… is too long", path);
	memcpy(text, path, len + 1);
	while (len > 1 && text[len - 1] == '/')
		text[--len] = '\0';
	slash = strrchr(text, '/');
	if (snprintf(f->name, sizeof(f->name) - DIGITS - sizeof(PART), "%s",
		     slash ? slash + 1 : text) >=
	    (int)(sizeof(f->name) - DIGITS - sizeof(PART)))
		return err_set(e, -ENAMETOOLONG, "%.80s… is too long", path);
	if (!*f->name || !strcmp(f->name, ".") || !strcmp(f->name, ".."))
		return err_set(e, -EINVAL, "'%s' names no new folder", path);
	if (slash == text)
		slash[1] = '\0';
	else if (slash)
		*slash = '\0';
	if (!realpath(slash ? text : ".", parent))
		return err_errno(e, "can't find the folder for %s", path);
	return 0;
}

static int make_part(struct folder *f, struct err *e)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return err_errno(e, "no random numbers");
	snprintf(f->part, sizeof(f->part), "%.*s" PART "%016llx",
		 (int)(sizeof(f->part) - DIGITS - sizeof(PART)), f->name,
		 (unsigned long long)random);
	if (mkdirat(f->parent_fd, f->part, 0700))
		return err_errno(e, "can't make a folder for %s", f->name);
	f->fd = openat(f->parent_fd, f->part,
		       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* Who sweeps may be looking at it just now: then it is gone. */
	if (f->fd < 0 || flock(f->fd, LOCK_EX | LOCK_NB))
		return err_errno(e, "can't have the new folder for %s",
				 f->name);
	return 0;
}

int folder_begin(struct folder *f, const char *path, struct err *e)
{
	char parent[PATH_MAX];
	struct stat st;
	int rc;

	*f = (struct folder){.parent_fd = -1, .fd = -1};
	rc = split(f, path, parent, e);
	if (rc)
		return rc;
	f->parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->parent_fd < 0)
		return err_errno(e, "can't open %s", parent);
	if (!fstatat(f->parent_fd, f->name, &st, AT_SYMLINK_NOFOLLOW))
		return err_set(e, -EEXIST,
			       "%s is there already; choose another name, or "
			       "remove it first",
			       path);
	sweep(f->parent_fd);
	rc = make_part(f, e);
	if (!rc && snprintf(f->path, sizeof(f->path), "%s/%s", parent,
			    f->part) >= (int)sizeof(f->path))
		rc = err_set(e, -ENAMETOOLONG, "%s is too long", path);
	if (rc)
		folder_fini(f);
	return rc;
}

int folder_commit(struct folder *f, bool is_synced, struct err *e)
{
	if (is_synced && fsync(f->fd))
		return err_errno(e, "can't write %s", f->name);
	if (renameat2(f->parent_fd, f->part, f->parent_fd, f->name,
		      RENAME_NOREPLACE))
		return err_errno(e, "can't give %s its name", f->name);
	f->part[0] = '\0';
	if (is_synced && fsync(f->parent_fd))
		return err_errno(e, "can't write the folder of %s", f->name);
	return 0;
}

void folder_fini(struct folder *f)
{
	if (f->parent_fd >= 0 && f->part[0])
		(void)tree_remove(f->parent_fd, f->part, 0, NULL);
	f->part[0] = '\0';
	fd_close(&f->fd);
	fd_close(&f->parent_fd);
}
