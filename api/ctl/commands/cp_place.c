/* The rules of a copy, apart from the copying. */
#include "api/ctl/commands/cp_place.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Without slashes at the end; at least one character. */
static size_t trim(const char *path)
{
	size_t len = strlen(path);

	while (len > 1 && path[len - 1] == '/')
		len--;
	return len;
}

static size_t base_at(const char *path, size_t len)
{
	while (len && path[len - 1] != '/')
		len--;
	return len;
}

void copy_base(const char *path, char out[NAME_MAX + 1])
{
	const size_t len = trim(path), at = base_at(path, len);

	if (len == at)
		snprintf(out, NAME_MAX + 1, ".");
	else
		snprintf(out, NAME_MAX + 1, "%.*s", (int)(len - at), path + at);
}

void copy_dir(const char *path, char out[PATH_MAX])
{
	size_t at = base_at(path, trim(path));

	if (!at) {
		snprintf(out, PATH_MAX, ".");
		return;
	}
	while (at > 1 && path[at - 1] == '/')
		at--;
	snprintf(out, PATH_MAX, "%.*s", (int)at, path);
}

bool copy_ends_in_slash(const char *path)
{
	return path[strlen(path) - 1] == '/';
}

int copy_place(const struct copy_end *from, const struct copy_end *to,
	       struct copy_place *out, struct err *e)
{
	const char *target = to->path;
	char base[NAME_MAX + 1];
	const bool is_folder = from->kind == COPY_DIRECTORY;

	if (from->kind == COPY_MISSING)
		return err_set(e, -ENOENT, "there is no %s", from->path);
	if (!is_folder && copy_ends_in_slash(from->path))
		return err_set(e, -ENOTDIR,
			       "%s is no directory; leave the slash at its end "
			       "out to copy it",
			       from->path);
	if (to->kind == COPY_DIRECTORY) {
		copy_base(from->path, base);
		snprintf(out->dir, sizeof(out->dir), "%s", target);
		/* "d/." and "/" have no name of their own. */
		snprintf(out->as, sizeof(out->as), "%s",
			 strcmp(base, ".") ? base : "");
		return 0;
	}
	if (to->kind == COPY_FILE && (is_folder || copy_ends_in_slash(target)))
		return err_set(e, -ENOTDIR,
			       "%s is there and no directory, so %s can't go "
			       "into it; choose another name",
			       target, from->path);
	if (to->kind == COPY_MISSING && !is_folder &&
	    copy_ends_in_slash(target))
		return err_set(e, -ENOENT,
			       "there is no directory %s to put %s into; make "
			       "it, or leave the slash at its end out to have "
			       "a file of that name",
			       target, from->path);
	copy_base(target, out->as);
	copy_dir(target, out->dir);
	if (!strcmp(out->as, ".") || !strcmp(out->as, ".."))
		return err_set(e, -ENOENT, "there is no directory %s", target);
	return 0;
}
