#pragma once

#include "guest/agent/root.h"
#include "guest/agent/session.h"
#include "guest/agent/spawn.h"

#include <sys/types.h>

/*
 * PREPARE: a container's first process as far as it can come without a RUN. It
 * waits in namespaces of its own, in a root that is made, for the RUN that it
 * is to become.
 */
void ready_make(struct session *s, struct reader *r);

/*
 * Becomes @sp in @root, for the RUN in root->request. Returns its pid, or 0
 * where there is none that fits; then there is none any more.
 */
pid_t ready_take(const struct spawn *sp, const struct root *root);

/* Ends the one that waits, if one does. */
void ready_drop(void);
