#pragma once

#include <stdbool.h>

#include "vmm/base/err.h"

/*
 * What is said to a shim that is begun, and what it says: of versions of
 * containerd that differ.
 */

/* Whether stdin is what containerd 2.3 and later begin the shim of id with. */
bool bootstrap_is_new(const char *id);

/*
 * Prints the address. To a new one as version 3: the same calls, and for a
 * pod's further containers `start` is not run again. To others bare, which all
 * understand, and take for version 2.
 */
int bootstrap_answer(const char *address, bool is_new, struct err *e);

/* Prints what the runtime can do: `-info`, asked by containerd 2.0 and later.
 */
int bootstrap_info(struct err *e);
