#pragma once

#include <stdbool.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/err.h"

/*
 * Back to a moment, in place: a container's microVM is marked, and taken back
 * to the mark as often as is wanted (docs/snapshot.md); one that was restored
 * needs none, and goes back to that. Its programs stand still there, so that
 * each time it goes on with random numbers and a clock of its own.
 */

/* Returns 0 or a negative errno. */
int moment_mark(const char *name, struct err *e);

/*
 * Notes who it became when it was loaded: without a mark that is where it goes
 * back to, and there it is its original still.
 */
int moment_remember(const struct vm *vm, const struct session_identity *who,
		    struct err *e);

/*
 * keep_drives: what it has written to disks since then stays, which its file
 * systems do not know of.
 */
int moment_reset(const char *name, bool keep_drives, struct err *e);
