/* PT_GNU_RELRO (Linux Standard Base, Core, 12.2), by our own program headers.
 */
#include "vmm/base/relro.h"

#include <features.h>

#ifdef __GLIBC__

void relro_protect(void)
{
}

#else

#include <link.h>
#include <stdint.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

/* The linker's name for the first byte of the program in memory. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

void relro_protect(void)
{
	const uintptr_t base = (uintptr_t)&__ehdr_start;
	const ElfW(Phdr) *const headers =
		(const void *)(base + __ehdr_start.e_phoff);

	for (unsigned i = 0; i < __ehdr_start.e_phnum; i++) {
		const ElfW(Phdr) *const h = &headers[i];
		const uintptr_t end = (base + h->p_vaddr + h->p_memsz) &
				      ~(uintptr_t)(PAGE - 1);
		const uintptr_t begin = (base + h->p_vaddr) &
					~(uintptr_t)(PAGE - 1);

		if (h->p_type == PT_GNU_RELRO && begin < end)
			(void)mprotect((void *)begin, end - begin, PROT_READ);
	}
}

#endif
