#include "api/ctl/image/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum { KEPT_PATH = 80, BLOCK = 512, WAIT_NS = 20000000 };

/* ---- room --------------------------------------------------------------- */

struct one {
	char key[IMAGE_HEX_SIZE];
	uint64_t bytes;
	struct timespec used;
};

struct all {
	const struct image_store *store;
	struct one *list; /* owned */
	size_t count;
	uint64_t bytes;
};

static int add_one(void *ctx, const char *key)
{
	struct all *a = ctx;
	char path[KEPT_PATH];
	struct one *more;
	struct stat st;

	snprintf(path, sizeof(path), IMAGE_KEPT "/%s", key);
	if (fstatat(a->store->fd, path, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	more = reallocarray(a->list, a->count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	a->list = more;
	more = &a->list[a->count++];
	memcpy(more->key, key, IMAGE_HEX_SIZE);
	more->bytes = (uint64_t)st.st_blocks * BLOCK;
	more->used = st.st_mtim;
	a->bytes += more->bytes;
	return 0;
}

static int by_use(const void *a, const void *b)
{
	const struct timespec *x = &((const struct one *)a)->used;
	const struct timespec *y = &((const struct one *)b)->used;

	if (x->tv_sec != y->tv_sec)
		return x->tv_sec < y->tv_sec ? -1 : 1;
	return x->tv_nsec < y->tv_nsec ? -1 : x->tv_nsec > y->tv_nsec;
}

/* -EBUSY where somebody holds it. */
static int drop(const struct image_store *s, const char *key)
{
	char path[KEPT_PATH];
	CLEAN_FD int fd = -1;

	snprintf(path, sizeof(path), IMAGE_KEPT "/%s", key);
	fd = openat(s->fd, path,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return unlinkat(s->fd, path, 0) ? -errno : 0;
}

int image_kept_trim(const struct image_store *s, uint64_t max_bytes,
		    unsigned *count, struct tree_report *report, struct err *e)
{
	struct all a = {.store = s};
	int rc = image_store_kept(s, add_one, &a, e);
	size_t i;

	if (a.count)
		qsort(a.list, a.count, sizeof(*a.list), by_use);
	for (i = 0; i < a.count && !rc && a.bytes > max_bytes; i++) {
		rc = drop(s, a.list[i].key);
		if (!rc) {
			a.bytes -= a.list[i].bytes;
			report->bytes += a.list[i].bytes;
			++*count;
		}
		if (rc == -EBUSY)
			rc = 0;
	}
	free(a.list);
	return rc ? err_set(e, rc, "can't make room in %s/" IMAGE_KEPT ": %s",
			    s->path, strerror(-rc))
		  : 0;
}

/* ---- finding and making ------------------------------------------------- */

/* What is found under the lock nobody removes, and it was used just now. */
static int find(const struct image_store *s, const char *key,
		struct image_kept *out, struct err *e)
{
	char path[KEPT_PATH];
	CLEAN_FD int fd = -1;
	int rc = image_store_lock(s, e);

	if (rc)
		return rc;
	snprintf(path, sizeof(path), IMAGE_KEPT "/%s", key);
	fd = openat(s->fd, path,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB))
		rc = -errno;
	else
		(void)futimens(fd, NULL);
	image_store_unlock(s);
	if (rc)
		return err_set(e, rc, "can't open %s/%s: %s", s->path, path,
			       strerror(-rc));
	snprintf(out->path, sizeof(out->path), "%s/%s", s->path, path);
	out->fd = fd_steal(&fd);
	return 0;
}

/* It is on the disk before it has its name. */
static int place(const struct image_store *s, const char *from, const char *key,
		 uint64_t max_bytes, struct err *e)
{
	CLEAN_FD int fd =
		openat(s->fd, from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct tree_report report = {0};
	char path[KEPT_PATH];
	unsigned count = 0;
	int rc;

	/* Held, so that it does not make room for itself. */
	if (fd < 0 || fchmod(fd, 0444) || fsync(fd) || futimens(fd, NULL) ||
	    flock(fd, LOCK_SH | LOCK_NB))
		return err_errno(e, "can't keep %s/%s", s->path, from);
	rc = image_store_lock(s, e);
	if (rc)
		return rc;
	snprintf(path, sizeof(path), IMAGE_KEPT "/%s", key);
	if (renameat(s->fd, from, s->fd, path))
		rc = err_errno(e, "can't keep %s/%s", s->path, path);
	else if (!image_folder_sync(s->fd, IMAGE_KEPT))
		(void)image_kept_trim(s, max_bytes, &count, &report, e);
	image_store_unlock(s);
	return rc;
}

/* What makers that were killed have left. */
static void sweep(const struct image_store *s)
{
	struct tree_report report = {0};
	struct err e = {0};
	unsigned count = 0;

	if (image_store_lock(s, &e))
		return;
	(void)image_store_sweep(s, &count, &report, &e);
	image_store_unlock(s);
}

static int make(const struct image_store *s, const char *key,
		const struct image_kept_maker *how, struct err *e)
{
	char temp[IMAGE_TEMP_SIZE], from[KEPT_PATH], path[PATH_MAX];
	CLEAN_FD int folder = -1;
	int rc;

	sweep(s);
	folder = image_store_temp(s, temp, e);
	if (folder < 0)
		return folder;
	snprintf(from, sizeof(from), "%s/" IMAGE_EROFS, temp);
	snprintf(path, sizeof(path), "%s/%s", s->path, from);
	rc = how->write(how->ctx, path, e);
	if (!rc)
		rc = place(s, from, key, how->max_bytes, e);
	(void)tree_remove(s->fd, temp, 0, NULL);
	return rc;
}

/* Who comes second finds what the first has made, or makes it after him. */
static int find_or_make(const struct image_store *s, const char *key,
			const struct image_kept_maker *how,
			struct image_kept *out, struct err *e)
{
	const struct timespec pause = {.tv_nsec = WAIT_NS};
	int rc = find(s, key, out, e);

	if (rc != -ENOENT)
		return rc;
	while ((rc = image_store_claim(s, key)) == -EAGAIN)
		nanosleep(&pause, NULL);
	if (rc)
		return err_set(e, rc, "can't lock the store %s: %s", s->path,
			       strerror(-rc));
	rc = find(s, key, out, e);
	if (rc == -ENOENT) {
		rc = make(s, key, how, e);
		rc = rc ? rc : find(s, key, out, e);
	}
	image_store_release(s);
	return rc;
}

int image_kept_take(const char *key, const struct image_kept_maker *how,
		    struct image_kept *out, struct err *e)
{
	struct image_store s;
	int rc = image_store_open(&s, true, e);

	out->fd = -1;
	if (!rc)
		rc = find_or_make(&s, key, how, out, e);
	image_store_close(&s);
	return rc;
}

void image_kept_sweep(void)
{
	struct image_store s;
	struct err e = {0};

	if (!image_store_open(&s, false, &e))
		sweep(&s);
	image_store_close(&s);
}
