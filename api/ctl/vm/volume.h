#pragma once

#include <limits.h>
#include <stdbool.h>

#include "api/ctl/vm/vm.h"
#include "vmm/base/err.h"

/*
 * -v. A microVM shares no directory with its host: a host directory becomes a
 * read-only EROFS image as it is at this moment (mkfs.erofs), in the directory
 * of the microVM; a block device or a file with a file system in it is given as
 * a disk.
 *
 * A file system has one machine that writes to it, or many that read: a disk is
 * locked (flock) by everyone who has it, exclusively by who may write, and a
 * block device that is mounted on the host is not given to write to at all. The
 * monitor itself locks nothing, for its clients may have their own ways.
 */
struct volume_source {
	char *source; /* owned */
	char *target; /* owned; absolute, in the container */
	bool is_read_only;
};

struct volume {
	char path[PATH_MAX]; /* of the disk */
	bool is_read_only;
	int lock_fd; /* owned; 0 or -1 for none */
};

/* Makes v of what the user asked for; index tells the images apart. */
int volume_make(struct volume *v, const struct vm *vm, unsigned index,
		const struct volume_source *asked, struct err *e);
