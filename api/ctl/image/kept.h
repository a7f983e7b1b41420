#pragma once

#include <limits.h>
#include <stdint.h>

#include "api/ctl/base/tree.h"
#include "api/ctl/image/store.h"
#include "vmm/base/err.h"

/*
 * Images that are made of something else than a container image, and can be
 * made again: a cache in the store. Each is one file, kept/KEY, whose key (64
 * hexadecimal digits) says what it is of. It appears whole, by a rename, is
 * never written to, and is in use where somebody holds it with a shared flock.
 */
struct image_kept {
	char path[PATH_MAX]; /* absolute */
	int fd;		     /* owned; to be read, and held */
};

/* Who makes one, and how many bytes all may take. */
struct image_kept_maker {
	int (*write)(void *ctx, const char *path, struct err *e);
	void *ctx;
	uint64_t max_bytes;
};

/*
 * That of a key, made where it is missing: by one at a time, the others wait
 * for it. Those that were used longest ago and that nobody holds make room. On
 * failure, and after a kill at any instant, there is none.
 */
int image_kept_take(const char *key, const struct image_kept_maker *how,
		    struct image_kept *out, struct err *e);

/*
 * Removes what nobody holds, the longest unused first, until the rest takes no
 * more than max_bytes; the store's lock is held.
 */
int image_kept_trim(const struct image_store *s, uint64_t max_bytes,
		    unsigned *count, struct tree_report *report, struct err *e);

/* Removes what makers that were killed have left. Quiet: it is a courtesy. */
void image_kept_sweep(void);
