/* The two folders of all microVMs. */
#include "api/ctl/vm/place.h"
#include "api/ctl/base/tree.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Longer than any file in a microVM's directory, with a slash before it. */
enum { FILE_MAX = 60 };

/* Others must not be able to put anything there. */
static int check(const char *path, const char *variable, struct err *e)
{
	struct stat st;

	if (lstat(path, &st))
		return err_errno(e, "can't look at %s", path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || st.st_mode & 0022)
		return err_set(e, -EPERM,
			       "%s is not a directory that only you can write "
			       "to; remove it or set %s",
			       path, variable);
	return 0;
}

int place_runtime(char *out, size_t size, struct err *e)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int n;

	if (runtime && *runtime == '/')
		n = snprintf(out, size, "%s/mayfly", runtime);
	else if (geteuid() == 0)
		n = snprintf(out, size, "/run/mayfly");
	else
		return err_set(e, -ENOENT,
			       "there is no place for microVMs: set "
			       "XDG_RUNTIME_DIR to a directory of yours");
	/* Room for a name and for the longest socket below it. */
	if (n < 0 || (size_t)n + FILE_MAX > size)
		return err_set(e, -ENAMETOOLONG,
			       "%s is too long a path for the sockets of "
			       "microVMs; set XDG_RUNTIME_DIR to a shorter one",
			       runtime);
	if (mkdir(out, 0700) && errno != EEXIST)
		return err_errno(e, "can't make %s", out);
	return check(out, "XDG_RUNTIME_DIR", e);
}

int place_disk(char *out, size_t size, struct err *e)
{
	const char *state = getenv("XDG_STATE_HOME");
	const char *home = getenv("HOME");
	int n, rc;

	if (state && *state == '/')
		n = snprintf(out, size, "%s/mayfly", state);
	else if (geteuid() == 0)
		n = snprintf(out, size, "/var/lib/mayfly/vms");
	else if (home && *home == '/')
		n = snprintf(out, size, "%s/.local/state/mayfly", home);
	else
		return err_set(e, -ENOENT,
			       "there is no place for what microVMs write: set "
			       "XDG_STATE_HOME to a directory of yours");
	if (n < 0 || (size_t)n + FILE_MAX > size)
		return err_set(e, -ENAMETOOLONG,
			       "set XDG_STATE_HOME to a shorter path");
	rc = tree_make(out);
	if (rc)
		return err_set(e, rc, "can't make %s: %s", out, strerror(-rc));
	return check(out, "XDG_STATE_HOME", e);
}
