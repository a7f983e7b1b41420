#pragma once

#include "vmm/base/err.h"

/*
 * Lets this process and what it becomes use files below the working directory
 * only: read, write, make, truncate and remove files and sockets, call ioctl()
 * on devices in dev, and execute `program`. No devices, directories and links
 * can be made, no TCP port be bound or connected to, and abstract sockets and
 * processes outside be reached, as far as the kernel knows of such rules. Where
 * it knows none this does nothing. Needs no_new_privs. Returns 0 or a negative
 * errno.
 */
int landlock_enter(const char *program, struct err *e);
