#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * Writes an EROFS image of a tree, uncompressed. Only for trees with names of
 * 255 bytes, which mkfs.erofs 1.5 cuts to 254.
 */
struct erofs_tree {
	int folder;	  /* borrowed: paths are from there */
	const char *root; /* the tree */
	const char *out;  /* what is there already stays the same file */
	const char *hex;  /* whose beginning is the identifier; NULL: none */
	/* No time stamp is newer, unless all are as they are. */
	uint64_t newest_s;
	bool is_as_it_is;
	bool is_all_root; /* owners are root, and attributes left out */
	/* Asked before each file, for an error that ends it; may be NULL. */
	int (*check)(void *context, struct err *e);
	void *context;
};

/* 0 or a negative errno; -ENOSPC where the disk is full. */
int erofs_write(const struct erofs_tree *how, struct err *e);

/*
 * Makes an image of a directory of the host's as it is, by mkfs.erofs or, where
 * that would cut a name, by the above; a file that is there already is written
 * anew, and stays the same one. Heeds signals as process_run() does.
 */
int erofs_pack(const char *dir, const char *image, struct err *e);
