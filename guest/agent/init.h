#pragma once

#include "guest/agent/spawn.h"

/*
 * In a container's first process, in its root: becomes a small init, and comes
 * back in a child of that, which is to be the command. Signals go to the
 * command, orphans are reaped, and the command's end is the init's.
 */
void init_fork(const struct spawn *sp);
