#pragma once

#include <stdbool.h>

#include "vmm/base/err.h"

/*
 * Files that whoever started this process has opened for it. A path `fd:N`, or
 * `fd:N:NAME` with a name for messages, is one of them where N was named on the
 * command line (--file-fds), and nothing but a file's name where it was not: so
 * a client of the API can say which of the files it is given is what, and can
 * never mean any other descriptor.
 */

enum { PASSED_MAX = 32 };

/*
 * Reads `N[,N]...`: ascending, 3 or more, at most PASSED_MAX. Returns 0 or
 * -EINVAL with a sentence.
 */
int passed_take(const char *list, struct err *e);

/* Whether path is one of them. */
bool passed_has(const char *path);

/*
 * open() of path: O_CLOEXEC is added, and of a descriptor that was passed a
 * copy is returned, if it was opened as flags' access mode says; to be read,
 * also one in memory that was opened for both and is sealed against writing.
 * Returns an fd, owned by the caller, or -1 and errno: EBADF where it is not
 * open, EACCES where it was opened otherwise.
 */
int passed_open(const char *path, int flags);
