#pragma once

#include <stdint.h>

/*
 * Removes the entry `name` of the folder dirfd and all below it, without ever
 * following a symbolic link, whatever modes an image gave its folders. Adds
 * what the disk gets back to *bytes (may be NULL). What is not there is no
 * error. Returns 0 or the negative errno of the first failure; the rest is
 * removed all the same.
 */
int image_tree_remove(int dirfd, const char *name, uint64_t *bytes);

/* The same for all that is in the folder `name`, which stays. */
int image_tree_empty(int dirfd, const char *name);
