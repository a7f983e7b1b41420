#pragma once

#include <stddef.h>

#include "vmm/base/err.h"

/*
 * Reads a file of at most 1 MiB whole, as the command line names them: a
 * regular file, or a pipe (as of a shell's <(...)), whose writer has ten
 * seconds. what is its name in sentences: "config file". *text is the caller's
 * to free(). Returns 0 or a negative errno. Only before the loop runs, since
 * it may wait.
 */
int text_file_read(const char *path, const char *what, char **text, size_t *len,
		   struct err *e);
