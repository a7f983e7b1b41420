#pragma once

#include "api/ctl/commands/functions.h"

/*
 * Reads functions from a file of JSON (docs/functions.md), of which each is as
 * like is where the file does not say otherwise; without has_spare its spare
 * follows from its mode. 0, or a negative errno with a sentence that names the
 * file, and *out is empty.
 */
int functions_file_read(const char *path, const struct function_plan *like,
			bool has_spare, struct functions *out, struct err *e);
