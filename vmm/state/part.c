/*
 * Files on their way to a name. O_TMPFILE would leave nothing behind where the
 * writer is killed, but can't be given a name in a jail, which has no /proc. So
 * there are names, and whoever writes to the same name next sweeps.
 */
#include "vmm/state/part.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/fd.h"

static const char mark[] = ".mayfly-";

enum {
	ID_DIGITS = 2 * PART_ID_LEN,
	SUFFIX_LEN = sizeof(mark) - 1 + ID_DIGITS,
	NAME_LEN_MAX = NAME_MAX - SUFFIX_LEN,
	TRIES = 16,
};

/* What comes behind a name: ".mayfly-" and the id. */
static void write_suffix(const uint8_t *id, char out[SUFFIX_LEN + 1])
{
	size_t at = sizeof(mark) - 1;

	memcpy(out, mark, at);
	for (size_t i = 0; i < PART_ID_LEN; i++, at += 2)
		snprintf(out + at, 3, "%02x", id[i]);
}

static const char *last_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int part_path(const char *path, const uint8_t id[PART_ID_LEN], char *out)
{
	char suffix[SUFFIX_LEN + 1];

	if (strlen(last_of(path)) > NAME_LEN_MAX ||
	    strlen(path) + SUFFIX_LEN >= PATH_MAX)
		return -ENAMETOOLONG;
	write_suffix(id, suffix);
	snprintf(out, PATH_MAX, "%s%s", path, suffix);
	return 0;
}

/* Whether entry is of a file that was to become name. */
static bool is_part_of(const char *entry, const char *name)
{
	const size_t len = strlen(name);

	return !strncmp(entry, name, len) &&
	       !strncmp(entry + len, mark, sizeof(mark) - 1) &&
	       strlen(entry + len) == SUFFIX_LEN &&
	       strspn(entry + len + sizeof(mark) - 1, "0123456789abcdef") ==
		       ID_DIGITS;
}

/*
 * Whoever has made a file has it locked, but for the moment in between, which
 * make_file() looks out for.
 */
static bool is_left(int folder, const char *entry)
{
	CLEAN_FD int fd = openat(folder, entry,
				 O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
					 O_CLOEXEC);
	struct stat st;

	return fd > 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) &&
	       !flock(fd, LOCK_EX | LOCK_NB);
}

static void sweep_one(const struct part *p, const char *entry, const char *kept)
{
	if (!is_part_of(entry, p->name) || !is_left(p->folder, entry))
		return;
	if (!strcmp(entry + strlen(p->name), kept))
		(void)renameat(p->folder, entry, p->folder, p->name);
	else
		(void)unlinkat(p->folder, entry, 0);
}

/*
 * What can't be swept stays: it is in nobody's way. readdir() would allocate,
 * and ask for the descriptor's flags.
 */
static void sweep(const struct part *p, const uint8_t *keep)
{
	CLEAN_FD int fd =
		openat(p->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_Alignas(struct dirent64) char entries[8192];
	const struct dirent64 *entry;
	char kept[SUFFIX_LEN + 1] = "";
	ssize_t len;

	if (fd < 0)
		return;
	if (keep)
		write_suffix(keep, kept);
	while ((len = getdents64(fd, (void *)entries, sizeof(entries))) > 0)
		for (ssize_t at = 0; at < len; at += entry->d_reclen) {
			entry = (const void *)(entries + at);
			sweep_one(p, entry->d_name, kept);
		}
}

/* The folder that path lies in, and its name there. */
static int open_folder(struct part *p, const char *path, struct err *e)
{
	const char *name = last_of(path);
	char folder[PATH_MAX];
	struct stat st;

	if (!*name)
		return err_set(e, -EINVAL, "%s is no name of a file", path);
	if (strlen(name) > NAME_LEN_MAX ||
	    (size_t)(name - path) >= sizeof(folder))
		return err_set(e, -ENAMETOOLONG,
			       "the name of %s is longer than %d bytes", path,
			       NAME_LEN_MAX);
	snprintf(folder, sizeof(folder), "%.*s", (int)(name - path), path);
	snprintf(p->name, sizeof(p->name), "%s", name);
	p->folder = openat(AT_FDCWD, *folder ? folder : ".",
			   O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->folder < 0)
		return err_errno(e, "can't open the folder of %s", path);
	if (!fstatat(p->folder, p->name, &st, AT_SYMLINK_NOFOLLOW) &&
	    !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return err_set(e, S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL,
			       "%s is not a regular file; name one, or one "
			       "that is not there yet",
			       path);
	return 0;
}

/* 0, or -EAGAIN where a sweep took it for one that was left. */
static int lock(struct part *p)
{
	struct stat st;

	if (flock(p->fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
		return -EAGAIN;
	return fstat(p->fd, &st) || !st.st_nlink ? -EAGAIN : 0;
}

static int make_file(struct part *p, const char *path, const uint8_t *id,
		     struct err *e)
{
	char suffix[SUFFIX_LEN + 1];

	for (int i = 0; i < TRIES; i++) {
		if (id)
			memcpy(p->id, id, sizeof(p->id));
		else if (getrandom(p->id, sizeof(p->id), 0) != sizeof(p->id))
			return err_errno(e, "no random bytes for %s", path);
		write_suffix(p->id, suffix);
		snprintf(p->temporary, sizeof(p->temporary), "%.*s%s",
			 NAME_LEN_MAX, p->name, suffix);
		p->fd = openat(p->folder, p->temporary,
			       O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW |
				       O_CLOEXEC,
			       0600);
		if (p->fd < 0) {
			p->temporary[0] = '\0'; /* not ours to remove */
			return err_errno(e, "can't make a file beside %s",
					 path);
		}
		if (!lock(p))
			return 0;
		fd_close(&p->fd);
	}
	return err_set(e, -EBUSY, "others sweep the files beside %s", path);
}

int part_make(struct part *p, const char *path, const uint8_t *keep,
	      struct err *e)
{
	return part_make_as(p, path, keep, NULL, e);
}

int part_make_as(struct part *p, const char *path, const uint8_t *keep,
		 const uint8_t *id, struct err *e)
{
	int rc;

	*p = (struct part){.folder = -1, .fd = -1};
	rc = open_folder(p, path, e);
	if (!rc && p->folder > 0) {
		sweep(p, keep);
		rc = make_file(p, path, id, e);
	}
	if (rc)
		part_fini(p);
	return rc;
}

bool part_is_same(const struct part *a, const struct part *b)
{
	return !strcmp(a->name, b->name) && fd_is_same(a->folder, b->folder);
}

int part_sync(struct part *p, struct err *e)
{
	return fsync(p->fd)
		       ? err_errno(e, "can't write %s to the disk", p->name)
		       : 0;
}

int part_rename(struct part *p, struct err *e)
{
	if (renameat(p->folder, p->temporary, p->folder, p->name))
		return err_errno(e, "can't rename %s to %s", p->temporary,
				 p->name);
	part_keep(p);
	return 0;
}

int part_sync_names(struct part *p, struct err *e)
{
	/* Some file systems have nothing to do there, and say so by EINVAL. */
	if (fsync(p->folder) && errno != EINVAL)
		return err_errno(e, "can't write the folder of %s to the disk",
				 p->name);
	return 0;
}

void part_keep(struct part *p)
{
	p->temporary[0] = '\0';
}

void part_fini(struct part *p)
{
	if (p->folder > 0 && p->temporary[0])
		(void)unlinkat(p->folder, p->temporary, 0);
	part_keep(p);
	fd_close(&p->fd);
	fd_close(&p->folder);
}
