#pragma once

#include <sys/types.h>

#include "vmm/base/err.h"

/*
 * Makes a user namespace, with one of System V's shared memory and queues and
 * others that flags names, in which uid and gid, those of this process, are
 * themselves and nobody else exists, and in which no further one can be made.
 * The process has all capabilities in there. proc_fd is the host's /proc.
 * Returns 0 or a negative errno with a sentence.
 */
int userns_enter(int proc_fd, int flags, uid_t uid, gid_t gid, struct err *e);
