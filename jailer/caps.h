#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "vmm/base/err.h"

/*
 * Becomes uid and gid with no other groups and an empty bounding set. uid 0 is
 * allowed; it keeps its capabilities until caps_drop().
 */
int caps_become(uid_t uid, gid_t gid, struct err *e);

/*
 * Drops all capabilities from all sets for ever, and with them no_new_privs.
 * Where is_user, the process is uid and gid already, in a user namespace, and
 * keeps the groups that it couldn't leave; else caps_become() is part of this.
 */
int caps_drop(uid_t uid, gid_t gid, bool is_user, struct err *e);
