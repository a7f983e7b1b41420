#pragma once

#include <limits.h>
#include <stdbool.h>

#include "vmm/base/err.h"

/*
 * Where a copy goes. The rules are cp -R's and docker's: into a directory that
 * is there, over a file, or by a new name; and what ends in /. is the contents
 * of a directory.
 */
enum copy_kind { COPY_MISSING, COPY_FILE, COPY_DIRECTORY };

struct copy_end {
	const char *path; /* as it was typed, not empty */
	enum copy_kind kind;
};

struct copy_place {
	char dir[PATH_MAX];    /* it goes in there; has to be a directory */
	char as[NAME_MAX + 1]; /* and gets that name; "": its contents do */
};

/* -EINVAL with a sentence where it can't be. */
int copy_place(const struct copy_end *from, const struct copy_end *to,
	       struct copy_place *out, struct err *e);

/* The last part of a path without the slashes at its end; "." of "/". */
void copy_base(const char *path, char out[NAME_MAX + 1]);

/* The path without its last part: "." where there is no other. */
void copy_dir(const char *path, char out[PATH_MAX]);

bool copy_ends_in_slash(const char *path);
