#pragma once

#include <limits.h>
#include <stdbool.h>

#include "api/ctl/bench/peer.h"
#include "vmm/base/err.h"

/* The programs and files that a bench runs, found once. */

struct parts {
	char mayfly[PATH_MAX];
	char jailer[PATH_MAX]; /* "" where there is none */
	char guest[PATH_MAX];
	char floor[PATH_MAX];
	char peers[PEER_COUNT][PATH_MAX]; /* "" where there is none */
	char versions[PEER_COUNT][128];
	char mayfly_version[128];
	char scratch[PATH_MAX]; /* removed at the end */
};

/*
 * Finds all of it. named has paths of peers, NULL for one that is looked for in
 * PATH; one that is named has to be there. What is missing is a sentence.
 */
int parts_find(struct parts *p, const char *const named[PEER_COUNT],
	       struct err *e);

/* Removes the scratch directory. Accepts a zeroed struct. */
void parts_fini(struct parts *p);
