#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "vmm/base/err.h"

/*
 * Files opened and made as root in places that others may write to. Nothing
 * here follows a symbolic link, in no part of a path, and what is opened below
 * a directory stays below it. Thread: one.
 */

enum { PATH_MADE_MAX = 128 };

/* What this run has made, so that a run that fails can take it back. */
struct path_made {
	struct path_entry {
		int dir_fd; /* owned */
		bool is_dir;
		char name[256];
	} entries[PATH_MADE_MAX];
	unsigned count;
};

/*
 * Opens path, which is relative to dir_fd and stays below it, or where dir_fd
 * is AT_FDCWD is the caller's own and may be absolute. flags are open()'s;
 * O_CLOEXEC is added, O_NOFOLLOW must not be. Creates nothing. Returns an fd,
 * or a negative errno with a sentence that begins with the path: -ELOOP where a
 * symbolic link is in the way, -EXDEV where the path leads outside.
 */
int path_open(int dir_fd, const char *path, int flags, struct err *e);

/*
 * Makes a directory (mode 0755 less the umask) unless it is there, notes what
 * it made, and opens it. name has one part. Returns an fd or a negative errno.
 */
int path_make_dir(struct path_made *made, int dir_fd, const char *name,
		  struct err *e);

/* The same for every part of a path from the root or the working directory. */
int path_make_dirs(struct path_made *made, const char *path, struct err *e);

/*
 * Makes a file that must not be there yet, of any kind, and opens it for
 * writing, with mode `mode`. Returns an fd or a negative errno.
 */
int path_make_file(struct path_made *made, int dir_fd, const char *name,
		   mode_t mode, struct err *e);

/* The same for a character device, which it leaves to root, and an O_PATH fd.
 */
int path_make_node(struct path_made *made, int dir_fd, const char *name,
		   dev_t device, struct err *e);

/* Closes all descriptors; what was made stays. */
void path_forget(struct path_made *made);

/*
 * Removes what was made, the last first. Returns how many entries are still
 * there: directories into which others have put something, for one.
 */
unsigned path_undo(struct path_made *made);
