#pragma once

/*
 * Gives pages back that were used and are not any more, so that a process which
 * does little from then on is small. Costs some system calls, and each page a
 * fault where it is used again.
 */

/* Of the calling thread's stack. It has 64 KiB or more. Thread: any. */
void spare_stack(void);

/* Of the heap. Thread: any. */
void spare_heap(void);
