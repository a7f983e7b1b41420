#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * Files in memory (memfd) that nobody can change: others may have them, map
 * them privately, and rely on what is in them.
 */

/* A new one of size bytes, all holes, that can be frozen. An fd or -errno. */
int frozen_new(const char *name, uint64_t size, struct err *e);

/*
 * From now on nobody writes to it, nor makes it longer or shorter, whoever has
 * a descriptor. The caller has it mapped privately, or not at all.
 */
int frozen_seal(int fd, struct err *e);
