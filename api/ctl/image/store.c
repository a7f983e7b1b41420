/* The store's folders: where they are, and the locks they change under. */
#include "api/ctl/image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/base/tree.h"
#include "vmm/base/fd.h"

static int find_path(char *out, size_t size, struct err *e)
{
	const char *store = getenv("MAYFLY_STORE");
	const char *data = getenv("XDG_DATA_HOME");
	const char *home = getenv("HOME");
	int n;

	if (store && *store)
		n = snprintf(out, size, "%s", store);
	else if (geteuid() == 0)
		n = snprintf(out, size, "/var/lib/mayfly/images");
	else if (data && *data == '/')
		n = snprintf(out, size, "%s/mayfly/images", data);
	else if (home && *home == '/')
		n = snprintf(out, size, "%s/.local/share/mayfly/images", home);
	else
		return err_set(e, -ENOENT,
			       "no place for images: set MAYFLY_STORE to a "
			       "folder");
	if (n < 0 || (size_t)n >= size)
		return err_set(e, -ENAMETOOLONG,
			       "the store's path is too long; set "
			       "MAYFLY_STORE to a shorter one");
	return 0;
}

static int open_parts(struct image_store *s, bool is_made)
{
	static const char *const parts[] = {"images", "names", "tmp",
					    IMAGE_KEPT};
	unsigned i;

	s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->fd < 0)
		return -errno;
	for (i = 0; is_made && i < sizeof(parts) / sizeof(parts[0]); i++)
		if (mkdirat(s->fd, parts[i], 0700) && errno != EEXIST)
			return -errno;
	s->lock = openat(s->fd, "lock",
			 O_RDWR | O_CLOEXEC | (is_made ? O_CREAT : 0), 0600);
	if (s->lock >= 0)
		return 0;
	/* A folder without a lock file is no store yet. */
	if (errno == ENOENT)
		fd_close(&s->fd);
	return -errno;
}

int image_store_open(struct image_store *s, bool is_made, struct err *e)
{
	char given[sizeof(s->path)];
	char *real;
	int r;

	s->fd = s->lock = -1;
	r = find_path(given, sizeof(given), e);
	if (r)
		return r;
	snprintf(s->path, sizeof(s->path), "%s", given);
	if (is_made && (r = tree_make(given)))
		return err_set(e, r, "can't make the store %s: %s", given,
			       strerror(-r));
	real = realpath(given, NULL);
	if (real && strlen(real) < sizeof(s->path))
		snprintf(s->path, sizeof(s->path), "%s", real);
	free(real);
	r = open_parts(s, is_made);
	if (r)
		return err_set(e, r, "can't open the store %s: %s", s->path,
			       strerror(-r));
	return 0;
}

void image_store_close(struct image_store *s)
{
	fd_close(&s->lock);
	fd_close(&s->fd);
}

int image_store_lock(const struct image_store *s, struct err *e)
{
	int r;

	do
		r = flock(s->lock, LOCK_EX);
	while (r && errno == EINTR);
	return r ? err_errno(e, "can't lock the store %s", s->path) : 0;
}

void image_store_unlock(const struct image_store *s)
{
	(void)flock(s->lock, LOCK_UN);
}

/*
 * A digest's lock is one byte of the lock file, at a place the digest says:
 * nothing to make and nothing to leave behind. Two digests on one byte would
 * merely wait for each other.
 */
static int claim(const struct image_store *s, const char *hex, short type)
{
	char digits[16];
	struct flock l = {.l_type = type, .l_whence = SEEK_SET};

	snprintf(digits, sizeof(digits), "%.15s", hex);
	l.l_start = hex[0] ? (off_t)strtoull(digits, NULL, 16) : 0;
	l.l_len = hex[0] ? 1 : 0;
	if (!fcntl(s->lock, F_OFD_SETLK, &l))
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

int image_store_claim(const struct image_store *s, const char *hex)
{
	return claim(s, hex, F_WRLCK);
}

void image_store_release(const struct image_store *s)
{
	(void)claim(s, "", F_UNLCK);
}

int image_store_temp(const struct image_store *s, char out[IMAGE_TEMP_SIZE],
		     struct err *e)
{
	char path[PATH_MAX];
	int fd = -1;
	int r;

	/* gc looks for folders without a lock, so it must not see this one. */
	r = image_store_lock(s, e);
	if (r)
		return r;
	snprintf(path, sizeof(path), "%s/tmp/import.XXXXXX", s->path);
	if (!mkdtemp(path)) {
		r = err_errno(e, "can't make a folder in %s/tmp", s->path);
		goto out;
	}
	snprintf(out, IMAGE_TEMP_SIZE, "%s", path + strlen(s->path) + 1);
	/* Tools inherit it, and with it the lock. */
	fd = open(path, O_RDONLY | O_DIRECTORY);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB)) {
		r = err_errno(e, "can't lock %s", path);
		(void)rmdir(path);
		fd_close(&fd);
	}
out:
	image_store_unlock(s);
	return r ? r : fd;
}

bool image_store_has(const struct image_store *s, const char *hex)
{
	char path[128];

	snprintf(path, sizeof(path), "images/%s/" IMAGE_FACTS, hex);
	return !faccessat(s->fd, path, F_OK, 0);
}

char *image_file_read(int dirfd, const char *path, size_t max, size_t *len)
{
	/* Somebody's folder may have a FIFO there, which nobody writes to. */
	CLEAN_FD int fd = openat(dirfd, path,
				 O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	char *text;
	int r;

	if (fd < 0 || fstat(fd, &st))
		return NULL;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max) {
		errno = EFBIG;
		return NULL;
	}
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return NULL;
	r = fd_pread(fd, text, (size_t)st.st_size, 0);
	if (r) {
		free(text);
		errno = -r;
		return NULL;
	}
	text[st.st_size] = 0;
	if (len)
		*len = (size_t)st.st_size;
	return text;
}

int image_file_write(int dirfd, const char *path, const char *text, size_t len)
{
	CLEAN_FD int fd = openat(dirfd, path,
				 O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	int r;

	if (fd < 0)
		return -errno;
	r = fd_pwrite(fd, text, len, 0);
	if (!r && fsync(fd))
		r = -errno;
	return r;
}

int image_folder_sync(int dirfd, const char *path)
{
	CLEAN_FD int fd =
		openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) ? -errno : 0;
}
