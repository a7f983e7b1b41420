#pragma once

#include <stdint.h>

#include "vmm/base/err.h"

/*
 * Copies the first size bytes of a file or a block device into an empty file,
 * which is then as long: shared with it where the file system can, else with
 * holes where it has holes or zeroes. Both may be written to by others
 * meanwhile; what is not there any more is -ENODATA. what names it in
 * sentences.
 */
int copy_file(int from, int to, uint64_t size, const char *what, struct err *e);

/*
 * Opens a file of a folder that somebody else may write to, for reading: a
 * symbolic link, a FIFO or anything else that is no file is refused, without
 * waiting for it. *size is its length.
 */
int copy_open(int dir, const char *name, uint64_t *size, struct err *e);

/* A new file of a folder, 0600, to be written. */
int copy_make(int dir, const char *name, struct err *e);
