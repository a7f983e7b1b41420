#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmm/base/err.h"

/* One of the mounts that make a root file system, as mount(8) would have it. */
struct rootfs_mount {
	char *type, *source; /* owned */
	char *options;	     /* owned; with commas between */
};

struct rootfs {
	const char *path;	     /* where it is to be; borrowed */
	struct rootfs_mount *mounts; /* owned */
	unsigned count;
	uint64_t kept_bytes; /* all images that are kept; 0: none is */
	bool is_handed;	     /* another file than that may be the image */
};

/* In place of a sentence: a file that is the image, which comes with it. */
struct rootfs_found {
	char mark; /* 0, which begins no sentence */
	char path[PATH_MAX];
};

/* Makes the parts of a rootfs of options that are a list. */
int rootfs_add(struct rootfs *r, const char *type, const char *source,
	       char *const *options, size_t option_count, struct err *e);

/*
 * Starts to have it in the file `image`, in a process that mounts it where
 * nobody else sees it: with its end, whatever brought that about, the mounts
 * are gone. It is packed into an EROFS image, or one that is kept from before
 * is copied; one that is a disk by itself is copied, too. Where it may be
 * handed it is not copied. *fd (a socket, owned by the caller) gives a
 * sentence, or what was found, with a descriptor, or ends without either where
 * all went well. The process ends with this one.
 */
int rootfs_pack(const struct rootfs *r, const char *image, pid_t *pid, int *fd,
		struct err *e);

/* Accepts a zeroed struct. */
void rootfs_fini(struct rootfs *r);
