#pragma once

#include <stdbool.h>

#include "vmm/base/err.h"
#include "vmm/seccomp/rules.h"

/*
 * Which seccomp filters this process goes by: those it was built with, those of
 * a policy file, or none; and when each goes on.
 */
struct confine;

/*
 * Reads the policy, if there is one. Warns in the log where what comes out is
 * less than the built-in filters: is_off, a policy that allows more, a
 * sanitizer's build. *out is owned by the caller for the life of the process.
 * Returns 0 or a negative errno. Thread: main's, before there are others.
 */
int confine_new(struct confine **out, bool is_off, const char *policy_path,
		struct err *e);

/*
 * Confines the calling thread; see filter.h. NULL is no filters. Returns 0 or a
 * negative errno. Thread: any.
 */
int confine_thread(const struct confine *c, enum filter_kind kind,
		   struct err *e);
