#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/ctl/vm/vm.h"
#include "vmm/base/err.h"

/*
 * -v. A microVM shares no directory with its host: a host directory becomes a
 * read-only EROFS image as it is at this moment (mkfs.erofs), in the directory
 * of the microVM; a block device or a file with a file system in it is given as
 * a disk (disk.h); any other file is read now and handed over, read-only.
 *
 * And --disk: a disk that the container's own files are written to.
 */
struct volume_source {
	char *source; /* owned */
	char *target; /* owned; absolute, in the container */
	bool is_read_only;
};

enum volume_kind { VOLUME_DIRECTORY, VOLUME_DISK, VOLUME_FILE };

struct volume {
	enum volume_kind kind;
	char path[PATH_MAX]; /* of the source, then of the disk */
	bool is_read_only;
	int lock_fd; /* owned; of a disk: 0 or -1 for none */
	/* Of a file. */
	void *bytes; /* owned */
	size_t len;
	uint32_t mode, uid, gid;
};

enum { VOLUME_FILE_MAX = 4 << 20 };

/*
 * Looks at what the user asked for, and reads it if it is a file; nothing is
 * made. volume_fini() frees it, also after a failure.
 */
int volume_find(struct volume *v, const struct volume_source *asked,
		struct err *e);

/* Makes the disk of a directory; index tells the images apart. */
int volume_make(struct volume *v, const struct vm *vm, unsigned index,
		struct err *e);

/*
 * Makes a disk of that size for what the container writes. It takes what is
 * written, and goes with the microVM.
 */
int volume_make_scratch(struct volume *v, const struct vm *vm, uint64_t bytes,
			struct err *e);

/* Accepts a zeroed struct. */
void volume_fini(struct volume *v);
