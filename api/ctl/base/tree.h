#pragma once

#include <limits.h>
#include <stdint.h>

/*
 * Removing trees that others made: images, jails, copies out of a guest. They
 * may be deeper than there are descriptors or than a path can say, forbid their
 * owner to look, hold links to anywhere, and have file systems mounted in them.
 * Nothing is followed, and what is mounted is not removed.
 */
enum tree_flags {
	TREE_STRICT = 1, /* stop at the first failure */
};

struct tree_report {
	uint64_t bytes;		   /* what the disk got back is added */
	char failed[NAME_MAX + 1]; /* the first that could not be removed */
};

/*
 * Removes the entry `name` of the folder dirfd and all below it. What is not
 * there is no error. Returns 0 or the negative errno of the first failure;
 * -EBUSY where something is mounted. report may be NULL.
 */
int tree_remove(int dirfd, const char *name, unsigned flags,
		struct tree_report *report);

/* The same for all that is in the folder `name`, which stays. */
int tree_empty(int dirfd, const char *name);

/*
 * mkdir -p: what is there already stays as it is, and only the last folder is
 * the caller's alone. Returns 0 or a negative errno.
 */
int tree_make(const char *path);
