#pragma once

#include <limits.h>
#include <stdbool.h>

#include "api/ctl/base/tree.h"
#include "api/ctl/image/image.h"
#include "vmm/base/err.h"

/*
 * The folders of the store. Only image*.c look in here; docs/images.md shows
 * what lies where.
 *
 *	lock                    flock: names, images and tmp change under it;
 *	                        byte ranges: one digest is built once
 *	images/HEX/rootfs.erofs the image, read-only
 *	images/HEX/image.json   its facts and its configuration
 *	images/HEX/warm/, warm/ guests at rest (api/ctl/vm/warm.h)
 *	names/NAME              a link to ../images/HEX; `/` is written `%`
 *	kept/KEY                an image that can be made again (kept.h)
 *	tmp/import.XXXXXX       an import at work, under an flock of its folder
 */
#define IMAGE_KEPT  "kept"
#define IMAGE_EROFS "rootfs.erofs"
#define IMAGE_FACTS "image.json"

enum { IMAGE_HEX_SIZE = 65, IMAGE_TEMP_SIZE = 24 };

struct image_store {
	char path[PATH_MAX / 2]; /* absolute */
	int fd;			 /* the folder */
	int lock;
};

/*
 * Opens the store; it is made where is_made says so, else an absent one is
 * -ENOENT. image_store_close() accepts what this left behind on failure.
 */
int image_store_open(struct image_store *s, bool is_made, struct err *e);
void image_store_close(struct image_store *s);

/* One at a time may change the store; for moments only. */
int image_store_lock(const struct image_store *s, struct err *e);
void image_store_unlock(const struct image_store *s);

/*
 * One at a time may build the image hex (or fetch the manifest of that
 * digest). -EAGAIN where somebody does. Ends with image_store_release() or
 * the process.
 */
int image_store_claim(const struct image_store *s, const char *hex);
void image_store_release(const struct image_store *s);

/*
 * Makes a folder below tmp/ for one import, under an flock that lives as long
 * as anybody, this process or a tool of its own, has it open. Returns the
 * descriptor; out is its path from the store's folder.
 */
int image_store_temp(const struct image_store *s, char out[IMAGE_TEMP_SIZE],
		     struct err *e);

/*
 * Without what Docker's own registry is called by: docker://busybox and
 * docker.io/library/busybox are busybox.
 */
const char *image_name_plain(const char *name);

/* Writes NAME, plain, or NAME:latest where there is no tag, if it can be a
 * name. */
int image_name_check(const char *name, char out[IMAGE_NAME_MAX + 1],
		     struct err *e);

/* Whether text is exactly 64 lower-case hexadecimal digits. */
bool image_is_hex(const char *text);

/*
 * What a name, a digest or the beginning of one means: hex, and known, the
 * whole name, "" where it was a digest. -ENOENT, or -EEXIST for an ambiguous
 * one.
 */
int image_store_resolve(const struct image_store *s, const char *name,
			char hex[IMAGE_HEX_SIZE],
			char known[IMAGE_NAME_MAX + 1], struct err *e);

/* Whether images/HEX is there. */
bool image_store_has(const struct image_store *s, const char *hex);

/* Gives an image a name, atomically and durably; the lock is held. */
int image_store_name(const struct image_store *s, const char *name,
		     const char *hex, struct err *e);

/* Removes what a naming that was killed left; the lock is held. */
void image_store_name_clean(const struct image_store *s);

/* Takes it away; the lock is held. */
int image_store_unname(const struct image_store *s, const char *name,
		       struct err *e);

/*
 * Calls each for every name, in no order, with the digest it leads to, until
 * each returns other than 0, and returns that.
 */
int image_store_names(const struct image_store *s,
		      int (*each)(void *ctx, const char *name, const char *hex),
		      void *ctx, struct err *e);

/* The same for the images. */
int image_store_images(const struct image_store *s,
		       int (*each)(void *ctx, const char *hex), void *ctx,
		       struct err *e);

/* The same for what is kept, by its key. */
int image_store_kept(const struct image_store *s,
		     int (*each)(void *ctx, const char *key), void *ctx,
		     struct err *e);

/*
 * Removes what lies in tmp/ and nobody holds: it is of an import, or a removal,
 * that died. Counts it. The lock is held.
 */
int image_store_sweep(const struct image_store *s, unsigned *count,
		      struct tree_report *report, struct err *e);

/* Reads a whole small file below dirfd; NULL with errno. *len may be NULL. */
char *image_file_read(int dirfd, const char *path, size_t max, size_t *len);

/* Writes and syncs one; 0 or a negative errno. */
int image_file_write(int dirfd, const char *path, const char *text, size_t len);

/* Syncs a folder's entries. */
int image_folder_sync(int dirfd, const char *path);
