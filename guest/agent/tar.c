/*
 * COPY_OUT: a tar archive of a path, written in a child that has the
 * container's mounts as its own, so that whatever a name there leads to is the
 * container's.
 */
#include "guest/agent/tar.h"

#include "guest/agent/rights.h"
#include "guest/proto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	DEPTH_MAX = 512,
	CHUNK = 64 << 10,
	OCTAL_ID_MAX = 07777777,
	KNOWN = 1024
};

int tar_enter(int mntfd)
{
	const uint64_t files = 1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE |
			       1ULL << CAP_DAC_READ_SEARCH |
			       1ULL << CAP_FOWNER | 1ULL << CAP_FSETID |
			       1ULL << CAP_MKNOD;
	const struct rights_sets sets = {
		.bounding = files,
		.effective = files,
		.permitted = files,
	};
	int rc;

	if (setns(mntfd, CLONE_NEWNS) || chdir("/"))
		return errno;
	umask(0);
	rc = rights_limit(&sets);
	return -rc;
}

bool tar_number(const char *field, size_t len, uint64_t *value)
{
	const uint8_t *f = (const uint8_t *)field;
	uint64_t v = 0;
	size_t i = 0;

	if (f[0] & 0x80) {
		for (i = 0; i < len; i++) {
			if (v >> 55)
				return false;
			v = v << 8 | (i ? f[i] : f[i] & 0x7f);
		}
		*value = v;
		return true;
	}
	while (i < len && f[i] == ' ')
		i++;
	for (; i < len && f[i] >= '0' && f[i] <= '7'; i++)
		v = v << 3 | (uint64_t)(f[i] - '0');
	*value = v;
	return i == len || f[i] == '\0' || f[i] == ' ';
}

unsigned tar_checksum(const struct tar_header *h)
{
	const uint8_t *b = (const uint8_t *)h;
	unsigned sum = 0;

	for (size_t i = 0; i < sizeof(*h); i++) {
		const bool inside =
			i >= offsetof(struct tar_header, checksum) &&
			i < offsetof(struct tar_header, type);

		sum += inside ? ' ' : b[i];
	}
	return sum;
}

ssize_t tar_read_full(int fd, void *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		const ssize_t n = read(fd, (char *)data + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int tar_write_full(int fd, const void *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		const ssize_t n =
			write(fd, (const char *)data + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

/* A file that has other names, and the one it is in the archive by. */
struct known {
	dev_t dev;
	ino_t ino;
	struct known *next;
	char name[];
};

struct out {
	int fd;
	struct known *known[KNOWN];
	char *sentence;
	size_t sentence_len;
	char name[TAR_NAME_MAX]; /* of what is being written */
	uint8_t chunk[CHUNK];
};

static int out_fail(struct out *o, int error)
{
	if (!o->sentence[0])
		snprintf(o->sentence, o->sentence_len, "%.150s: %s", o->name,
			 strerror(error));
	return error;
}

/* Zeroes up to a whole block behind @len bytes. */
static int out_pad(struct out *o, uint64_t len)
{
	static const uint8_t zero[TAR_BLOCK];

	return tar_write_full(o->fd, zero,
			      (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK);
}

/* "LENGTH key=value\n", whose length counts itself. Returns its length. */
static size_t pax_record(char *to, size_t size, const char *key,
			 const char *value)
{
	const size_t rest = strlen(key) + strlen(value) + 3;
	size_t len = rest + 1;

	while (len != rest + (size_t)snprintf(NULL, 0, "%zu", len))
		len = rest + (size_t)snprintf(NULL, 0, "%zu", len);
	snprintf(to, size, "%zu %s=%s\n", len, key, value);
	return len;
}

static int header_write(struct out *o, struct tar_header *h)
{
	memcpy(h->magic, "ustar", 6);
	memcpy(h->version, "00", 2);
	snprintf(h->checksum, sizeof(h->checksum), "%06o", tar_checksum(h));
	h->checksum[7] = ' ';
	return tar_write_full(o->fd, h, sizeof(*h));
}

/* What does not fit into a header goes before it. */
static int pax_write(struct out *o, char type, const char *link,
		     const struct stat *st)
{
	struct tar_header h = {.name = "pax", .mode = "0000644", .type = 'x'};
	char text[2 * TAR_NAME_MAX + 256], number[24];
	size_t len = 0;
	int rc;

	if (strlen(o->name) > sizeof(h.name))
		len += pax_record(text, sizeof(text), "path", o->name);
	if (strlen(link) > sizeof(h.linkname))
		len += pax_record(text + len, sizeof(text) - len, "linkpath",
				  link);
	snprintf(number, sizeof(number), "%lld", (long long)st->st_size);
	if (type == '0' && st->st_size >= 1LL << 33)
		len += pax_record(text + len, sizeof(text) - len, "size",
				  number);
	snprintf(number, sizeof(number), "%u", st->st_uid);
	if (st->st_uid > OCTAL_ID_MAX)
		len += pax_record(text + len, sizeof(text) - len, "uid",
				  number);
	snprintf(number, sizeof(number), "%u", st->st_gid);
	if (st->st_gid > OCTAL_ID_MAX)
		len += pax_record(text + len, sizeof(text) - len, "gid",
				  number);
	if (!len)
		return 0;
	snprintf(h.size, sizeof(h.size), "%011o", (unsigned)len);
	rc = header_write(o, &h);
	if (!rc)
		rc = tar_write_full(o->fd, text, len);
	return rc ? rc : out_pad(o, len);
}

static int entry_write(struct out *o, char type, const char *link,
		       const struct stat *st)
{
	struct tar_header h = {.type = type};
	const uint64_t size = type == '0' ? (uint64_t)st->st_size : 0;
	const size_t name = strlen(o->name), target = strlen(link);
	int rc = pax_write(o, type, link, st);

	memcpy(h.name, o->name, name < sizeof(h.name) ? name : sizeof(h.name));
	memcpy(h.linkname, link,
	       target < sizeof(h.linkname) ? target : sizeof(h.linkname));
	snprintf(h.mode, sizeof(h.mode), "%07o", st->st_mode & 07777);
	snprintf(h.uid, sizeof(h.uid), "%07o", st->st_uid & OCTAL_ID_MAX);
	snprintf(h.gid, sizeof(h.gid), "%07o", st->st_gid & OCTAL_ID_MAX);
	snprintf(h.size, sizeof(h.size), "%011llo",
		 (unsigned long long)size & 077777777777ULL);
	snprintf(h.mtime, sizeof(h.mtime), "%011llo",
		 st->st_mtime < 0
			 ? 0
			 : (unsigned long long)st->st_mtime & 077777777777ULL);
	return rc ? rc : header_write(o, &h);
}

/*
 * The name by which a file is in the archive already, or NULL: then it is from
 * now on by the one that it has. Without memory it is copied once more.
 */
static const char *known_name(struct out *o, const struct stat *st)
{
	struct known **at = &o->known[st->st_ino % KNOWN], *k;

	if (st->st_nlink < 2)
		return NULL;
	for (k = *at; k; k = k->next)
		if (k->ino == st->st_ino && k->dev == st->st_dev)
			return k->name;
	k = malloc(sizeof(*k) + strlen(o->name) + 1);
	if (!k)
		return NULL;
	k->dev = st->st_dev;
	k->ino = st->st_ino;
	k->next = *at;
	memcpy(k->name, o->name, strlen(o->name) + 1);
	*at = k;
	return NULL;
}

/* As many bytes as the header says, whatever happens to the file meanwhile. */
static int file_write(struct out *o, int fd, const struct stat *st)
{
	uint64_t left = (uint64_t)st->st_size;
	const char *first = known_name(o, st);
	int rc = entry_write(o, first ? '1' : '0', first ? first : "", st);

	if (first)
		return rc;

	while (!rc && left) {
		const size_t want = left < CHUNK ? (size_t)left : CHUNK;
		ssize_t n = tar_read_full(fd, o->chunk, want);

		if (n < 0)
			return (int)n;
		memset(o->chunk + n, 0, want - (size_t)n);
		rc = tar_write_full(o->fd, o->chunk, want);
		left -= want;
	}
	return rc ? rc : out_pad(o, (uint64_t)st->st_size);
}

static int tree_write(struct out *o, int parent, const char *base, int depth,
		      bool follow);

static int directory_write(struct out *o, int fd, const struct stat *st,
			   int depth)
{
	const size_t len = strlen(o->name);
	const struct dirent *e;
	DIR *dir;
	int rc = 0;

	if (depth >= DEPTH_MAX || len + 1 >= sizeof(o->name))
		return -ENAMETOOLONG;
	memcpy(o->name + len, "/", 2);
	rc = entry_write(o, '5', "", st);
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return -errno;
	}
	while (!rc && (e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (len + 2 + strlen(e->d_name) >= sizeof(o->name)) {
			rc = -ENAMETOOLONG;
			break;
		}
		snprintf(o->name + len + 1, sizeof(o->name) - len - 1, "%s",
			 e->d_name);
		rc = tree_write(o, fd, e->d_name, depth + 1, false);
		if (rc == -ENOENT)
			rc = 0; /* gone since it was listed */
	}
	closedir(dir);
	if (!rc)
		o->name[len] = '\0';
	return rc;
}

static int link_write(struct out *o, int parent, const char *base,
		      const struct stat *st)
{
	char target[TAR_NAME_MAX];
	const ssize_t n = readlinkat(parent, base, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	return entry_write(o, '2', target, st);
}

/* What was asked for by its name is not left out without a word. */
static int node_refuse(struct out *o, const struct stat *st)
{
	snprintf(o->sentence, o->sentence_len,
		 "%.150s is a %s, which is not copied", o->name,
		 S_ISSOCK(st->st_mode) ? "socket" : "device");
	return -EINVAL;
}

static int tree_write(struct out *o, int parent, const char *base, int depth,
		      bool follow)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
			  (follow ? 0 : O_NOFOLLOW);
	struct stat st;
	int fd, rc;

	if (fstatat(parent, base, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (S_ISLNK(st.st_mode))
		return link_write(o, parent, base, &st);
	if (S_ISFIFO(st.st_mode))
		return entry_write(o, '6', "", &st);
	/* Devices and sockets mean nothing elsewhere. */
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return depth ? 0 : node_refuse(o, &st);
	fd = openat(parent, base, flags);
	if (fd < 0)
		return -errno;
	/* It may be another since it was looked at. */
	if (fstat(fd, &st))
		rc = -errno;
	else if (S_ISDIR(st.st_mode))
		rc = directory_write(o, fd, &st, depth);
	else
		rc = S_ISREG(st.st_mode) ? file_write(o, fd, &st) : 0;
	close(fd);
	return rc;
}

/* The last part of @path, and where it is: "." for a path that ends in it. */
static int place_open(char *path, const char **base)
{
	size_t len = strlen(path);
	char *slash;

	while (len > 1 && path[len - 1] == '/')
		path[--len] = '\0';
	slash = strrchr(path, '/');
	*base = slash[1] ? slash + 1 : ".";
	if (!strcmp(*base, "..")) {
		*base = ".";
		return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	*slash = '\0';
	return open(*path ? path : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int tar_write(void *arg, int in, int out, char *sentence, size_t len)
{
	static const uint8_t end[2 * TAR_BLOCK];
	static struct out o;
	const struct copy *copy = arg;
	char path[TAR_NAME_MAX];
	const char *base;
	int dir, rc;

	(void)in;
	o.fd = out;
	o.sentence = sentence;
	o.sentence_len = len;
	rc = tar_enter(copy->mntfd);
	if (rc)
		return rc;
	snprintf(o.name, sizeof(o.name), "%s", copy->path);
	if (snprintf(path, sizeof(path), "%s", copy->path) >= (int)sizeof(path))
		return out_fail(&o, ENAMETOOLONG);
	dir = place_open(path, &base);
	if (dir < 0)
		return out_fail(&o, errno);
	snprintf(o.name, sizeof(o.name), "%s", base);
	rc = tree_write(&o, dir, base, 0, copy->flags & PROTO_COPY_FOLLOW);
	if (!rc)
		rc = tar_write_full(out, end, sizeof(end));
	return rc ? out_fail(&o, -rc) : 0;
}
