#pragma once

#include <stdint.h>

#include "api/ctl/image/tool.h"
#include "vmm/base/err.h"

/*
 * Writes an EROFS image of a tree, uncompressed. Only for trees with names of
 * 255 bytes, which mkfs.erofs 1.5 cuts to 254.
 */
struct image_erofs {
	const char *root;  /* the tree, from the import's folder */
	const char *out;   /* a new file there */
	const char *hex;   /* whose beginning is the identifier */
	uint64_t newest_s; /* no time stamp is newer */
	bool is_all_root;  /* owners are root, and attributes left out */
};

int image_erofs_write(struct image_tools *t, const struct image_erofs *how,
		      struct err *e);
