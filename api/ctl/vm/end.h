#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * The ends of a microVM that somebody asks for, by its name. All wait until it
 * is so, and return 0 or a negative errno with a sentence.
 */

/*
 * Sends signal, where that is 0 the image's stop signal, and kills the command
 * where it has not ended after patience_ms. Then disks that it could write to
 * are synced, which takes as long as there is progress, and the microVM ends.
 * patience_ms 0: the power is cut at once.
 *
 * Returns 0; END_KILLED with a sentence where the command was killed; or a
 * negative errno with a sentence where the microVM has ended, but perhaps not
 * all that its disks should have got is on them, or does not end at all.
 */
enum { END_KILLED = 1 };

int end_stop(const char *name, int signal, uint64_t patience_ms, struct err *e);

/*
 * A signal for the container's command. SIGKILL ends the microVM where the
 * guest does not obey. -ESRCH where it does not run.
 */
int end_kill(const char *name, int signal, struct err *e);

/*
 * Removes all that is kept of a microVM. -EBUSY where it runs; where is_forced
 * it is ended first.
 */
int end_remove(const char *name, bool is_forced, struct err *e);
