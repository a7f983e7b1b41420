#pragma once

#include "api/ctl/bench/result.h"
#include "vmm/base/err.h"

/*
 * Where the time of a run of mayfly goes, by its own word (--timing): medians
 * of so many runs of argv, which has room for one word more. What is left to
 * the whole is before its main() and after its last word. A phase that did not
 * happen is left out.
 */
int phases_measure(struct result *r, const char **argv, unsigned rounds,
		   struct err *e);
