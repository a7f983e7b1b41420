#pragma once

#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * Guest physical memory, and the only translator from a guest physical address
 * (gpa) to a host pointer. All of it is mapped once, and the regions are
 * windows of that mapping: of a memfd, so that a snapshot or a clone can share
 * it, save for GUEST_MEM_TRANSPARENT.
 *
 * The guest writes to it while we look. Copy once, then validate the copy.
 */
enum { GUEST_MEM_REGIONS_MAX = 2 };

struct guest_range {
	uint64_t gpa;
	uint64_t size; /* bytes, a multiple of 4096 */
};

struct guest_region {
	uint64_t gpa;
	uint64_t size;
	uint8_t *hva; /* guest-shared; owned by guest_mem */
};

enum guest_mem_pages {
	GUEST_MEM_SMALL,       /* the host's base pages */
	GUEST_MEM_HUGE_2M,     /* hugetlbfs: reserved or refused */
	GUEST_MEM_TRANSPARENT, /* anonymous; huge pages where the host can */
};

struct guest_mem {
	struct guest_region regions[GUEST_MEM_REGIONS_MAX];
	unsigned count;
	int fd;	      /* owned memfd; -1 for GUEST_MEM_TRANSPARENT */
	uint8_t *map; /* owned mapping of size bytes */
	uint64_t size;
};

/*
 * Makes the memory of the given ranges, ascending and not overlapping. Pages
 * come when they are first touched. Returns 0 or a negative errno: -ENOMEM
 * where the host has no address space or no huge pages for it.
 */
int guest_mem_open(struct guest_mem *m, const struct guest_range *ranges,
		   unsigned count, enum guest_mem_pages pages, struct err *e);

/* Accepts a zeroed struct. Nothing may point into the memory any more. */
void guest_mem_close(struct guest_mem *m);

/*
 * The host pointer of [gpa, gpa + len), or NULL where any byte of it is not
 * memory, lies in two regions, or the sum overflows. len 0 gives NULL too: an
 * empty range has no address worth having. Thread: any.
 */
void *guest_mem_at(const struct guest_mem *m, uint64_t gpa, uint64_t len);

/* Copies out of or into guest memory. 0, or -EFAULT as for guest_mem_at(). */
int guest_mem_read(const struct guest_mem *m, uint64_t gpa, void *buf,
		   uint64_t len);
int guest_mem_write(const struct guest_mem *m, uint64_t gpa, const void *buf,
		    uint64_t len);
