#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * The ends of a microVM that somebody asks for, by its name. All wait until it
 * is so, and return 0 or a negative errno with a sentence.
 */

/*
 * Sends the image's stop signal, and ends the microVM when the command has, or
 * after patience_ms; 0: at once.
 */
int end_stop(const char *name, uint64_t patience_ms, struct err *e);

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
