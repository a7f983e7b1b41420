#pragma once

#include <sys/types.h>

#include "api/ctl/vm/cell.h"

/* The process of a cell: from clone3() to exec. */

/*
 * Starts path with argv in the namespaces and groups of the cell. What goes
 * wrong in the child is said on its stderr, and ends it with 127. Returns 0 and
 * its pid, or a negative errno.
 */
int cell_clone(const struct cell *c, const struct cell_monitor *m,
	       const char *path, const char *const *argv, pid_t *pid);

/* Whether a user may have the namespaces: 0, or a negative errno. */
int cell_clone_try(void);
