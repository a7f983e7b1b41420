/*
 * Each folder is opened from the one above it, and what is in it looked at
 * through the descriptor: a path that is changed while we walk leads nowhere
 * else.
 */
#include "api/ctl/base/pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum {
	BLOCK = 512,
	CHUNK = 64 << 10,
	DEPTH_MAX = 256,
	OCTAL_ID_MAX = 07777777
};

/* POSIX's ustar. */
struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12];
	char checksum[8], type, link[100], magic[6], version[2];
	char rest[247];
};

_Static_assert(sizeof(struct header) == BLOCK, "one block");

/* A file of several names, and the first of them. */
struct linked {
	dev_t dev;
	ino_t ino;
	char name[];
};

struct pack {
	const struct pack_sink *sink;
	struct err *e;
	char name[PATH_MAX]; /* of what is being written, in the archive */
	void *linked;	     /* a tree of struct linked; owned */
	char chunk[CHUNK];
};

static int fail(struct pack *p, const char *what)
{
	return err_errno(p->e, "%s %s", what, p->name);
}

static int put(struct pack *p, const void *bytes, size_t len)
{
	return len ? p->sink->write(p->sink->ctx, bytes, len, p->e) : 0;
}

static int pad(struct pack *p, uint64_t len)
{
	static const char zero[BLOCK];

	return put(p, zero, (BLOCK - len % BLOCK) % BLOCK);
}

/* ---- headers ------------------------------------------------------------ */

static int put_header(struct pack *p, struct header *h)
{
	const unsigned char *b = (const unsigned char *)h;
	unsigned i, sum = 0;

	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
	memset(h->checksum, ' ', sizeof(h->checksum));
	for (i = 0; i < sizeof(*h); i++)
		sum += b[i];
	snprintf(h->checksum, sizeof(h->checksum), "%06o", sum);
	return put(p, h, sizeof(*h));
}

/* "LENGTH key=value\n", whose length counts itself. Returns its length. */
static size_t put_record(char *to, size_t size, const char *key,
			 const char *value)
{
	const size_t rest = strlen(key) + strlen(value) + 3;
	size_t len = rest + 1;

	while (len != rest + (size_t)snprintf(NULL, 0, "%zu", len))
		len = rest + (size_t)snprintf(NULL, 0, "%zu", len);
	snprintf(to, size, "%zu %s=%s\n", len, key, value);
	return len;
}

/* What does not fit into a header goes before it. */
static int put_pax(struct pack *p, const char *link, const struct stat *st)
{
	struct header h = {.name = "pax", .mode = "0000644", .type = 'x'};
	char text[2 * PATH_MAX + 256], number[24];
	size_t len = 0;
	int rc;

	if (strlen(p->name) > sizeof(h.name))
		len += put_record(text, sizeof(text), "path", p->name);
	if (strlen(link) > sizeof(h.link))
		len += put_record(text + len, sizeof(text) - len, "linkpath",
				  link);
	snprintf(number, sizeof(number), "%lld", (long long)st->st_size);
	if (st->st_size >= 1LL << 33)
		len += put_record(text + len, sizeof(text) - len, "size",
				  number);
	snprintf(number, sizeof(number), "%u", st->st_uid);
	if (st->st_uid > OCTAL_ID_MAX)
		len += put_record(text + len, sizeof(text) - len, "uid",
				  number);
	snprintf(number, sizeof(number), "%u", st->st_gid);
	if (st->st_gid > OCTAL_ID_MAX)
		len += put_record(text + len, sizeof(text) - len, "gid",
				  number);
	if (!len)
		return 0;
	snprintf(h.size, sizeof(h.size), "%011o", (unsigned)len);
	rc = put_header(p, &h);
	if (!rc)
		rc = put(p, text, len);
	return rc ? rc : pad(p, len);
}

/* Of st only a regular file's size counts. */
static int put_entry(struct pack *p, char type, const char *link,
		     const struct stat *st)
{
	struct header h = {.type = type};
	struct stat plain = *st;
	const uint64_t mtime = st->st_mtime < 0 ? 0 : (uint64_t)st->st_mtime;
	const size_t name = strlen(p->name), target = strlen(link);
	int rc;

	if (type != '0')
		plain.st_size = 0;
	rc = put_pax(p, link, &plain);
	memcpy(h.name, p->name, name < sizeof(h.name) ? name : sizeof(h.name));
	memcpy(h.link, link, target < sizeof(h.link) ? target : sizeof(h.link));
	snprintf(h.mode, sizeof(h.mode), "%07o", st->st_mode & 07777);
	snprintf(h.uid, sizeof(h.uid), "%07o", st->st_uid & OCTAL_ID_MAX);
	snprintf(h.gid, sizeof(h.gid), "%07o", st->st_gid & OCTAL_ID_MAX);
	snprintf(h.size, sizeof(h.size), "%011llo",
		 (unsigned long long)plain.st_size & 077777777777ull);
	snprintf(h.mtime, sizeof(h.mtime), "%011llo",
		 (unsigned long long)mtime & 077777777777ull);
	return rc ? rc : put_header(p, &h);
}

/* ---- what is in a tree --------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct linked *x = a, *y = b;

	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* The name this file was written by already; NULL for its first. */
static const char *find_linked(struct pack *p, const struct stat *st, int *rc)
{
	const size_t len = strlen(p->name) + 1;
	struct linked *l = malloc(sizeof(*l) + len);
	struct linked *const *found;

	if (!l) {
		*rc = err_set(p->e, -ENOMEM, "no memory for hard links");
		return NULL;
	}
	l->dev = st->st_dev;
	l->ino = st->st_ino;
	memcpy(l->name, p->name, len);
	found = tsearch(l, &p->linked, compare);
	if (found && *found == l)
		return NULL;
	free(l);
	if (!found)
		*rc = err_set(p->e, -ENOMEM, "no memory for hard links");
	return found ? (*found)->name : NULL;
}

static int put_file(struct pack *p, int fd, const struct stat *st)
{
	uint64_t left = (uint64_t)st->st_size, at = 0;
	const char *first = NULL;
	int rc = 0;

	if (st->st_nlink > 1)
		first = find_linked(p, st, &rc);
	if (rc)
		return rc;
	if (first)
		return put_entry(p, '1', first, st);
	rc = put_entry(p, '0', "", st);
	while (!rc && left) {
		const size_t want = left < CHUNK ? (size_t)left : CHUNK;
		ssize_t n = pread(fd, p->chunk, want, (off_t)at);

		if (n < 0)
			return fail(p, "can't read");
		/* It has got shorter. */
		if (!n) {
			memset(p->chunk, 0, want);
			n = (ssize_t)want;
		}
		rc = put(p, p->chunk, (size_t)n);
		left -= (uint64_t)n;
		at += (uint64_t)n;
	}
	return rc ? rc : pad(p, (uint64_t)st->st_size);
}

static int put_any(struct pack *p, int dirfd, const char *base,
		   bool is_followed, int depth);

/* NULL at the end, or after an error, which *rc is then. */
static const struct dirent *next_entry(struct pack *p, DIR *dir, int *rc)
{
	const struct dirent *d;

	do {
		errno = 0;
		d = readdir(dir);
	} while (d && (!strcmp(d->d_name, ".") || !strcmp(d->d_name, "..")));
	if (!d && errno)
		*rc = fail(p, "can't list");
	return d;
}

/* The entry of a folder, by its name there and behind the folder's. */
static int put_named(struct pack *p, int dirfd, const char *base, size_t at,
		     int depth)
{
	const size_t len = strlen(base) + 1;

	if (len > sizeof(p->name) - at)
		return err_set(p->e, -ENAMETOOLONG,
			       "%.200s is too long a path to copy", p->name);
	memcpy(p->name + at, base, len);
	return put_any(p, dirfd, base, false, depth);
}

/* Takes fd. */
static int put_folder(struct pack *p, int fd, const struct stat *st, int depth)
{
	const size_t len = strlen(p->name);
	const struct dirent *d;
	DIR *dir;
	int rc;

	if (depth >= DEPTH_MAX || len + 2 > sizeof(p->name)) {
		close(fd);
		return err_set(p->e, -ENAMETOOLONG,
			       "%.200s is too deep to copy", p->name);
	}
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return fail(p, "can't list");
	}
	memcpy(p->name + len, "/", 2);
	rc = put_entry(p, '5', "", st);
	while (!rc && (d = next_entry(p, dir, &rc)))
		rc = put_named(p, fd, d->d_name, len + 1, depth + 1);
	p->name[len] = '\0';
	closedir(dir);
	return rc;
}

static int put_link(struct pack *p, int dirfd, const char *base,
		    const struct stat *st)
{
	char target[PATH_MAX];
	const ssize_t n = readlinkat(dirfd, base, target, sizeof(target) - 1);

	if (n < 0)
		return fail(p, "can't read the link");
	target[n] = '\0';
	return put_entry(p, '2', target, st);
}

static int put_any(struct pack *p, int dirfd, const char *base,
		   bool is_followed, int depth)
{
	const int at = is_followed ? 0 : AT_SYMLINK_NOFOLLOW;
	struct stat st;
	int fd, rc = 0;

	if (fstatat(dirfd, base, &st, at))
		/* Gone since it was listed. */
		return errno == ENOENT && depth ? 0 : fail(p, "can't read");
	if (S_ISLNK(st.st_mode))
		return put_link(p, dirfd, base, &st);
	if (S_ISFIFO(st.st_mode))
		return put_entry(p, '6', "", &st);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	fd = openat(dirfd, base,
		    O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
			    (is_followed ? 0 : O_NOFOLLOW));
	if (fd < 0)
		return errno == ENOENT && depth ? 0 : fail(p, "can't read");
	/* It may be another since it was looked at. */
	if (fstat(fd, &st))
		rc = fail(p, "can't read");
	else if (S_ISDIR(st.st_mode))
		return put_folder(p, fd, &st, depth);
	else if (S_ISREG(st.st_mode))
		rc = put_file(p, fd, &st);
	close(fd);
	return rc;
}

int pack_tree(int dirfd, const char *name, const char *as, bool is_followed,
	      const struct pack_sink *sink, struct err *e)
{
	static const char end[2 * BLOCK];
	struct pack *p = calloc(1, sizeof(*p));
	int rc;

	if (!p || strlen(as) >= sizeof(p->name)) {
		free(p);
		return err_set(e, -ENOMEM, "no memory for a copy of %.200s",
			       name);
	}
	p->sink = sink;
	p->e = e;
	memcpy(p->name, as, strlen(as) + 1);
	rc = put_any(p, dirfd, name, is_followed, 0);
	if (!rc)
		rc = put(p, end, sizeof(end));
	tdestroy(p->linked, free);
	free(p);
	return rc;
}
