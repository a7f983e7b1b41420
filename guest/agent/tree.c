#include "guest/agent/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PLACE = 600 };

/* Empties the directory @fd, which is closed. Depth costs descriptors and
 * stack, so a tree of more than 400 levels stays: ELOOP. */
static int empty(int fd, int depth)
{
	DIR *dir = fdopendir(fd);
	const struct dirent *e;
	int error = 0;

	if (!dir) {
		close(fd);
		return errno;
	}
	while (!error && (e = readdir(dir))) {
		int sub;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (!unlinkat(fd, e->d_name, 0))
			continue;
		if (!unlinkat(fd, e->d_name, AT_REMOVEDIR))
			continue;
		sub = openat(fd, e->d_name,
			     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0) {
			error = errno;
			break;
		}
		if (depth >= 400) {
			close(sub);
			error = ELOOP;
			break;
		}
		error = empty(sub, depth + 1);
		if (!error && unlinkat(fd, e->d_name, AT_REMOVEDIR))
			error = errno;
	}
	closedir(dir);
	return error;
}

int tree_put_away(const char *base, const char *id, char away[static TREE_AWAY])
{
	static unsigned count;
	char from[PLACE], to[PLACE];

	/* No id has this letter, see plan_id_is_good(). */
	snprintf(away, TREE_AWAY, "~%u", count++);
	if (snprintf(from, sizeof(from), "%s/%s", base, id) >=
		    (int)sizeof(from) ||
	    snprintf(to, sizeof(to), "%s/%s", base, away) >= (int)sizeof(to))
		return ENAMETOOLONG;
	return rename(from, to) ? errno : 0;
}

int tree_remove(const char *base, const char *away)
{
	char path[PLACE];
	int fd, error;

	if (snprintf(path, sizeof(path), "%s/%s", base, away) >=
	    (int)sizeof(path))
		return ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno;
	error = empty(fd, 0);
	if (!error && rmdir(path))
		error = errno;
	return error;
}
