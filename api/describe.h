#pragma once

#include <stdio.h>

#include "vmm/base/err.h"

/*
 * What --snapshot-version and --describe-snapshot say. Thread: a process that
 * does nothing else.
 */

/* The version of the format that this mayfly writes. */
void describe_version(FILE *to);

/*
 * What the state file at path has: its first line is its version, as above, for
 * programs; the rest is for people. All of it is judged as for a load, by the
 * key in the file at key_path, if that is not NULL. Returns 0, or a negative
 * errno with a sentence, and then nothing was written.
 */
int describe_snapshot(const char *path, const char *key_path, FILE *to,
		      struct err *e);
