/* Memory that nobody uses any more, or not yet. */
#include "vmm/base/spare.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

/* What the heaps of glibc and musl map by itself, which nobody has to clear. */
enum { MAPPED = 160 * 1024 };

void *lazy_calloc(size_t bytes)
{
	return calloc(1, bytes > MAPPED ? bytes : MAPPED);
}

/* As deep as anything went, less what we and what we call use just now. */
enum { DEPTH = 48 * 1024, IN_USE = 1024, PAGE = 4096 };

void __attribute__((noinline)) spare_stack(void)
{
	const uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	const uintptr_t end = (here - IN_USE) & ~(uintptr_t)(PAGE - 1);

	/* What of it is not there yet is no mistake. */
	(void)madvise((void *)(end - DEPTH), DEPTH, MADV_DONTNEED);
}

void spare_heap(void)
{
#ifdef __GLIBC__
	(void)malloc_trim(0);
#endif
}
