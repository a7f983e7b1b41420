#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * Reads a layer, an uncompressed tar archive that arrives piece by piece, and
 * judges each entry before anything is unpacked. Policy, not protection: the
 * wall (image_wall.h) and umoci's own care stand behind it. What is refused
 * and what is taken is listed in docs/images.md.
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

enum {
	IMAGE_TAR_BLOCK = 512,
	IMAGE_TAR_PATH_MAX = 4095,
	IMAGE_TAR_DEPTH_MAX = 128,
	IMAGE_TAR_NAMES = 3,
	IMAGE_TAR_EXTRA_MAX = 1 << 20, /* pax records and long names */
};

struct image_tar {
	struct image_tar_totals *totals; /* borrowed: caller */
	unsigned char block[IMAGE_TAR_BLOCK];
	size_t have;   /* bytes of it */
	uint64_t skip; /* bytes of data and padding still to pass over */
	char *extra;   /* owned; a pax header or long name being read */
	size_t extra_len;
	size_t extra_have;
	char extra_type;    /* 'x', 'L', 'K'; 0 for none */
	bool is_sparse_map; /* blocks of an old GNU sparse map follow */
	unsigned zero_blocks;
	bool is_over;
	/*
	 * What extra headers say of the next entry. Readers differ in which
	 * of several names they take, so all are judged.
	 */
	char *names[IMAGE_TAR_NAMES]; /* owned; pax, GNU sparse, GNU long */
	char *links[IMAGE_TAR_NAMES]; /* owned; pax, none, GNU long */
	bool has_size;
	uint64_t size;
	bool has_real_size;
	uint64_t real_size;
	bool has_mtime;
	uint64_t mtime_s;
	uint64_t pending_skip; /* after the sparse map */
};

void image_tar_init(struct image_tar *t, struct image_tar_totals *totals);
void image_tar_fini(struct image_tar *t);

/* The next piece. -EINVAL and a sentence for what is refused, -E2BIG for what
 * is too much. */
int image_tar_add(struct image_tar *t, const void *data, size_t len,
		  struct err *e);

/* The archive has ended: refuses one that is cut off. */
int image_tar_end(struct image_tar *t, struct err *e);
