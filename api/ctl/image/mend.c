/*
 * Whatever the image's own manifest and configuration say, umoci reads ours. A
 * layer written anew begins with what makes room: for each place of the
 * model a whiteout, which takes away what lower layers have there, and a
 * folder. Then comes the layer as it is, without global headers. What was
 * digested before is digested here, since nobody else sees it any more.
 */
#include "api/ctl/image/mend.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/ctl/image/fetch.h"
#include "api/ctl/image/wall.h"
#include "vmm/base/fd.h"

enum { PATH_SIZE = 4097, PIECE = 256 << 10, FOLDER_MODE = 0755 };

struct mend {
	struct image_tools *tools;
	const struct image_layout *layout;
	const struct image_model *model;
	const struct image_tar_totals *totals;
	json_t *layers;	  /* owned; descriptors */
	json_t *diff_ids; /* owned */
	int out;
};

static bool has_place(const struct image_model *m, unsigned layer)
{
	char path[PATH_SIZE];
	size_t cursor = 0;

	return image_model_place(m, layer, &cursor, path) > 0;
}

static bool is_needed(const struct image_layout *l, const struct image_model *m,
		      unsigned i)
{
	return l->layers[i].kind == LAYER_ZSTD || l->layers[i].has_global ||
	       has_place(m, i);
}

/* ---- one layer ---------------------------------------------------------- */

static int put(struct mend *m, const void *data, size_t len, struct err *e)
{
	const int r = fd_write(m->out, data, len);

	if (r == -ENOSPC)
		return err_set(e, r,
			       "no space is left in the store's file system; "
			       "make room, or set MAYFLY_STORE to a larger "
			       "one");
	return r ? err_set(e, r, "can't write a layer: %s", strerror(-r)) : 0;
}

/* A header, before it GNU's long name where the path needs one. */
static int put_header(struct mend *m, const char *path, char type,
		      struct err *e)
{
	static const unsigned char zeros[TAR_BLOCK];
	const size_t len = strlen(path);
	unsigned char block[TAR_BLOCK];
	int r = 0;

	if (len > 100) {
		tar_header(block, "././@LongLink", 'L', 0, len, 0);
		r = put(m, block, TAR_BLOCK, e);
		if (!r)
			r = put(m, path, len, e);
		if (!r)
			r = put(m, zeros,
				(TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK, e);
	}
	if (r)
		return r;
	tar_header(block, path, type, FOLDER_MODE, 0, m->totals->mtime_max_s);
	return put(m, block, TAR_BLOCK, e);
}

static int make_room(struct mend *m, unsigned layer, struct err *e)
{
	char path[PATH_SIZE];
	char whiteout[PATH_SIZE + 8];
	size_t cursor = 0;
	int r = 0;

	while (!r && image_model_place(m->model, layer, &cursor, path)) {
		const char *slash = strrchr(path, '/');
		const int above = slash ? (int)(slash + 1 - path) : 0;

		snprintf(whiteout, sizeof(whiteout), "%.*s.wh.%s", above, path,
			 path + above);
		r = put_header(m, whiteout, '0', e);
		if (!r)
			r = put_header(m, path, '5', e);
	}
	return r;
}

static int on_entry(void *ctx, const struct tar_entry *entry, struct err *e)
{
	(void)ctx;
	(void)entry;
	(void)e;
	return 0;
}

static int on_raw(void *ctx, const void *data, size_t len, struct err *e)
{
	return put(ctx, data, len, e);
}

static int filter(struct mend *m, int in, struct err *e)
{
	static const struct tar_hooks hooks = {.entry = on_entry,
					       .raw = on_raw};
	static unsigned char piece[PIECE];
	struct tar tar;
	ssize_t n = 1;
	int r = 0;

	tar_init(&tar, "a layer", &hooks, m);
	while (!r && n > 0) {
		r = image_tools_check(m->tools, e);
		n = r ? 0 : read(in, piece, sizeof(piece));
		if (n < 0)
			r = err_errno(e, "can't read a layer again");
		else if (n > 0)
			r = tar_add(&tar, piece, (size_t)n, e);
	}
	if (!r)
		r = tar_end(&tar, e);
	tar_fini(&tar);
	return r;
}

static const char *diff_id_of(const struct mend *m, unsigned layer)
{
	const json_t *rootfs = json_object_get(m->layout->config, "rootfs");
	const char *text = json_string_value(
		json_array_get(json_object_get(rootfs, "diff_ids"), layer));

	return text ? text : "";
}

/* The layer as it was, without its compression, in the file "whole". */
static int unpack(struct mend *m, unsigned layer, struct err *e)
{
	char blob[128];
	char path[PATH_MAX + 256];
	char hex[IMAGE_HEX_SIZE];
	char digest[IMAGE_HEX_SIZE + 8];
	const struct image_layer *l = &m->layout->layers[layer];
	const struct image_tool tool = {
		.argv = image_layer_unpacker(l),
		.input = path,
	};
	int r;

	image_layer_path(l, blob);
	snprintf(path, sizeof(path), "%s/%s", m->tools->temp, blob);
	r = image_fetch_file(m->tools, &tool, "whole", m->totals->raw_max, e);
	if (!r)
		r = image_layout_hash(m->tools, "whole", hex, e);
	if (r)
		return r;
	snprintf(digest, sizeof(digest), "sha256:%s", hex);
	return strcmp(digest, diff_id_of(m, layer))
		       ? err_set(e, -EINVAL,
				 "the image is damaged: a digest does not "
				 "match")
		       : 0;
}

static int rewrite(struct mend *m, unsigned layer, struct err *e)
{
	CLEAN_FD int in = -1;
	int r = unpack(m, layer, e);

	if (r)
		return r;
	in = openat(m->tools->folder, "whole", O_RDONLY | O_CLOEXEC);
	m->out = openat(m->tools->folder, "layer",
			O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (in < 0 || m->out < 0)
		r = err_errno(e, "can't make a file in %s", m->tools->temp);
	if (!r)
		r = make_room(m, layer, e);
	if (!r)
		r = filter(m, in, e);
	fd_close(&m->out);
	(void)unlinkat(m->tools->folder, "whole", 0);
	return r;
}

/* ---- all of them -------------------------------------------------------- */

static int add(struct mend *m, enum image_layer_kind kind, const char *hex,
	       uint64_t size, const char *diff_id, struct err *e)
{
	if (!json_array_append_new(
		    m->layers, image_layout_descriptor(image_layer_type(kind),
						       hex, size)) &&
	    !json_array_append_new(m->diff_ids, json_string(diff_id)))
		return 0;
	return err_set(e, -EINVAL, "the image's digests can't be written");
}

static int add_rewritten(struct mend *m, unsigned layer, struct err *e)
{
	char hex[IMAGE_HEX_SIZE];
	char diff_id[IMAGE_HEX_SIZE + 8];
	struct stat st;
	int r = rewrite(m, layer, e);

	if (!r && fstatat(m->tools->folder, "layer", &st, 0))
		r = err_errno(e, "can't find a layer");
	if (!r)
		r = image_layout_blob(m->tools, IMAGE_LAYOUT_MENDED, "layer",
				      hex, e);
	if (r)
		return r;
	snprintf(diff_id, sizeof(diff_id), "sha256:%s", hex);
	return add(m, LAYER_TAR, hex, (uint64_t)st.st_size, diff_id, e);
}

static int add_as_it_is(struct mend *m, unsigned layer, struct err *e)
{
	const struct image_layer *l = &m->layout->layers[layer];
	const int folder = m->tools->folder;
	char from[128];
	char to[128];

	image_layer_path(l, from);
	snprintf(to, sizeof(to), IMAGE_LAYOUT_MENDED "/blobs/sha256/%s",
		 l->hex);
	/* A layer may be there twice. */
	if (linkat(folder, from, folder, to, 0) && errno != EEXIST)
		return err_errno(e, "can't link a layer");
	return add(m, l->kind, l->hex, l->size, diff_id_of(m, layer), e);
}

int image_mend(struct image_tools *t, const struct image_layout *l,
	       const struct image_model *model,
	       const struct image_tar_totals *totals, struct err *e)
{
	struct mend m = {
		.tools = t,
		.layout = l,
		.model = model,
		.totals = totals,
		.layers = json_array(),
		.diff_ids = json_array(),
		.out = -1,
	};
	json_t *config;
	unsigned i;
	int r = image_layout_begin(t, IMAGE_LAYOUT_MENDED, e);

	for (i = 0; !r && i < l->layer_count; i++)
		r = is_needed(l, model, i) ? add_rewritten(&m, i, e)
					   : add_as_it_is(&m, i, e);
	if (r) {
		json_decref(m.layers);
		json_decref(m.diff_ids);
		return r;
	}
	config = json_pack("{s:s, s:s, s:{}, s:{s:s, s:o}}", "architecture",
			   l->arch, "os", "linux", "config", "rootfs", "type",
			   "layers", "diff_ids", m.diff_ids);
	return image_layout_end(t, IMAGE_LAYOUT_MENDED, config, m.layers, e);
}
