#pragma once

#include <jansson.h>
#include <stdint.h>

#include "api/ctl/image/store.h"
#include "api/ctl/image/tool.h"

/*
 * The private OCI layout, `layout` in an import's folder: skopeo has put one
 * image there, tag `image`, and checked its digests. What its files say is
 * hostile all the same.
 */
enum { IMAGE_LAYERS_MAX = 512 };

#define IMAGE_LAYOUT	  "layout"
#define IMAGE_LAYOUT_GZIP "regzipped"
#define IMAGE_LAYOUT_TAG  "image"

/* The same as umoci's references. */
#define IMAGE_LAYOUT_REF      IMAGE_LAYOUT ":" IMAGE_LAYOUT_TAG
#define IMAGE_LAYOUT_GZIP_REF IMAGE_LAYOUT_GZIP ":" IMAGE_LAYOUT_TAG

enum image_layer_kind { LAYER_TAR, LAYER_GZIP, LAYER_ZSTD };

struct image_layer {
	char hex[IMAGE_HEX_SIZE];
	enum image_layer_kind kind;
	uint64_t size; /* of the blob, bytes */
};

struct image_layout {
	char hex[IMAGE_HEX_SIZE]; /* the manifest's digest */
	struct image_layer layers[IMAGE_LAYERS_MAX];
	unsigned layer_count;
	uint64_t size;	/* of all layers */
	json_t *config; /* owned; the OCI image configuration */
};

/* Reads it from the import's folder. image_layout_fini() whatever it says. */
int image_layout_read(int folder, struct image_layout *l, struct err *e);
void image_layout_fini(struct image_layout *l);

/* Where a layer's blob is, from the import's folder. */
void image_layer_path(const struct image_layer *layer, char out[128]);

/* "amd64", "arm64": this machine, as OCI spells it. */
const char *image_layout_arch(void);

/*
 * Makes an image of one layer in a new layout: the archive is the file `path`
 * in the import's folder, which moves. The same archive makes the same digests
 * every time.
 */
int image_layout_make(struct image_tools *t, const char *path, struct err *e);

/*
 * Chooses from a manifest, as a registry gave it: 1 where it is an index, with
 * the digest of the manifest for this machine in hex; 0 where it is a manifest;
 * -ENOEXEC and a sentence where an index has none for this machine.
 */
int image_layout_choose(const char *manifest, size_t len,
			char hex[IMAGE_HEX_SIZE], struct err *e);

/* The SHA-256 of a file in the import's folder. */
int image_layout_hash(struct image_tools *t, const char *path,
		      char hex[IMAGE_HEX_SIZE], struct err *e);
