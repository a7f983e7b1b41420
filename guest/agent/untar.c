/*
 * COPY_IN: unpacks a tar archive in a child that has the container's mounts as
 * its own. The archive is hostile: each header is checked, what is read into
 * memory is bounded, names with ".." are refused.
 */
#include "guest/agent/sparse.h"
#include "guest/agent/tar.h"
#include "guest/proto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAX_MAX = 64 << 10, CHUNK = 64 << 10 };

struct in {
	int fd;
	int dir; /* names are below it */
	uint32_t flags;
	char *sentence;
	size_t sentence_len;
	struct tar_header h;
	/* Of the entry; set by the headers before it, or by its own. */
	char name[TAR_NAME_MAX];
	char link[TAR_NAME_MAX];
	char sparse_name[TAR_NAME_MAX];
	uint64_t size, real_size; /* in the archive, and with its holes */
	bool has_name, has_link, has_size, has_uid, has_gid;
	bool has_sparse_name, has_real_size;
	/* Of GNU's sparse files; what is neither has its data in other ways. */
	bool is_sparse_1, is_sparse_0;
	uint64_t uid, gid;
	struct sparse sparse;
	uint8_t chunk[CHUNK];
};

static int in_fail(struct in *a, int error, const char *why)
{
	if (!a->sentence[0])
		snprintf(a->sentence, a->sentence_len, "%.120s%s%s",
			 a->name[0] ? a->name : "the archive", ": ", why);
	return error;
}

static int in_errno(struct in *a)
{
	const int error = errno ? errno : EIO;

	return in_fail(a, error, strerror(error));
}

static int skip(struct in *a, uint64_t len)
{
	while (len) {
		const size_t want = len < CHUNK ? (size_t)len : CHUNK;

		if (tar_read_full(a->fd, a->chunk, want) != (ssize_t)want)
			return in_fail(a, EPROTO, "the archive breaks off");
		len -= want;
	}
	return 0;
}

static uint64_t padding(uint64_t len)
{
	return (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK;
}

/* ---- headers before an entry ----------------------------------------------
 */

static bool decimal(const char *text, size_t len, uint64_t *value)
{
	uint64_t v = 0;

	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || v >> 59)
			return false;
		v = v * 10 + (uint64_t)(text[i] - '0');
	}
	*value = v;
	return len > 0;
}

static bool text_set(char to[static TAR_NAME_MAX], const char *text, size_t len)
{
	if (len >= TAR_NAME_MAX || memchr(text, '\0', len))
		return false;
	memcpy(to, text, len);
	to[len] = '\0';
	return true;
}

static bool pax_set(struct in *a, const char *key, size_t key_len,
		    const char *value, size_t len)
{
#define IS(word) (key_len == sizeof(word) - 1 && !memcmp(key, word, key_len))
	if (IS("path"))
		return a->has_name = text_set(a->name, value, len);
	if (IS("linkpath"))
		return a->has_link = text_set(a->link, value, len);
	if (IS("size"))
		return a->has_size = decimal(value, len, &a->size);
	if (IS("uid"))
		return a->has_uid = decimal(value, len, &a->uid);
	if (IS("gid"))
		return a->has_gid = decimal(value, len, &a->gid);
	/* GNU tar manual, D.2.2 to D.2.4. */
	if (IS("GNU.sparse.major"))
		return (a->is_sparse_1 = len == 1 && *value == '1') ||
		       (a->is_sparse_0 = true);
	if (IS("GNU.sparse.minor"))
		return (len == 1 && *value == '0') || (a->is_sparse_0 = true);
	if (IS("GNU.sparse.name"))
		return a->has_sparse_name =
			       text_set(a->sparse_name, value, len);
	if (IS("GNU.sparse.realsize"))
		return a->has_real_size = decimal(value, len, &a->real_size);
	if (key_len > 11 && !memcmp(key, "GNU.sparse.", 11))
		a->is_sparse_0 = true;
#undef IS
	return true;
}

/* Records of "LENGTH key=value\n". */
static bool pax_parse(struct in *a, const char *text, size_t len)
{
	while (len) {
		const char *space = memchr(text, ' ', len), *eq;
		uint64_t n = 0;

		if (!space || !decimal(text, (size_t)(space - text), &n) ||
		    n > len || n < (uint64_t)(space - text) + 3 ||
		    text[n - 1] != '\n')
			return false;
		eq = memchr(space, '=', n - (size_t)(space - text));
		if (!eq ||
		    !pax_set(a, space + 1, (size_t)(eq - space - 1), eq + 1,
			     (size_t)(n - (size_t)(eq - text) - 2)))
			return false;
		text += n;
		len -= n;
	}
	return true;
}

static int extension_read(struct in *a, uint64_t size)
{
	const char type = a->h.type;
	size_t len = (size_t)size;
	bool good = true;
	char *text;
	int rc = 0;

	if (size > PAX_MAX)
		return in_fail(a, EPROTO, "a header is too long");
	text = malloc(len + 1);
	if (!text)
		return in_fail(a, ENOMEM, "no memory");
	if (tar_read_full(a->fd, text, len) != (ssize_t)len)
		rc = in_fail(a, EPROTO, "the archive breaks off");
	text[len] = '\0';
	if (!rc && type == 'x')
		good = pax_parse(a, text, len);
	else if (!rc && type == 'L')
		good = a->has_name = text_set(a->name, text, strlen(text));
	else if (!rc && type == 'K')
		good = a->has_link = text_set(a->link, text, strlen(text));
	free(text);
	if (!rc && !good)
		rc = in_fail(a, EPROTO, "a header makes no sense");
	return rc ? rc : skip(a, padding(size));
}

/* ---- an entry -------------------------------------------------------------
 */

/* Without leading slashes; NULL for one that would climb. "" is the directory
 * itself. */
static const char *name_clean(char *name)
{
	size_t len;

	while (*name == '/' || (name[0] == '.' && name[1] == '/'))
		name += *name == '/' ? 1 : 2;
	len = strlen(name);
	while (len && name[len - 1] == '/')
		name[--len] = '\0';
	for (const char *p = name; *p; p += strcspn(p, "/"), p += *p == '/')
		if (strcspn(p, "/") == 2 && p[0] == '.' && p[1] == '.')
			return NULL;
	return strcmp(name, ".") ? name : "";
}

static void parents_make(int dir, const char *name)
{
	char copy[TAR_NAME_MAX];

	snprintf(copy, sizeof(copy), "%s", name);
	for (char *p = copy; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		mkdirat(dir, copy, 0755);
		*p = '/';
	}
}

static int owner_set(struct in *a, const char *name)
{
	const bool own = a->flags & PROTO_COPY_OWN;
	const uid_t uid = own ? 0 : (uid_t)a->uid;
	const gid_t gid = own ? 0 : (gid_t)a->gid;
	const struct timespec now = {.tv_nsec = UTIME_OMIT};
	struct timespec times[2] = {now, now};
	uint64_t mode = 0, mtime = 0;

	if (!tar_number(a->h.mode, sizeof(a->h.mode), &mode) ||
	    !tar_number(a->h.mtime, sizeof(a->h.mtime), &mtime))
		return in_fail(a, EPROTO, "mode or time is no number");
	if (fchownat(a->dir, name, uid, gid, AT_SYMLINK_NOFOLLOW))
		return in_errno(a);
	if (a->h.type != '2' &&
	    fchmodat(a->dir, name, (mode_t)(mode & 07777), 0))
		return in_errno(a);
	times[1] = (struct timespec){.tv_sec = (time_t)mtime};
	if (utimensat(a->dir, name, times, AT_SYMLINK_NOFOLLOW))
		return in_errno(a);
	return 0;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, len - 1);
}

/* Zeroes become holes: what was sparse takes no more room than it did. */
static int piece_read(struct in *a, int fd, const struct sparse_piece *p)
{
	uint64_t left = p->len;

	if (lseek(fd, (off_t)p->at, SEEK_SET) < 0)
		return in_errno(a);
	while (left) {
		const size_t want = left < CHUNK ? (size_t)left : CHUNK;

		if (tar_read_full(a->fd, a->chunk, want) != (ssize_t)want)
			return in_fail(a, EPROTO, "the archive breaks off");
		if (is_zero(a->chunk, want)
			    ? lseek(fd, (off_t)want, SEEK_CUR) < 0
			    : tar_write_full(fd, a->chunk, want))
			return in_errno(a);
		left -= want;
	}
	return 0;
}

/* Where its data go: one piece, unless holes were left out. */
static int pieces_find(struct in *a, uint64_t *size)
{
	uint64_t data = a->size;
	const char *why;

	*size = a->real_size;
	if (a->h.type == 'S')
		why = sparse_read_blocks(&a->sparse, a->fd, &a->h, data, size);
	else
		why = sparse_read_map(&a->sparse, a->fd, &data, *size);
	return why ? in_fail(a, EPROTO, why) : 0;
}

static int file_read(struct in *a, const char *name)
{
	const struct sparse_piece whole = {0, a->size};
	const bool is_sparse = a->h.type == 'S' || a->is_sparse_1;
	uint64_t size = a->size;
	int fd, rc = 0;

	if (is_sparse)
		rc = pieces_find(a, &size);
	if (rc)
		return rc;
	fd = openat(a->dir, name,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return in_errno(a);
	if (!is_sparse)
		rc = piece_read(a, fd, &whole);
	for (size_t i = 0; i < a->sparse.count && !rc; i++)
		rc = piece_read(a, fd, &a->sparse.pieces[i]);
	/* Where it ends in a hole. */
	if (!rc && ftruncate(fd, (off_t)size))
		rc = in_errno(a);
	close(fd);
	sparse_fini(&a->sparse);
	return rc ? rc : skip(a, padding(a->size));
}

static int hard_link(struct in *a, const char *name)
{
	const char *target = name_clean(a->link);

	if (!target || !*target)
		return in_fail(a, EPROTO, "its link leads out of the archive");
	return linkat(a->dir, target, a->dir, name, 0) ? in_errno(a) : 0;
}

static int directory_make(struct in *a, const char *name)
{
	struct stat st;

	if (!mkdirat(a->dir, name, 0755))
		return 0;
	if (errno != EEXIST)
		return in_errno(a);
	/* A link to one is as good as one, as in docker. */
	if (fstatat(a->dir, name, &st, 0) || !S_ISDIR(st.st_mode))
		return in_fail(a, ENOTDIR, "it is there, and is no directory");
	return 0;
}

static int entry_make(struct in *a, const char *name)
{
	const char type = a->h.type;

	parents_make(a->dir, name);
	if (type != '5' && unlinkat(a->dir, name, 0) && errno != ENOENT)
		return in_errno(a);
	switch (type) {
	case '0':
	case '\0':
	case '7':
	case 'S':
		return file_read(a, name);
	case '1':
		return hard_link(a, name);
	case '2':
		return symlinkat(a->link, a->dir, name) ? in_errno(a) : 0;
	case '5':
		return directory_make(a, name);
	case '6':
		return mknodat(a->dir, name, S_IFIFO | 0600, 0) ? in_errno(a)
								: 0;
	case '3':
	case '4':
		return in_fail(a, EPERM, "device nodes are not copied");
	default:
		return in_fail(a, EPROTO, "it is of no known type");
	}
}

/* What headers before an entry said is of that one alone. */
static void extension_forget(struct in *a)
{
	a->has_name = a->has_link = a->has_size = false;
	a->has_uid = a->has_gid = false;
	a->has_sparse_name = a->has_real_size = false;
	a->is_sparse_1 = a->is_sparse_0 = false;
}

/* True for a folder that is told as a file, whose data mean nothing. */
static bool name_find(struct in *a)
{
	size_t len;

	if (a->has_sparse_name)
		memcpy(a->name, a->sparse_name, sizeof(a->name));
	else if (!a->has_name && a->h.prefix[0] &&
		 !memcmp(a->h.magic, "ustar", 6))
		snprintf(a->name, sizeof(a->name), "%.155s/%.100s", a->h.prefix,
			 a->h.name);
	else if (!a->has_name)
		snprintf(a->name, sizeof(a->name), "%.100s", a->h.name);
	/* As before POSIX had a type for it, and as GNU tar takes it. */
	len = strlen(a->name);
	if ((a->h.type != '0' && a->h.type) || !len || a->name[len - 1] != '/')
		return false;
	a->h.type = '5';
	return true;
}

static int entry_read(struct in *a, uint64_t size)
{
	const bool is_folder = name_find(a);
	const char *name;
	int rc;

	if (!a->has_link)
		snprintf(a->link, sizeof(a->link), "%.100s", a->h.linkname);
	if (!a->has_size)
		a->size = size;
	if ((!a->has_uid && !tar_number(a->h.uid, sizeof(a->h.uid), &a->uid)) ||
	    (!a->has_gid && !tar_number(a->h.gid, sizeof(a->h.gid), &a->gid)))
		return in_fail(a, EPROTO, "its owner is no number");
	if (a->is_sparse_0 || (a->is_sparse_1 && !a->has_real_size))
		return in_fail(a, EPROTO,
			       "its holes are told in a way that is not "
			       "known; make the archive with GNU tar's "
			       "--sparse-version=1.0, or without --sparse");
	name = name_clean(a->name);
	if (!name)
		return in_fail(a, EPROTO, "names with .. are refused");
	if (!*name && a->h.type != '5')
		return in_fail(a, EPROTO, "it has no name");
	rc = *name ? entry_make(a, name) : 0;
	if (!rc && *name && a->h.type != '1')
		rc = owner_set(a, name);
	if (!rc && is_folder)
		rc = skip(a, a->size) ? EPROTO : skip(a, padding(a->size));
	extension_forget(a);
	return rc;
}

/* One header and what belongs to it. 0; at the end -1; else a positive errno.
 */
static int archive_next(struct in *a)
{
	static const struct tar_header zero;
	const ssize_t n = tar_read_full(a->fd, &a->h, sizeof(a->h));
	uint64_t sum = 0, size = 0;

	if (n == 0 ||
	    (n == sizeof(a->h) && !memcmp(&a->h, &zero, sizeof(zero))))
		return -1;
	if (n != sizeof(a->h))
		return in_fail(a, EPROTO, "the archive breaks off");
	if (!tar_number(a->h.checksum, sizeof(a->h.checksum), &sum) ||
	    sum != tar_checksum(&a->h) ||
	    !tar_number(a->h.size, sizeof(a->h.size), &size))
		return in_fail(a, EPROTO, "what follows it is no tar header");
	switch (a->h.type) {
	case 'x':
	case 'L':
	case 'K':
		return extension_read(a, size);
	case 'g':
		return skip(a, size + padding(size));
	default:
		return entry_read(a, size);
	}
}

static int place_open(struct in *a, const char *path)
{
	if (a->flags & PROTO_COPY_MAKE) {
		parents_make(AT_FDCWD, path);
		mkdir(path, 0755);
	}
	a->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return a->dir < 0 ? in_errno(a) : 0;
}

static int archive_read(struct in *a)
{
	int rc = 0;

	a->name[0] = '\0';
	while (!rc)
		rc = archive_next(a);
	/* Writers pad an archive; they need not see a broken pipe. */
	while (rc == -1 && tar_read_full(a->fd, a->chunk, CHUNK) > 0)
		;
	return rc == -1 ? 0 : rc;
}

int tar_unpack(int dir, int in, uint32_t flags, char *sentence, size_t len)
{
	static struct in a;

	a.fd = in;
	a.dir = dir;
	a.flags = flags;
	a.sentence = sentence;
	a.sentence_len = len;
	return archive_read(&a);
}

int tar_read(void *arg, int in, int out, char *sentence, size_t len)
{
	static struct in a;
	const struct copy *copy = arg;
	int rc = tar_enter(copy->mntfd);

	(void)out;
	a.fd = in;
	a.flags = copy->flags;
	a.sentence = sentence;
	a.sentence_len = len;
	if (rc)
		return rc;
	snprintf(a.name, sizeof(a.name), "%s", copy->path);
	rc = place_open(&a, copy->path);
	return rc ? rc : archive_read(&a);
}
