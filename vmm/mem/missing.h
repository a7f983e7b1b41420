#pragma once

#include <stdbool.h>

#include "vmm/base/err.h"
#include "vmm/mem/guest_mem.h"

/*
 * Registers the memory, anonymous and untouched, with a new userfaultfd: who
 * touches a page waits until somebody gives it. tells_given_up: the descriptor
 * also tells of pages that go by madvise(), whose caller then waits until that
 * is read. Returns the descriptor, non-blocking and close-on-exec, or a
 * negative errno. While a copy of it is open nobody gets zeroes by mistake.
 */
int missing_register(const struct guest_mem *m, bool tells_given_up,
		     struct err *e);
