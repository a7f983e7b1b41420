#pragma once

#include "guest/agent/root.h"
#include "guest/agent/spawn.h"

/*
 * A container's mounts, in its child: opened while devices and files can be
 * seen, as descriptors, and attached when the tree has become the root. @dir is
 * the container's directory in the agent's tree. Both report and exit if they
 * fail.
 */
void volumes_open(const struct spawn *sp, const struct root *root,
		  const char *dir, int fds[static ROOT_MOUNTS]);
void volumes_attach(const struct spawn *sp, const struct root *root,
		    const int fds[static ROOT_MOUNTS]);
