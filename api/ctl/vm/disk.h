#pragma once

#include <stdbool.h>

#include "vmm/base/err.h"

/*
 * A disk of the user's, as `run -v` and `boot --drive` give it to a microVM. A
 * file system has one machine that writes to it, or many that read: a disk is
 * locked (flock) by everyone who has it, exclusively by who may write, and a
 * block device that is mounted on the host is not given to write to at all. The
 * monitor itself locks nothing, for its clients may have their own ways.
 */
struct disk_source {
	const char *option; /* "-v", for sentences */
	const char *name;   /* as it was said there */
	bool is_read_only;
};

/*
 * Opens the file or block device at path and locks it, for as long as this
 * descriptor or a copy of it is open, in whatever process. Returns it, or a
 * negative errno: -EBUSY where somebody else has it.
 */
int disk_take(const char *path, const struct disk_source *s, struct err *e);
