/*
 * Names of images: links in the store's names/, each to one digest. A name's
 * `/` is `%` there, which no name has, so that names/ is flat.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/image/store.h"
#include "vmm/base/fd.h"

static const char target_prefix[] = "../images/";

/* A name in the making. */
static const char new_name[] = "names/%new";

enum { HEX_MIN = 6 };

static bool has_only(const char *text, const char *set)
{
	return text[strspn(text, set)] == 0;
}

bool image_is_hex(const char *text)
{
	return strlen(text) == IMAGE_HEX_SIZE - 1 &&
	       has_only(text, "0123456789abcdef");
}

/* Parts between slashes start with a letter or a digit: no dots, no dashes. */
static bool is_name(const char *name)
{
	const char *c;

	for (c = name; *c; c++) {
		const bool is_first = c == name || c[-1] == '/';

		if (is_first ? !isalnum((unsigned char)*c)
			     : !isalnum((unsigned char)*c) &&
				       !strchr("._-/:@+", *c))
			return false;
	}
	return c > name && c[-1] != '/' && c[-1] != ':';
}

const char *image_name_plain(const char *name)
{
	static const char *const prefixes[] = {
		"docker://",
		"docker.io/",
		"index.docker.io/",
		"library/",
	};
	unsigned i;

	for (i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		const size_t len = strlen(prefixes[i]);

		if (!strncmp(name, prefixes[i], len) && name[len])
			name += len;
	}
	return name;
}

int image_name_check(const char *name, char out[IMAGE_NAME_MAX + 1],
		     struct err *e)
{
	const char *last;
	const char *tag;

	name = image_name_plain(name);
	last = strrchr(name, '/');
	tag = strpbrk(last ? last : name, ":@") ? "" : ":latest";
	if (strlen(name) + strlen(tag) > IMAGE_NAME_MAX)
		return err_set(e, -EINVAL,
			       "an image's name has at most %d bytes; give a "
			       "shorter one with --name",
			       IMAGE_NAME_MAX);
	if (!is_name(name))
		return err_set(e, -EINVAL,
			       "'%s' can't be an image's name: letters, digits "
			       "and ._-+/:@ make one, and each part starts "
			       "with a letter or digit",
			       name);
	memcpy(out, name, strlen(name) + 1);
	memcpy(out + strlen(name), tag, strlen(tag) + 1);
	return 0;
}

static void link_path(const char *name, char out[IMAGE_NAME_MAX + 16])
{
	char *c;

	snprintf(out, IMAGE_NAME_MAX + 16, "names/%s", name);
	for (c = out + strlen("names/"); *c; c++)
		if (*c == '/')
			*c = '%';
}

static int read_link(const struct image_store *s, const char *path,
		     char hex[IMAGE_HEX_SIZE])
{
	char target[128];
	const size_t prefix = sizeof(target_prefix) - 1;
	const ssize_t n = readlinkat(s->fd, path, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = 0;
	if (strncmp(target, target_prefix, prefix) != 0 ||
	    !image_is_hex(target + prefix))
		return -EINVAL;
	memcpy(hex, target + prefix, IMAGE_HEX_SIZE);
	return 0;
}

void image_store_name_clean(const struct image_store *s)
{
	(void)unlinkat(s->fd, new_name, 0);
}

int image_store_name(const struct image_store *s, const char *name,
		     const char *hex, struct err *e)
{
	char path[IMAGE_NAME_MAX + 16];
	char target[128];
	char have[IMAGE_HEX_SIZE];
	int r;

	link_path(name, path);
	if (!read_link(s, path, have) && !strcmp(have, hex))
		return 0;
	snprintf(target, sizeof(target), "%s%s", target_prefix, hex);
	image_store_name_clean(s);
	if (symlinkat(target, s->fd, new_name) ||
	    renameat(s->fd, new_name, s->fd, path))
		return err_errno(e, "can't name the image %s in %s", name,
				 s->path);
	r = image_folder_sync(s->fd, "names");
	return r ? err_set(e, r, "can't sync %s/names: %s", s->path,
			   strerror(-r))
		 : 0;
}

int image_store_unname(const struct image_store *s, const char *name,
		       struct err *e)
{
	char path[IMAGE_NAME_MAX + 16];

	link_path(name, path);
	if (unlinkat(s->fd, path, 0))
		return err_errno(e, "can't take the name %s away", name);
	return 0;
}

/* readdir() of a folder of the store, without the dots. */
static int each_entry(const struct image_store *s, const char *folder,
		      int (*each)(void *ctx, const char *entry), void *ctx,
		      struct err *e)
{
	const int fd =
		openat(s->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;
	int r = 0;

	if (!dir)
		return err_errno(e, "can't read %s/%s", s->path, folder);
	while (!r && (d = readdir(dir)))
		if (d->d_name[0] != '.')
			r = each(ctx, d->d_name);
	closedir(dir);
	return r;
}

struct each_name {
	const struct image_store *store;
	int (*each)(void *ctx, const char *name, const char *hex);
	void *ctx;
};

static int on_link(void *ctx, const char *entry)
{
	const struct each_name *n = ctx;
	char path[IMAGE_NAME_MAX + 16];
	char name[IMAGE_NAME_MAX + 1];
	char hex[IMAGE_HEX_SIZE];
	char *c;

	if (strlen(entry) > IMAGE_NAME_MAX || entry[0] == '%')
		return 0;
	snprintf(path, sizeof(path), "names/%s", entry);
	if (read_link(n->store, path, hex))
		return 0;
	snprintf(name, sizeof(name), "%s", entry);
	for (c = name; *c; c++)
		if (*c == '%')
			*c = '/';
	return n->each(n->ctx, name, hex);
}

int image_store_names(const struct image_store *s,
		      int (*each)(void *ctx, const char *name, const char *hex),
		      void *ctx, struct err *e)
{
	struct each_name n = {s, each, ctx};

	return each_entry(s, "names", on_link, &n, e);
}

struct each_image {
	int (*each)(void *ctx, const char *hex);
	void *ctx;
};

static int on_image(void *ctx, const char *entry)
{
	const struct each_image *i = ctx;

	return image_is_hex(entry) ? i->each(i->ctx, entry) : 0;
}

int image_store_images(const struct image_store *s,
		       int (*each)(void *ctx, const char *hex), void *ctx,
		       struct err *e)
{
	struct each_image i = {each, ctx};

	return each_entry(s, "images", on_image, &i, e);
}

int image_store_kept(const struct image_store *s,
		     int (*each)(void *ctx, const char *key), void *ctx,
		     struct err *e)
{
	struct each_image i = {each, ctx};

	/* Stores of before have none. */
	if (faccessat(s->fd, IMAGE_KEPT, F_OK, 0) && errno == ENOENT)
		return 0;
	return each_entry(s, IMAGE_KEPT, on_image, &i, e);
}

struct sweep {
	const struct image_store *store;
	unsigned *count;
	struct tree_report *tree;
	struct err *e;
	int status;
};

static int sweep_temp(void *ctx, const char *entry)
{
	struct sweep *w = ctx;
	char path[NAME_MAX + 8];
	CLEAN_FD int fd = -1;
	int r;

	snprintf(path, sizeof(path), "tmp/%s", entry);
	fd = openat(w->store->fd, path,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
		return 0;
	r = tree_remove(w->store->fd, path, 0, w->tree);
	if (r)
		w->status = err_set(w->e, r, "can't remove %s/%s: %s",
				    w->store->path, path, strerror(-r));
	else
		++*w->count;
	return 0;
}

int image_store_sweep(const struct image_store *s, unsigned *count,
		      struct tree_report *report, struct err *e)
{
	struct sweep w = {s, count, report, e, 0};
	const int r = each_entry(s, "tmp", sweep_temp, &w, e);

	return r ? r : w.status;
}

struct search {
	const char *prefix;
	char hex[IMAGE_HEX_SIZE];
	unsigned found;
};

static int on_prefix(void *ctx, const char *hex)
{
	struct search *f = ctx;

	if (!strncmp(hex, f->prefix, strlen(f->prefix))) {
		memcpy(f->hex, hex, IMAGE_HEX_SIZE);
		f->found++;
	}
	return 0;
}

static int resolve_digest(const struct image_store *s, const char *name,
			  char hex[IMAGE_HEX_SIZE], struct err *e)
{
	struct search f = {.prefix = name};
	int r;

	if (!strncmp(name, "sha256:", 7))
		f.prefix = name + 7;
	if (strlen(f.prefix) < HEX_MIN ||
	    !has_only(f.prefix, "0123456789abcdef"))
		return -ENOENT;
	r = image_store_images(s, on_prefix, &f, e);
	if (r)
		return r;
	if (f.found > 1)
		return err_set(e, -EEXIST,
			       "%u images' digests start with %s; give more "
			       "of it",
			       f.found, f.prefix);
	memcpy(hex, f.hex, IMAGE_HEX_SIZE);
	return f.found ? 0 : -ENOENT;
}

int image_store_resolve(const struct image_store *s, const char *name,
			char hex[IMAGE_HEX_SIZE],
			char known[IMAGE_NAME_MAX + 1], struct err *e)
{
	char path[IMAGE_NAME_MAX + 16];
	int r = image_name_check(name, known, e);

	if (r)
		return r;
	link_path(known, path);
	r = read_link(s, path, hex);
	if (r != -ENOENT)
		return r ? err_set(e, r,
				   "the store's entry %s/%s is damaged: "
				   "%s",
				   s->path, path, strerror(-r))
			 : 0;
	known[0] = 0;
	r = resolve_digest(s, name, hex, e);
	if (r == -ENOENT)
		return err_set(e, r,
			       "there is no image '%s'; `mayctl image ls` "
			       "lists them, `mayctl image import` adds one",
			       name);
	return r;
}
