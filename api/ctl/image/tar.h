#pragma once

#include <stdint.h>

#include "api/ctl/base/tar.h"
#include "vmm/base/err.h"

/*
 * Judges each entry of a layer, an uncompressed tar archive, before anything
 * is unpacked. Policy, not protection: the wall (wall.h) and umoci's own care
 * stand behind it. What is refused and what is taken is listed in
 * docs/images.md.
 */

/* Counts over all layers of an image; the limits are the caller's. */
struct image_tar_totals {
	uint64_t entries;
	uint64_t entries_max;
	uint64_t bytes; /* that unpacking writes */
	uint64_t bytes_max;
	uint64_t raw; /* of the archives themselves */
	uint64_t raw_max;
	uint64_t mtime_max_s; /* the newest time stamp in them */
};

enum { IMAGE_TAR_PATH_MAX = 4095, IMAGE_TAR_DEPTH_MAX = 128 };

struct image_tar {
	struct tar tar;
	struct image_tar_totals *totals; /* borrowed: caller */
	/* Sees what was found good. May be NULL. */
	int (*entry)(void *ctx, const struct tar_entry *entry, struct err *e);
	void *ctx;
};

void image_tar_init(struct image_tar *t, struct image_tar_totals *totals);
void image_tar_fini(struct image_tar *t);

/* The next piece. -EINVAL and a sentence for what is refused, -E2BIG for what
 * is too much. */
int image_tar_add(struct image_tar *t, const void *data, size_t len,
		  struct err *e);

/* The archive has ended: refuses one that is cut off. */
int image_tar_end(struct image_tar *t, struct err *e);
