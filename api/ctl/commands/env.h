#pragma once

#include "vmm/base/err.h"

/*
 * Variables for a command in a container, as `-e` and `--env-file` give them:
 * those of files first, so that -e has the last word wherever it stands.
 */
enum { ENV_MAX = 1024 };

struct env {
	char *list[ENV_MAX + 1]; /* owned; "NAME=value"; ends with NULL */
	unsigned count;
	unsigned of_files; /* of them; they stand first */
};

/*
 * NAME=value, or NAME alone: with the value it has here, and nothing where it
 * has none. -EINVAL or -E2BIG with a sentence.
 */
int env_add(struct env *v, const char *text, struct err *e);

/*
 * A file of such lines. Blank ones and those that begin with # are left out;
 * nothing is unquoted.
 */
int env_add_file(struct env *v, const char *path, struct err *e);

/* Accepts a zeroed struct. */
void env_fini(struct env *v);
