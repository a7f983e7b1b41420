#pragma once

#include "guest/agent/container.h"
#include "guest/agent/spawn.h"
#include "guest/agent/walls.h"

/*
 * Which of @all, a list, are those whose namespaces are to be shared; the id of
 * one that does not run, or NULL.
 */
const char *join_plan(const struct container *all, struct spawn *sp,
		      const struct walls *w);

/*
 * Namespaces of another container: in the child that is to be a container's
 * first process, before it has a root of its own. They report and exit where
 * the other is gone.
 */

/* Its IPC and its UTS namespace, where the child is to share them. */
void join_namespaces(const struct spawn *sp);

/* Its /dev/shm, as a mount that has no place yet. */
int join_shm(const struct spawn *sp);
