#pragma once

#include <limits.h>
#include <stdbool.h>

#include "vmm/base/err.h"

/*
 * A folder that is there whole or not at all. It is made beside its name as
 * NAME.mayfly-RANDOM, locked (flock) as long as whoever makes it lives, and
 * renamed when all is in it. One that nobody has locked is removed by the next
 * who makes one there.
 */
struct folder {
	char path[PATH_MAX]; /* of it as it is now, absolute */
	char name[NAME_MAX + 1];
	char part[NAME_MAX + 1];
	int parent_fd; /* owned */
	int fd;	       /* owned; locked */
};

/* Makes it. -EEXIST where the name is taken. */
int folder_begin(struct folder *f, const char *path, struct err *e);

/* Whether there is one in the making, by the dead if they are not swept. */
bool folder_is_begun(int parent, const char *name);

/* Gives it its name; with is_synced a loss of power does not undo it. */
int folder_commit(struct folder *f, bool is_synced, struct err *e);

/* Removes what was not committed. Accepts one that was not begun: fds of -1. */
void folder_fini(struct folder *f);

/* Removes what the dead have left below a path. */
void folder_sweep(const char *path);
