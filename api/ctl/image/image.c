/*
 * What the other commands ask of the store: find, list, remove, collect.
 *
 * An image in use is one whose EROFS file somebody holds with a shared flock.
 * Under the store's lock, whoever removes asks for the exclusive one and goes
 * without where it can't be had; whoever finds takes the shared one and then
 * looks whether the file still has its name.
 */
#include "api/ctl/image/image.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/base/tree.h"
#include "api/ctl/image/config.h"
#include "api/ctl/image/kept.h"
#include "api/ctl/image/store.h"
#include "vmm/base/fd.h"

enum { FACTS_MAX = 8 << 20 };

void image_fini(struct image *i)
{
	free(i->name);
	free(i->path);
	image_config_fini(&i->config);
	fd_close(&i->fd);
	*i = (struct image){.fd = -1};
}

static void copy_fact(const json_t *facts, const char *key, char *out,
		      size_t size)
{
	const char *text = json_string_value(json_object_get(facts, key));

	snprintf(out, size, "%s", text ? text : "");
}

/* An author's time stamp goes to terminals: nothing but one may be in it. */
static void copy_time(const json_t *facts, char *out, size_t size)
{
	copy_fact(facts, "created", out, size);
	if (out[strspn(out, "0123456789TZtz:.+-")])
		out[0] = 0;
}

/* Opens and locks the file; *out has its path. */
static int hold(struct image *out, struct err *e)
{
	struct stat st;

	out->fd = open(out->path, O_RDONLY | O_CLOEXEC);
	if (out->fd < 0 || flock(out->fd, LOCK_SH | LOCK_NB) ||
	    fstat(out->fd, &st))
		return err_errno(e, "can't open %s", out->path);
	/* Removed between the two calls. */
	if (!st.st_nlink)
		return err_set(e, -ENOENT, "the image has just been removed");
	out->size_bytes = (uint64_t)st.st_size;
	return 0;
}

static int read_facts(const struct image_store *s, const char *hex,
		      struct image *out, struct err *e)
{
	char path[128];
	char *text;
	json_t *facts;
	json_error_t why;
	int r;

	snprintf(path, sizeof(path), "images/%s/" IMAGE_FACTS, hex);
	text = image_file_read(s->fd, path, FACTS_MAX, NULL);
	if (!text)
		return err_errno(e, "can't read %s/%s", s->path, path);
	facts = json_loads(text, JSON_REJECT_DUPLICATES, &why);
	free(text);
	if (!facts)
		return err_set(e, -EINVAL, "%s/%s is damaged: %s", s->path,
			       path, why.text);
	copy_fact(facts, "arch", out->arch, sizeof(out->arch));
	copy_time(facts, out->created, sizeof(out->created));
	r = image_config_parse(json_object_get(facts, "config"), &out->config,
			       NULL, e);
	json_decref(facts);
	return r;
}

static int load(const struct image_store *s, const char *name, const char *hex,
		bool is_held, struct image *out, struct err *e)
{
	struct stat st;
	int r;

	*out = (struct image){.fd = -1};
	snprintf(out->digest, sizeof(out->digest), "sha256:%s", hex);
	out->name = strdup(name);
	if (!out->name || asprintf(&out->path, "%s/images/%s/" IMAGE_EROFS,
				   s->path, hex) < 0) {
		out->path = NULL;
		r = err_set(e, -ENOMEM, "no memory for the image's facts");
		goto out;
	}
	r = is_held ? hold(out, e) : 0;
	if (!r)
		r = read_facts(s, hex, out, e);
	if (!r && !is_held) {
		r = stat(out->path, &st)
			    ? err_errno(e, "can't find %s", out->path)
			    : 0;
		out->size_bytes = r ? 0 : (uint64_t)st.st_size;
	}
out:
	if (r)
		image_fini(out);
	return r;
}

static int find_in(const struct image_store *s, const char *name,
		   struct image *out, struct err *e)
{
	char known[IMAGE_NAME_MAX + 1];
	char hex[IMAGE_HEX_SIZE];
	int r = image_store_resolve(s, name, hex, known, e);

	return r ? r : load(s, known, hex, true, out, e);
}

int image_find(const char *name, struct image *out, struct err *e)
{
	struct image_store s;
	int r;

	*out = (struct image){.fd = -1};
	r = image_store_open(&s, false, e);
	if (!r)
		r = find_in(&s, name, out, e);
	else if (r == -ENOENT && s.fd < 0)
		err_set(e, r,
			"there is no image '%s', nor a store yet; `mayctl "
			"image import` adds one",
			name);
	image_store_close(&s);
	return r;
}

/* ---- the list ---------------------------------------------------------- */

struct list {
	const struct image_store *store;
	struct image *images;
	size_t count;
	image_left_out *left_out;
	const char *nameless; /* the image asked for in has_name() */
};

static int list_add(struct list *l, const char *name, const char *hex)
{
	struct image *more =
		realloc(l->images, (l->count + 1) * sizeof(*l->images));
	struct err e;

	if (!more)
		return -ENOMEM;
	l->images = more;
	if (!load(l->store, name, hex, false, &more[l->count], &e))
		l->count++;
	else
		l->left_out(*name ? name : hex, &e);
	return 0;
}

static int list_name(void *ctx, const char *name, const char *hex)
{
	return list_add(ctx, name, hex);
}

static int list_nameless(void *ctx, const char *hex)
{
	struct list *l = ctx;
	size_t i;

	for (i = 0; i < l->count; i++)
		if (!strcmp(l->images[i].digest + 7, hex))
			return 0;
	return list_add(l, "", hex);
}

static int by_name(const void *a, const void *b)
{
	const struct image *x = a;
	const struct image *y = b;
	const int by = strcmp(x->name, y->name);

	return by ? by : strcmp(x->digest, y->digest);
}

int image_list(struct image **out, size_t *count, image_left_out *left_out,
	       struct err *e)
{
	struct image_store s;
	struct list l = {.store = &s, .left_out = left_out};
	int r;

	*out = NULL;
	*count = 0;
	r = image_store_open(&s, false, e);
	if (r) {
		image_store_close(&s);
		return r == -ENOENT ? 0 : r;
	}
	r = image_store_names(&s, list_name, &l, e);
	if (!r)
		r = image_store_images(&s, list_nameless, &l, e);
	image_store_close(&s);
	if (r) {
		image_list_free(l.images, l.count);
		return r == -ENOMEM ? err_set(e, r, "no memory for the list")
				    : r;
	}
	if (l.count)
		qsort(l.images, l.count, sizeof(*l.images), by_name);
	*out = l.images;
	*count = l.count;
	return 0;
}

void image_list_free(struct image *list, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		image_fini(&list[i]);
	free(list);
}

/* ---- removing ---------------------------------------------------------- */

struct names_of {
	const struct image_store *store;
	const char *hex;
	bool is_removed;
	unsigned count;
	struct err *e;
};

static int on_name_of(void *ctx, const char *name, const char *hex)
{
	struct names_of *n = ctx;

	if (strcmp(hex, n->hex) != 0)
		return 0;
	n->count++;
	return n->is_removed ? image_store_unname(n->store, name, n->e) : 0;
}

/*
 * Removes images/HEX unless somebody holds it: -EBUSY. It leaves images/ by
 * one rename, so that nobody ever finds a part of it.
 */
static int drop(const struct image_store *s, const char *hex,
		struct tree_report *tree)
{
	char path[128];
	char away[96];
	CLEAN_FD int fd = -1;
	int r;

	snprintf(path, sizeof(path), "images/%s/" IMAGE_EROFS, hex);
	fd = openat(s->fd, path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	snprintf(path, sizeof(path), "images/%s", hex);
	snprintf(away, sizeof(away), "tmp/%s", hex);
	if (renameat(s->fd, path, s->fd, away))
		return -errno;
	r = image_folder_sync(s->fd, "images");
	return tree_remove(s->fd, away, 0, tree) ?: r;
}

static int remove_from(const struct image_store *s, const char *name,
		       struct err *e)
{
	char known[IMAGE_NAME_MAX + 1];
	char hex[IMAGE_HEX_SIZE];
	struct names_of n = {.store = s, .hex = hex, .e = e};
	int r = image_store_resolve(s, name, hex, known, e);

	if (r)
		return r;
	n.is_removed = !known[0];
	r = known[0] ? image_store_unname(s, known, e) : 0;
	if (!r)
		r = image_store_names(s, on_name_of, &n, e);
	if (!r)
		r = image_folder_sync(s->fd, "names");
	if (r || (n.count && known[0]) || !image_store_has(s, hex))
		return r;
	r = drop(s, hex, NULL);
	if (r == -EBUSY)
		return 0;
	return r ? err_set(e, r, "can't remove %s/images/%s: %s", s->path, hex,
			   strerror(-r))
		 : 0;
}

int image_remove(const char *name, struct err *e)
{
	struct image_store s;
	int r = image_store_open(&s, false, e);

	if (r == -ENOENT && s.fd < 0)
		err_set(e, r, "there is no image '%s', nor a store yet", name);
	if (!r)
		r = image_store_lock(&s, e);
	if (!r)
		r = remove_from(&s, name, e);
	image_store_close(&s);
	return r;
}

/* ---- collecting -------------------------------------------------------- */

struct collect {
	const struct image_store *store;
	struct image_gc_report *report;
	struct tree_report tree;
	struct err *e;
	int status;
};

static int collect_image(void *ctx, const char *hex)
{
	struct collect *c = ctx;
	struct names_of n = {.store = c->store, .hex = hex};
	int r = image_store_names(c->store, on_name_of, &n, c->e);

	if (r || n.count)
		return r;
	r = drop(c->store, hex, &c->tree);
	if (!r)
		c->report->images++;
	else if (r != -EBUSY)
		c->status = err_set(c->e, r, "can't remove %s/images/%s: %s",
				    c->store->path, hex, strerror(-r));
	return 0;
}

int image_gc(struct image_gc_report *out, struct err *e)
{
	struct image_store s;
	struct collect c = {.store = &s, .report = out, .e = e};
	int r = image_store_open(&s, false, e);

	*out = (struct image_gc_report){0};
	if (r == -ENOENT && s.fd < 0) {
		image_store_close(&s);
		return 0;
	}
	if (!r)
		r = image_store_lock(&s, e);
	if (!r) {
		image_store_name_clean(&s);
		r = image_store_images(&s, collect_image, &c, e);
	}
	if (!r)
		r = image_kept_trim(&s, 0, &out->kept, &c.tree, e);
	if (!r)
		r = image_store_sweep(&s, &out->imports, &c.tree, e);
	image_store_close(&s);
	out->bytes = c.tree.bytes;
	return r ? r : c.status;
}
