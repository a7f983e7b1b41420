#pragma once

#include <stddef.h>

/*
 * Zeroed memory of what is large and of which little may ever be used: a page
 * is the process's own once something has been written to it, where calloc()
 * may clear all of it. Owned by the caller, for free(); NULL where there is
 * none. Thread: any.
 */
void *lazy_calloc(size_t bytes);

/*
 * Gives pages back that were used and are not any more, so that a process which
 * does little from then on is small. Costs some system calls, and each page a
 * fault where it is used again.
 */

/* Of the calling thread's stack. It has 64 KiB or more. Thread: any. */
void spare_stack(void);

/* Of the heap. Thread: any. */
void spare_heap(void);
