#pragma once

#include <sys/types.h>

#include "vmm/base/err.h"

/*
 * Becomes uid and gid for good: no other groups, no capabilities in any set,
 * none to be had from a program either (no_new_privs). After a failure the
 * process is neither here nor there and must end.
 */
int caps_drop(uid_t uid, gid_t gid, struct err *e);
