#pragma once

#include "vmm/base/err.h"
#include "vmm/mem/guest_mem.h"

/*
 * Registers the memory, mapped as GUEST_MEM_MISSING and untouched, with a new
 * userfaultfd: who touches a page waits until somebody gives it by that
 * descriptor. Returns the descriptor, non-blocking and close-on-exec, or a
 * negative errno. While a copy of it is open nobody gets zeroes by mistake.
 */
int missing_register(const struct guest_mem *m, struct err *e);
