#pragma once

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
};

/* Makes the parts of a rootfs of options that are a list. */
int rootfs_add(struct rootfs *r, const char *type, const char *source,
	       char *const *options, size_t option_count, struct err *e);

/*
 * Starts to pack it into the EROFS image at `image`, in a process that mounts
 * it where nobody else sees it: with its end, whatever brought that about, the
 * mounts are gone. *fd (owned by the caller) gives a sentence, or ends without
 * one where all went well. The process ends with this one.
 */
int rootfs_pack(const struct rootfs *r, const char *image, pid_t *pid, int *fd,
		struct err *e);

/* Accepts a zeroed struct. */
void rootfs_fini(struct rootfs *r);
