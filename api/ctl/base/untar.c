/*
 * Every path is walked one part at a time by descriptors, so it may be longer
 * than a path can be, and a link in it is an error. What is unpacked lies below
 * `top` in the private folder, whatever the archive calls it, until the end.
 */
#include "api/ctl/base/untar.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "api/ctl/base/tar.h"
#include "api/ctl/base/tree.h"
#include "vmm/base/fd.h"

enum {
	SHOWN = 80,		/* bytes of a name in a sentence */
	FOLDERS_MAX = 64 << 20, /* bytes of names of folders kept */
};

#define TOP "top"

static const int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/* What a folder gets when all is in its place. */
struct folder {
	struct folder *before;
	mode_t mode;
	uint64_t mtime_s;
	char path[]; /* below top */
};

struct untar {
	int dirfd; /* owned */
	int temp;  /* owned; the private folder */
	char temp_name[24];
	char *from; /* owned */
	char *as;   /* owned */
	struct tar tar;
	mode_t umask;
	bool is_any;
	int file; /* owned; the one whose data comes */
	mode_t file_mode;
	uint64_t file_mtime_s;
	struct folder *folders; /* owned; the last first */
	size_t folder_bytes;
};

/* ---- paths -------------------------------------------------------------- */

static int fail(struct err *e, int error, const char *path, const char *why)
{
	char shown[SHOWN + 4];
	size_t i;

	for (i = 0; i < SHOWN && path[i]; i++)
		shown[i] = path[i] >= ' ' && path[i] <= '~' ? path[i] : '?';
	memcpy(shown + i, "...", 4);
	if (!path[i])
		shown[i] = 0;
	return err_set(e, -error, "can't copy '%s': %s", shown, why);
}

static int fail_errno(struct err *e, const char *path)
{
	const int error = errno;

	return fail(e, error, path, strerror(error));
}

/* The next part of a path, but for "."; its length, 0 at the end. */
static size_t next_part(const char **path)
{
	size_t len;

	for (;;) {
		*path += strspn(*path, "/");
		len = strcspn(*path, "/");
		if (len != 1 || **path != '.')
			return len;
		*path += 1;
	}
}

/* Goes down one part, making it where is_made says so. fd is closed. */
static int go_down(int fd, const char *part, size_t len, bool is_made)
{
	char name[NAME_MAX + 1];
	int next;

	if (len > NAME_MAX) {
		close(fd);
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(name, part, len);
	name[len] = 0;
	next = openat(fd, name, folder_flags);
	if (next < 0 && errno == ENOENT && is_made && !mkdirat(fd, name, 0755))
		next = openat(fd, name, folder_flags);
	fd_close(&fd);
	return next;
}

/*
 * Opens the folder that path's last part lies in, from fd, and puts that part
 * into name: "" for a path without parts. -1 and errno.
 */
static int open_parent(int fd, const char *path, bool is_made,
		       char name[NAME_MAX + 1])
{
	size_t len = next_part(&path);

	fd = openat(fd, ".", folder_flags);
	name[0] = 0;
	while (fd >= 0 && len) {
		const char *part = path;
		size_t after;

		path += len;
		after = next_part(&path);
		if (!after) {
			if (len <= NAME_MAX) {
				memcpy(name, part, len);
				name[len] = 0;
				return fd;
			}
			close(fd);
			errno = ENAMETOOLONG;
			return -1;
		}
		fd = go_down(fd, part, len, is_made);
		len = after;
	}
	return fd;
}

/* A folder that stands: as many parts at once as a path may hold. */
static int open_folder(int fd, const char *path)
{
	static const struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH,
	};
	char piece[PATH_MAX];

	fd = openat(fd, ".", folder_flags);
	while (fd >= 0 && next_part(&path)) {
		size_t len = strnlen(path, sizeof(piece) - 1);
		int next;

		if (path[len])
			while (len && path[len] != '/')
				len--;
		memcpy(piece, path, len);
		piece[len] = 0;
		path += len;
		next = (int)syscall(SYS_openat2, fd, piece, &how, sizeof(how));
		fd_close(&fd);
		fd = next;
	}
	return fd;
}

static bool has_dots(const char *path)
{
	size_t len;

	for (; (len = next_part(&path)); path += len)
		if (len == 2 && path[0] == '.' && path[1] == '.')
			return true;
	return false;
}

/* An archive's path to one of ours, which the caller frees; NULL if wrong. */
static char *own_path(const struct untar *u, const char *path, struct err *e)
{
	const char *rest = path;
	size_t len = next_part(&rest);
	char *out = NULL;

	if (has_dots(path)) {
		fail(e, EPROTO, path, "its path has '..' in it");
		return NULL;
	}
	if (strcmp(u->from, ".") != 0) {
		if (len != strlen(u->from) || memcmp(rest, u->from, len) != 0) {
			fail(e, EPROTO, path, "nobody asked for it");
			return NULL;
		}
		rest += len;
	}
	if (asprintf(&out, TOP "/%s", rest) < 0) {
		err_set(e, -ENOMEM, "no memory for a path");
		return NULL;
	}
	return out;
}

/* ---- entries ------------------------------------------------------------ */

static void set_times(int fd, const char *name, uint64_t mtime_s)
{
	const struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = (time_t)mtime_s},
	};

	(void)utimensat(fd, name, times, AT_SYMLINK_NOFOLLOW);
}

/* The data of the last file are all there. */
static int finish_file(struct untar *u, struct err *e)
{
	const struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = (time_t)u->file_mtime_s},
	};

	if (u->file < 0)
		return 0;
	if (fchmod(u->file, u->file_mode))
		return err_errno(e, "can't set a copy's mode");
	(void)futimens(u->file, times);
	fd_close(&u->file);
	return 0;
}

static int make_file(struct untar *u, int fd, const char *name,
		     const struct tar_entry *entry)
{
	u->file = openat(fd, name,
			 O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			 0600);
	u->file_mode = (mode_t)entry->mode & 0777 & ~u->umask;
	u->file_mtime_s = entry->mtime_s;
	return u->file < 0 ? -1 : 0;
}

static int make_folder(struct untar *u, int fd, const char *name,
		       const char *path, const struct tar_entry *entry)
{
	const mode_t mode = (mode_t)entry->mode & 0777 & ~u->umask;
	const size_t size = strlen(path) + 1;
	struct folder *f;
	struct stat st;

	if (mkdirat(fd, name, mode | 0700)) {
		if (errno != EEXIST ||
		    fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW))
			return -1;
		if (!S_ISDIR(st.st_mode)) {
			errno = ENOTDIR;
			return -1;
		}
	}
	/* Of more folders than this, times and odd modes are lost. */
	if (u->folder_bytes + size + sizeof(*f) > FOLDERS_MAX)
		return 0;
	f = malloc(sizeof(*f) + size);
	if (!f)
		return -1;
	*f = (struct folder){u->folders, mode, entry->mtime_s};
	memcpy(f->path, path, size);
	u->folders = f;
	u->folder_bytes += size + sizeof(*f);
	return 0;
}

static int make_hard_link(struct untar *u, int fd, const char *name,
			  const struct tar_entry *entry, struct err *e)
{
	char target[NAME_MAX + 1];
	char *path = own_path(u, entry->links[0], e);
	CLEAN_FD int from = -1;

	if (!path)
		return -EPROTO;
	from = open_parent(u->temp, path, false, target);
	free(path);
	if (from < 0 || linkat(from, target, fd, name, 0))
		return fail_errno(e, entry->names[0]);
	return 0;
}

static int make_entry(struct untar *u, int fd, const char *name,
		      const char *path, const struct tar_entry *entry,
		      struct err *e)
{
	int r;

	if (entry->type != '5' && unlinkat(fd, name, 0) && errno != ENOENT)
		return fail_errno(e, entry->names[0]);
	switch (entry->type) {
	case '1':
		return make_hard_link(u, fd, name, entry, e);
	case '2':
		r = symlinkat(entry->links[0], fd, name);
		if (!r)
			set_times(fd, name, entry->mtime_s);
		break;
	case '5':
		r = make_folder(u, fd, name, path, entry);
		break;
	default:
		r = make_file(u, fd, name, entry);
	}
	return r ? fail_errno(e, entry->names[0]) : 0;
}

static int on_entry(void *ctx, const struct tar_entry *entry, struct err *e)
{
	struct untar *u = ctx;
	char name[NAME_MAX + 1];
	CLEAN_FD int fd = -1;
	char *path;
	int r = finish_file(u, e);

	if (r)
		return r;
	/* Devices and pipes mean nothing outside. */
	if (strchr("346", entry->type))
		return 0;
	if (entry->is_sparse || !strchr("01257", entry->type))
		return fail(e, EPROTO, entry->names[0],
			    "it is of a kind that is not known");
	path = own_path(u, entry->names[0], e);
	if (!path)
		return -EPROTO;
	fd = open_parent(u->temp, path, true, name);
	if (fd < 0)
		r = fail_errno(e, entry->names[0]);
	else
		r = make_entry(u, fd, name, path, entry, e);
	free(path);
	u->is_any = true;
	return r;
}

static int on_data(void *ctx, const void *data, size_t len, struct err *e)
{
	struct untar *u = ctx;
	const int r = u->file < 0 ? 0 : fd_write(u->file, data, len);

	return r ? err_set(e, r, "can't write the copy: %s", strerror(-r)) : 0;
}

/* ---- its place ---------------------------------------------------------- */

/* Folders that stand on both sides, still to be merged. */
struct merge {
	struct untar *u;
	struct path {
		struct path *next;
		char text[]; /* below top, and below the target */
	} *todo;
	bool is_moving; /* else looking whether all fits */
};

static int push(struct merge *m, const char *folder, const char *name)
{
	const size_t size = strlen(folder) + strlen(name) + 2;
	struct path *p = malloc(sizeof(*p) + size);

	if (!p)
		return -1;
	p->next = m->todo;
	snprintf(p->text, size, "%s/%s", folder, name);
	m->todo = p;
	return 0;
}

/* One entry of the folder `from`, `name`, to the folder `to`, as `as`. */
static int merge_entry(struct merge *m, int from, const char *name, int to,
		       const char *as, const char *folder, struct err *e)
{
	struct stat new, old;

	if (fstatat(from, name, &new, AT_SYMLINK_NOFOLLOW))
		return fail_errno(e, name);
	if (!fstatat(to, as, &old, AT_SYMLINK_NOFOLLOW)) {
		if (S_ISDIR(new.st_mode) && S_ISDIR(old.st_mode))
			return push(m, folder, as) ? fail_errno(e, name) : 0;
		if (S_ISDIR(new.st_mode))
			return fail(e, ENOTDIR, as,
				    "it is a folder, and what stands there is "
				    "none");
		if (S_ISDIR(old.st_mode))
			return fail(e, EISDIR, as,
				    "there is a folder where it goes");
	}
	if (m->is_moving && renameat(from, name, to, as))
		return fail_errno(e, as);
	return 0;
}

static int merge_entries(struct merge *m, DIR *dir, int to, const char *folder,
			 struct err *e)
{
	const struct dirent *d;
	int r = 0;

	while (!r && (d = readdir(dir)))
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			r = merge_entry(m, dirfd(dir), d->d_name, to, d->d_name,
					folder, e);
	return r;
}

static int merge_folder(struct merge *m, int to_top, const char *folder,
			struct err *e)
{
	CLEAN_FD int top = openat(m->u->temp, TOP, folder_flags);
	CLEAN_FD int to = open_folder(to_top, folder);
	CLEAN_FD int from = -1;
	DIR *dir;
	int r;

	if (top < 0 || to < 0)
		return fail_errno(e, folder);
	from = open_folder(top, folder);
	dir = from < 0 ? NULL : fdopendir(from);
	if (!dir)
		return fail_errno(e, folder);
	(void)fd_steal(&from);
	r = merge_entries(m, dir, to, folder, e);
	closedir(dir);
	return r;
}

/* All that is to be done below folders which stand on both sides. */
static int merge_all(struct merge *m, int to_top, struct err *e)
{
	int r = 0;

	while (m->todo) {
		struct path *p = m->todo;

		m->todo = p->next;
		if (!r)
			r = merge_folder(m, to_top, p->text, e);
		free(p);
	}
	return r;
}

static int merge(struct untar *u, bool is_moving, struct err *e)
{
	struct merge m = {.u = u, .is_moving = is_moving};
	CLEAN_FD int to = -1;
	int r;

	if (!*u->as) {
		to = openat(u->dirfd, ".", folder_flags);
		if (to < 0 || push(&m, "", ""))
			return fail_errno(e, u->from);
		return merge_all(&m, to, e);
	}
	r = merge_entry(&m, u->temp, TOP, u->dirfd, u->as, "", e);
	if (r || !m.todo)
		return r;
	/* What stands there is a folder, and what comes, too. */
	*m.todo->text = '\0';
	to = openat(u->dirfd, u->as, folder_flags);
	if (to >= 0)
		return merge_all(&m, to, e);
	free(m.todo);
	return fail_errno(e, u->as);
}

/*
 * The last first, so that a folder closes after what is in it. One that is
 * still where it was unpacked has been merged into another, which keeps what
 * it had.
 */
static void finish_folders(struct untar *u)
{
	const struct folder *f;

	for (f = u->folders; f; f = f->before) {
		CLEAN_FD int merged = open_folder(u->temp, f->path);
		CLEAN_FD int top = -1;
		CLEAN_FD int fd = -1;

		if (merged >= 0)
			continue;
		top = openat(u->dirfd, *u->as ? u->as : ".", folder_flags);
		if (top >= 0)
			fd = open_folder(top, f->path + strlen(TOP "/"));
		if (fd < 0)
			continue;
		set_times(fd, ".", f->mtime_s);
		(void)fchmod(fd, f->mode);
	}
}

int untar_end(struct untar *u, struct err *e)
{
	struct stat st;
	int r = tar_end(&u->tar, e);

	if (!r)
		r = finish_file(u, e);
	if (r)
		return r;
	if (!u->is_any)
		return err_set(e, -ENOENT,
			       "there is nothing to copy: it is neither file, "
			       "folder nor link");
	if (!*u->as && (fstatat(u->temp, TOP, &st, AT_SYMLINK_NOFOLLOW) ||
			!S_ISDIR(st.st_mode)))
		return fail(e, ENOTDIR, u->from, "it is no folder");
	r = merge(u, false, e);
	if (!r)
		r = merge(u, true, e);
	if (!r)
		finish_folders(u);
	return r;
}

/* ---- begin and end ------------------------------------------------------ */

static int make_temp(struct untar *u)
{
	unsigned number;

	do {
		if (getrandom(&number, sizeof(number), 0) < 0)
			return -1;
		snprintf(u->temp_name, sizeof(u->temp_name), ".mayctl-%08x",
			 number);
		if (!mkdirat(u->dirfd, u->temp_name, 0700))
			u->temp = openat(u->dirfd, u->temp_name, folder_flags);
	} while (u->temp < 0 && errno == EEXIST);
	return u->temp < 0 ? -1 : 0;
}

struct untar *untar_new(const struct untar_rules *rules, struct err *e)
{
	static const struct tar_hooks hooks = {.entry = on_entry,
					       .data = on_data};
	struct untar *u = calloc(1, sizeof(*u));

	if (!u) {
		err_set(e, -ENOMEM, "no memory for a copy");
		return NULL;
	}
	u->file = u->temp = -1;
	u->umask = umask(0);
	umask(u->umask);
	u->dirfd = openat(rules->dirfd, ".", folder_flags);
	u->from = strdup(rules->from);
	u->as = strdup(rules->as);
	tar_init(&u->tar, "what the guest sent", &hooks, u);
	u->tar.takes_slashes = true;
	if (u->dirfd >= 0 && u->from && u->as && !make_temp(u))
		return u;
	err_errno(e, "can't write where the copy goes");
	untar_free(u);
	return NULL;
}

int untar_add(struct untar *u, const void *data, size_t len, struct err *e)
{
	return tar_add(&u->tar, data, len, e);
}

void untar_free(struct untar *u)
{
	if (!u)
		return;
	fd_close(&u->file);
	if (u->temp >= 0)
		(void)tree_remove(u->dirfd, u->temp_name, 0, NULL);
	fd_close(&u->temp);
	fd_close(&u->dirfd);
	while (u->folders) {
		struct folder *f = u->folders;

		u->folders = f->before;
		free(f);
	}
	tar_fini(&u->tar);
	free(u->from);
	free(u->as);
	free(u);
}
