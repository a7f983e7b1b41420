#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/ctl/image/image.h"
#include "api/ctl/image/store.h"
#include "api/ctl/image/tool.h"

/*
 * The private OCI layout, `layout` in an import's folder: skopeo has put one
 * image there, tag `image`, and checked its digests. What its files say is
 * hostile all the same.
 */
enum { IMAGE_LAYERS_MAX = 512 };

#define IMAGE_LAYOUT	    "layout"
#define IMAGE_LAYOUT_MENDED "mended"
#define IMAGE_LAYOUT_TAG    "image"

/* The same as umoci's references. */
#define IMAGE_LAYOUT_REF	IMAGE_LAYOUT ":" IMAGE_LAYOUT_TAG
#define IMAGE_LAYOUT_MENDED_REF IMAGE_LAYOUT_MENDED ":" IMAGE_LAYOUT_TAG

enum image_layer_kind { LAYER_TAR, LAYER_GZIP, LAYER_ZSTD };

struct image_layer {
	char hex[IMAGE_HEX_SIZE];
	enum image_layer_kind kind;
	uint64_t size;	 /* of the blob, bytes */
	bool has_global; /* pax headers in it; set by who judges it */
};

struct image_layout {
	char hex[IMAGE_HEX_SIZE]; /* the manifest's digest */
	struct image_layer layers[IMAGE_LAYERS_MAX];
	unsigned layer_count;
	uint64_t size;		    /* of all layers */
	char arch[IMAGE_ARCH_SIZE]; /* as OCI spells it */
	json_t *config;		    /* owned; the OCI image configuration */
};

/*
 * Reads it from the import's folder, and refuses what is for another
 * architecture. image_layout_fini() whatever it says; warn may be NULL.
 */
int image_layout_read(int folder, struct image_layout *l, const char *arch,
		      image_warn *warn, struct err *e);
void image_layout_fini(struct image_layout *l);

/* Where a layer's blob is, from the import's folder. */
void image_layer_path(const struct image_layer *layer, char out[128]);

/* What takes its compression off: argv for image_tool_run(), the blob as input.
 */
const char *const *image_layer_unpacker(const struct image_layer *layer);

/* Its kind's media type. */
const char *image_layer_type(enum image_layer_kind kind);

/*
 * Makes an image of one layer in a new layout: the archive is the file `path`
 * in the import's folder, which moves. The same archive makes the same digests
 * every time.
 */
int image_layout_make(struct image_tools *t, const char *path, const char *arch,
		      struct err *e);

/*
 * Chooses from a manifest, as a registry gave it: 1 where it is an index, with
 * the digest of the manifest for the architecture in hex; 0 where it is a
 * manifest; -ENOEXEC and a sentence where an index has none for it.
 */
int image_layout_choose(const char *manifest, size_t len, const char *arch,
			char hex[IMAGE_HEX_SIZE], struct err *e);

/*
 * The same for somebody's layout, the folder path: 1 where its index, or one
 * that is in there, lists several platforms, with the descriptor, owned by the
 * caller, of the manifest that is for the architecture; 0 where there is
 * nothing to choose. tag is "" where none is named.
 */
int image_layout_pick(const char *path, const char *tag, const char *arch,
		      json_t **out, struct err *e);

/*
 * The same in steps, for more layers: begin, a blob for each, end. A blob is a
 * file of the import's folder, which moves into the layout under its digest.
 * end takes the references to config and layers, an array of descriptors;
 * NULL, from where there was no memory, is an error of its own.
 */
int image_layout_begin(struct image_tools *t, const char *layout,
		       struct err *e);
int image_layout_blob(struct image_tools *t, const char *layout,
		      const char *path, char hex[IMAGE_HEX_SIZE],
		      struct err *e);
json_t *image_layout_descriptor(const char *type, const char *hex,
				uint64_t size);
int image_layout_end(struct image_tools *t, const char *layout, json_t *config,
		     json_t *layers, struct err *e);

/*
 * A layout of one manifest whose blobs are those of the folder path: what
 * image_layout_pick() has found. Takes the reference.
 */
int image_layout_borrow(struct image_tools *t, const char *layout,
			const char *path, json_t *manifest, struct err *e);

/* The SHA-256 of a file in the import's folder. */
int image_layout_hash(struct image_tools *t, const char *path,
		      char hex[IMAGE_HEX_SIZE], struct err *e);
