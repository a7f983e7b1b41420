#pragma once

#include "guest/agent/spawn.h"

/*
 * In a container's first process, in its root. With PROTO_INIT: becomes a small
 * init, and comes back in a child of that, which is to be the command. Signals
 * go to the command, orphans are reaped, and the command's end is the init's.
 * With PROTO_IDLE: the same without a command, so it does not come back;
 * whatever signal it gets is its end. Else nothing.
 */
void init_begin(const struct spawn *sp);
