#pragma once

#include <stdbool.h>

#include "vmm/base/err.h"

/*
 * Back to a moment, in place: a container's microVM is marked, and taken back
 * to the mark as often as is wanted (docs/snapshot.md). Its programs stand
 * still at the mark, so that each time it goes on with random numbers and a
 * clock of its own.
 */

/* Returns 0 or a negative errno. */
int moment_mark(const char *name, struct err *e);

/*
 * keep_drives: what it has written to disks since then stays, which its file
 * systems do not know of.
 */
int moment_reset(const char *name, bool keep_drives, struct err *e);
