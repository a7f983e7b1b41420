#pragma once

#include "jailer/options.h"
#include "jailer/path.h"
#include "vmm/base/err.h"

/*
 * Control groups, of the first or the second kind. The jail's group is
 * HIERARCHY/PARENT/ID, where PARENT is --parent-cgroup or the program's name;
 * with version 1 there is one in each hierarchy whose controller a --cgroup
 * names.
 */

/*
 * Makes the groups, writes the values, then moves this process in. Without a
 * --cgroup there is nothing to do, except that with version 2 a --parent-cgroup
 * that is given, which must exist, takes the process itself. Their paths go to
 * a file `cgroups` beside the jail's root. Reads /proc. Returns 0 or a negative
 * errno.
 */
int cgroup_enter(struct path_made *made, int root_fd,
		 const struct jail_options *o, struct err *e);

/*
 * Moves this process back to the top of the hierarchies, so that a group that
 * cgroup_enter() made can be removed. What fails is left as it is.
 */
void cgroup_leave(void);
