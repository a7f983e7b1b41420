#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "vmm/base/err.h"

/*
 * A tree of this host's as a tar archive (ustar, with pax headers for what does
 * not fit), as it is written. Other programs may change the tree meanwhile: no
 * symbolic link that turns up in it is followed, and a file has the length that
 * its header says.
 *
 * Hard links within it stay such. Sockets and devices are left out.
 */
struct pack_sink {
	/* Other than 0 ends it and is pack_tree()'s result. */
	int (*write)(void *ctx, const void *bytes, size_t len, struct err *e);
	void *ctx;
};

/*
 * Packs the entry `name` of the folder dirfd, which the archive calls `as`;
 * where that is ".", its contents. With is_followed a symbolic link of that
 * name stands for what it leads to; none below does.
 */
int pack_tree(int dirfd, const char *name, const char *as, bool is_followed,
	      const struct pack_sink *sink, struct err *e);
