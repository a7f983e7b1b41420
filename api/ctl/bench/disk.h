#pragma once

#include <limits.h>
#include <stdbool.h>

#include "vmm/base/err.h"

/* What bench block reads. */

enum { DISK_MAX = 8, DISK_MIB = 128, DISK_KIND_MAX = 16 };

struct disk {
	char path[PATH_MAX];	  /* of a file, a directory for one, a device */
	char kind[DISK_KIND_MAX]; /* "ext4", "tmpfs", "raw" … */
	bool is_directory;
	bool is_first;
};

struct disks {
	struct disk list[DISK_MAX];
	unsigned count;
};

/*
 * Those that were named; else a directory for scratch files, and one in memory
 * where there is such a file system.
 */
int disks_find(struct disks *d, const char *const *named, unsigned count,
	       struct err *e);

/*
 * The file or device to be read, in path: one of DISK_MIB is made where a
 * directory was named, which *is_made tells, and whoever made it removes it.
 */
int disk_open(const struct disk *d, char path[PATH_MAX], bool *is_made,
	      struct err *e);
