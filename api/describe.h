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
 * programs; the rest is for people. All of it is judged as for a load. Returns
 * 0, or a negative errno with a sentence, and then nothing was written.
 */
int describe_snapshot(const char *path, FILE *to, struct err *e);
