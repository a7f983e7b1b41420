/*
 * The format (Linux, Documentation/filesystems/erofs.rst and fs/erofs/
 * erofs_fs.h): a superblock at 1,024; inodes, in 64 bytes each and their
 * attributes behind, from where it ends, numbered by their place in units of
 * 32 bytes; then blocks of 4 KiB, one behind the other, for each file, link and
 * folder. A block of a folder has its entries in front and their names behind,
 * in the order of bytes, "." and ".." among them.
 *
 * Folders are walked level by level, so that each one's entries are one run of
 * nodes.
 */
#include "api/ctl/base/erofs.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum {
	BLOCK = 4096,
	SUPER_AT = 1024,
	SUPER_SIZE = 128,
	INODE_SIZE = 64,
	NID_SIZE = 32,
	DIRENT_SIZE = 12,
	XATTR_HEADER = 12,
	XATTRS_MAX = 64 << 10,
	PIECE = 256 << 10,
};

struct node {
	char *name; /* owned */
	uint32_t parent, first, count;
	uint32_t same; /* the node whose inode it is: its own or a link's */
	uint32_t links;
	uint64_t at;	/* of its inode, bytes */
	uint64_t block; /* of its data */
	uint64_t size;
	uint64_t dev, ino; /* the host's */
	uint64_t rdev;	   /* of a device */
	int64_t mtime_s;
	uint32_t mtime_ns, mode, uid, gid;
	uint32_t xattrs_len;
	unsigned char *xattrs; /* owned */
};

struct erofs {
	const struct erofs_tree *how;
	struct node *nodes; /* owned */
	uint32_t count, room;
	uint64_t end; /* of what has its place, bytes */
	int out;
};

static int fail(const struct erofs *x, const char *what, struct err *e)
{
	return err_errno(e, "can't %s for %s", what, x->how->out);
}

static void put(unsigned char *at, uint64_t value, unsigned size)
{
	const uint64_t wire = htole64(value);

	memcpy(at, &wire, size);
}

static uint64_t rounded(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* ---- the tree ----------------------------------------------------------- */

/* The path of a node, from the import's folder. */
static int path_of(const struct erofs *x, uint32_t node, char out[PATH_MAX])
{
	size_t at = PATH_MAX - 1;
	size_t len;

	out[at] = 0;
	for (;; node = x->nodes[node].parent) {
		const char *name = node ? x->nodes[node].name : x->how->root;

		len = strlen(name);
		if (at < len + 1) {
			errno = ENAMETOOLONG;
			return -1;
		}
		if (out[at])
			out[--at] = '/';
		at -= len;
		memcpy(out + at, name, len);
		if (!node)
			break;
	}
	memmove(out, out + at, PATH_MAX - at);
	return 0;
}

static const struct {
	const char *prefix;
	unsigned char index;
	bool is_whole;
} xattr_kinds[] = {
	{"user.", 1, false},
	{"system.posix_acl_access", 2, true},
	{"system.posix_acl_default", 3, true},
	{"trusted.", 4, false},
	{"security.", 6, false},
};

static int add_xattr(int fd, const char *name, unsigned char *to, uint32_t *len)
{
	const unsigned kinds = sizeof(xattr_kinds) / sizeof(xattr_kinds[0]);
	unsigned i, at = *len;
	size_t rest;
	ssize_t n;

	for (i = 0; i < kinds; i++)
		if (!strncmp(name, xattr_kinds[i].prefix,
			     strlen(xattr_kinds[i].prefix)))
			break;
	if (i == kinds)
		return 0;
	rest = strlen(xattr_kinds[i].prefix);
	if (at + 4 + strlen(name + rest) > XATTRS_MAX) {
		errno = E2BIG;
		return -1;
	}
	put(to + at, strlen(name + rest), 1);
	put(to + at + 1, xattr_kinds[i].index, 1);
	memcpy(to + at + 4, name + rest, strlen(name + rest));
	rest = at + 4 + strlen(name + rest);
	n = fgetxattr(fd, name, to + rest, XATTRS_MAX - rest);
	if (n < 0)
		return -1;
	put(to + at + 2, (uint64_t)n, 2);
	*len = (uint32_t)rounded(rest + (size_t)n, 4);
	return *len > XATTRS_MAX ? -1 : 0;
}

/* Behind the inode: a header, then each name and value. */
static int read_xattrs(const struct erofs *x, struct node *n, const char *path)
{
	CLEAN_FD int fd = -1;
	char names[XATTR_LIST_MAX];
	unsigned char *to;
	ssize_t len, at;

	if (x->how->is_all_root || (!S_ISREG(n->mode) && !S_ISDIR(n->mode)))
		return 0;
	fd = openat(x->how->folder, path,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	len = fd < 0 ? -1 : flistxattr(fd, names, sizeof(names));
	if (len < 0)
		return fd >= 0 && errno == ENOTSUP ? 0 : -1;
	if (!len)
		return 0;
	to = n->xattrs = calloc(1, XATTRS_MAX + 4);
	n->xattrs_len = XATTR_HEADER;
	for (at = 0; to && at < len; at += (ssize_t)strlen(names + at) + 1)
		if (add_xattr(fd, names + at, to, &n->xattrs_len))
			return -1;
	if (to && n->xattrs_len == XATTR_HEADER)
		n->xattrs_len = 0;
	n->xattrs = to ? realloc(to, n->xattrs_len + 4) : NULL;
	return n->xattrs ? 0 : -1;
}

/* Takes the name. */
static int add_node(struct erofs *x, uint32_t parent, char *name, struct err *e)
{
	const uint32_t room = x->room ? 2 * x->room : 256;
	char path[PATH_MAX];
	struct node *n;
	struct stat st;

	if (x->count == x->room) {
		n = reallocarray(x->nodes, room, sizeof(*n));
		if (!n) {
			free(name);
			return fail(x, "get memory", e);
		}
		x->nodes = n;
		x->room = room;
	}
	n = &x->nodes[x->count];
	*n = (struct node){.name = name, .parent = parent, .same = x->count};
	x->count++;
	if (path_of(x, x->count - 1, path) ||
	    fstatat(x->how->folder, path, &st, AT_SYMLINK_NOFOLLOW))
		return fail(x, "look at a file", e);
	n->mode = st.st_mode;
	n->dev = st.st_dev;
	n->ino = st.st_ino;
	n->rdev = st.st_rdev;
	n->links = S_ISDIR(st.st_mode) ? 2 : (uint32_t)st.st_nlink;
	n->size = S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)
			  ? (uint64_t)st.st_size
			  : 0;
	n->uid = x->how->is_all_root ? 0 : st.st_uid;
	n->gid = x->how->is_all_root ? 0 : st.st_gid;
	n->mtime_s = st.st_mtim.tv_sec;
	n->mtime_ns = (uint32_t)st.st_mtim.tv_nsec;
	if (!x->how->is_as_it_is && n->mtime_s >= 0 &&
	    (uint64_t)n->mtime_s > x->how->newest_s) {
		n->mtime_s = (int64_t)x->how->newest_s;
		n->mtime_ns = 0;
	}
	return read_xattrs(x, n, path) ? fail(x, "read attributes", e) : 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a folder, in order; dots are left for when it is written. */
static int add_entries(struct erofs *x, uint32_t node, struct err *e)
{
	char path[PATH_MAX];
	char **names = NULL;
	size_t count = 0, i;
	const struct dirent *d;
	DIR *dir;
	int fd, r = 0;

	if (path_of(x, node, path))
		return fail(x, "open a folder", e);
	fd = openat(x->how->folder, path,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return fail(x, "open a folder", e);
	while (!r && (d = readdir(dir))) {
		char **more = reallocarray(names, count + 1, sizeof(*names));

		names = more ? more : names;
		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		if (!more || !(names[count] = strdup(d->d_name)))
			r = fail(x, "get memory", e);
		else
			count++;
	}
	closedir(dir);
	if (count)
		qsort(names, count, sizeof(*names), by_name);
	x->nodes[node].first = x->count;
	x->nodes[node].count = (uint32_t)count;
	for (i = 0; i < count; i++)
		if (r)
			free(names[i]);
		else
			r = add_node(x, node, names[i], e);
	free(names);
	return r;
}

struct by_ino {
	uint64_t dev, ino;
	uint32_t node;
};

static int compare_inos(const void *a, const void *b)
{
	const struct by_ino *p = a, *q = b;

	if (p->dev != q->dev)
		return p->dev < q->dev ? -1 : 1;
	if (p->ino != q->ino)
		return p->ino < q->ino ? -1 : 1;
	return p->node < q->node ? -1 : p->node > q->node;
}

/* Several names of one file: the first is it. */
static int join_links(struct erofs *x, struct err *e)
{
	struct by_ino *list = calloc(x->count + 1UL, sizeof(*list));
	uint32_t count = 0, i;

	if (!list)
		return fail(x, "get memory", e);
	for (i = 0; i < x->count; i++)
		if (!S_ISDIR(x->nodes[i].mode) && x->nodes[i].links > 1)
			list[count++] = (struct by_ino){x->nodes[i].dev,
							x->nodes[i].ino, i};
	qsort(list, count, sizeof(*list), compare_inos);
	for (i = 1; i < count; i++)
		if (list[i].dev == list[i - 1].dev &&
		    list[i].ino == list[i - 1].ino)
			x->nodes[list[i].node].same =
				x->nodes[list[i - 1].node].same;
	free(list);
	return 0;
}

/* ---- folders ------------------------------------------------------------ */

/* One entry: a name and the node it is of. */
struct entry {
	const char *name;
	uint32_t node;
};

static int by_entry(const void *a, const void *b)
{
	return strcmp(((const struct entry *)a)->name,
		      ((const struct entry *)b)->name);
}

/* All entries of a folder; the caller frees them. */
static struct entry *list_entries(const struct erofs *x, uint32_t node)
{
	const struct node *n = &x->nodes[node];
	struct entry *list = calloc(n->count + 2, sizeof(*list));
	uint32_t i;

	for (i = 0; list && i < n->count; i++)
		list[i] = (struct entry){x->nodes[n->first + i].name,
					 n->first + i};
	if (list) {
		list[n->count] = (struct entry){".", node};
		list[n->count + 1] = (struct entry){"..", n->parent};
		qsort(list, n->count + 2, sizeof(*list), by_entry);
	}
	return list;
}

/* How many of the entries from i on fit into a block; *used, its bytes. */
static uint32_t fit(const struct entry *list, uint32_t i, uint32_t count,
		    uint64_t *used)
{
	uint32_t n = 0;

	for (*used = 0; i + n < count; n++) {
		const size_t size = DIRENT_SIZE + strlen(list[i + n].name);

		if (*used + size > BLOCK)
			break;
		*used += size;
	}
	return n;
}

static int measure_folder(struct erofs *x, uint32_t node, struct err *e)
{
	struct node *n = &x->nodes[node];
	struct entry *list = list_entries(x, node);
	uint64_t used = 0;
	uint32_t i = 0;

	if (!list)
		return fail(x, "get memory", e);
	while (i < n->count + 2) {
		n->size = rounded(n->size, BLOCK);
		i += fit(list, i, n->count + 2, &used);
		n->size += used;
	}
	free(list);
	return 0;
}

static unsigned file_type(uint32_t mode)
{
	if (S_ISREG(mode))
		return 1;
	if (S_ISDIR(mode))
		return 2;
	if (S_ISCHR(mode))
		return 3;
	if (S_ISBLK(mode))
		return 4;
	if (S_ISFIFO(mode))
		return 5;
	return S_ISLNK(mode) ? 7 : 6;
}

/* What stands in a device's inode (Linux, new_encode_dev()). */
static uint64_t device_number(const struct node *n)
{
	const unsigned low = minor(n->rdev) & 0xff;
	const unsigned high = minor(n->rdev) & ~0xffU;

	return low | major(n->rdev) << 8 | high << 12;
}

static int write_folder(const struct erofs *x, uint32_t node)
{
	const struct node *n = &x->nodes[node];
	const uint32_t count = n->count + 2;
	struct entry *list = list_entries(x, node);
	uint64_t used, block = n->block;
	uint32_t i = 0, k, here;
	int r = list ? 0 : -ENOMEM;

	for (; !r && i < count; i += here) {
		unsigned char bytes[BLOCK] = {0};
		size_t name_at;

		here = fit(list, i, count, &used);
		name_at = (size_t)here * DIRENT_SIZE;
		for (k = 0; k < here; k++) {
			const struct entry *d = &list[i + k];
			const struct node *to = &x->nodes[d->node];
			unsigned char *at = bytes + (size_t)k * DIRENT_SIZE;

			put(at, x->nodes[to->same].at / NID_SIZE, 8);
			put(at + 8, name_at, 2);
			put(at + 10, file_type(to->mode), 1);
			memcpy(bytes + name_at, d->name, strlen(d->name));
			name_at += strlen(d->name);
		}
		r = fd_pwrite(x->out, bytes, BLOCK, block++ * BLOCK);
	}
	free(list);
	return r;
}

/* ---- places, and what is written there ---------------------------------- */

static int place(struct erofs *x, struct err *e)
{
	uint32_t i;
	int r = 0;

	x->end = SUPER_AT + SUPER_SIZE;
	for (i = 0; !r && i < x->count; i++) {
		struct node *n = &x->nodes[i];

		if (n->same != i)
			continue;
		n->at = x->end;
		x->end = rounded(x->end + INODE_SIZE + n->xattrs_len,
				 INODE_SIZE);
		if (!S_ISDIR(n->mode))
			continue;
		if (i)
			x->nodes[n->parent].links++;
		r = measure_folder(x, i, e);
	}
	x->end = rounded(x->end, BLOCK);
	for (i = 0; i < x->count; i++) {
		struct node *n = &x->nodes[i];

		if (n->same != i || !n->size)
			continue;
		n->block = x->end / BLOCK;
		x->end += rounded(n->size, BLOCK);
	}
	return r;
}

static int write_inode(const struct erofs *x, uint32_t i)
{
	const struct node *n = &x->nodes[i];
	unsigned char inode[INODE_SIZE] = {0};
	int r;

	put(inode, 1, 2); /* extended, data plain in blocks */
	if (n->xattrs_len)
		put(inode + 2, (n->xattrs_len - XATTR_HEADER) / 4 + 1, 2);
	put(inode + 4, n->mode, 2);
	put(inode + 8, n->size, 8);
	put(inode + 16,
	    S_ISCHR(n->mode) || S_ISBLK(n->mode) ? device_number(n) : n->block,
	    4);
	put(inode + 20, i + 1, 4);
	put(inode + 24, n->uid, 4);
	put(inode + 28, n->gid, 4);
	put(inode + 32, (uint64_t)n->mtime_s, 8);
	put(inode + 40, n->mtime_ns, 4);
	put(inode + 44, n->links, 4);
	r = fd_pwrite(x->out, inode, sizeof(inode), n->at);
	return r || !n->xattrs_len ? r
				   : fd_pwrite(x->out, n->xattrs, n->xattrs_len,
					       n->at + INODE_SIZE);
}

static int write_file(const struct erofs *x, uint32_t i, const char *path)
{
	static unsigned char piece[PIECE];
	const struct node *n = &x->nodes[i];
	CLEAN_FD int fd =
		openat(x->how->folder, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint64_t at = 0;
	int r = fd < 0 ? -errno : 0;

	while (!r && at < n->size) {
		const uint64_t left = n->size - at;
		const size_t len = left < PIECE ? (size_t)left : PIECE;

		r = fd_pread(fd, piece, len, at);
		if (!r)
			r = fd_pwrite(x->out, piece, len,
				      n->block * BLOCK + at);
		at += len;
	}
	return r;
}

static int write_node(const struct erofs *x, uint32_t i)
{
	const struct node *n = &x->nodes[i];
	char path[PATH_MAX], target[PATH_MAX];
	ssize_t len;
	int r = write_inode(x, i);

	if (r || !n->size)
		return r;
	if (S_ISDIR(n->mode))
		return write_folder(x, i);
	if (path_of(x, i, path))
		return -errno;
	if (S_ISREG(n->mode))
		return write_file(x, i, path);
	len = readlinkat(x->how->folder, path, target, sizeof(target));
	if (len < 0 || (uint64_t)len != n->size)
		return len < 0 ? -errno : -EIO;
	return fd_pwrite(x->out, target, (size_t)len, n->block * BLOCK);
}

static int write_super(const struct erofs *x)
{
	unsigned char super[SUPER_SIZE] = {0};
	unsigned i, byte;

	put(super, 0xe0f5e1e2, 4);
	put(super + 8, 2, 4); /* time stamps are of the last change */
	put(super + 12, 12, 1);
	put(super + 14, x->nodes[0].at / NID_SIZE, 2);
	put(super + 16, x->count, 8);
	put(super + 24, x->how->is_as_it_is ? 0 : x->how->newest_s, 8);
	put(super + 36, x->end / BLOCK, 4);
	for (i = 0; i < 16 && x->how->hex &&
		    sscanf(x->how->hex + (size_t)i * 2, "%2x", &byte) == 1;
	     i++)
		super[48 + i] = (unsigned char)byte;
	return fd_pwrite(x->out, super, sizeof(super), SUPER_AT);
}

static int write_all(struct erofs *x, struct err *e)
{
	uint32_t i;
	int r = 0;

	if (x->end / BLOCK > UINT32_MAX)
		return err_set(e, -EFBIG, "the image is over 16 TiB");
	if (ftruncate(x->out, (off_t)x->end))
		r = -errno;
	for (i = 0; !r && i < x->count; i++) {
		r = x->how->check ? x->how->check(x->how->context, e) : 0;
		if (r)
			return r;
		if (x->nodes[i].same == i)
			r = write_node(x, i);
	}
	if (!r)
		r = write_super(x);
	return r ? err_set(e, r, "can't pack the image: %s", strerror(-r)) : 0;
}

int erofs_write(const struct erofs_tree *how, struct err *e)
{
	CLEAN_FD int out = openat(
		how->folder, how->out,
		O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct erofs x = {.how = how, .out = out};
	uint32_t i;
	int r = out < 0 ? fail(&x, "make a file", e) : 0;

	if (!r)
		r = add_node(&x, 0, NULL, e);
	for (i = 0; !r && i < x.count; i++)
		if (S_ISDIR(x.nodes[i].mode))
			r = add_entries(&x, i, e);
	if (!r)
		r = join_links(&x, e);
	if (!r)
		r = place(&x, e);
	if (!r)
		r = write_all(&x, e);
	for (i = 0; i < x.count; i++) {
		free(x.nodes[i].name);
		free(x.nodes[i].xattrs);
	}
	free(x.nodes);
	return r;
}
