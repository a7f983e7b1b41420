#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * Guest physical memory, and the only translator from a guest physical address
 * (gpa) to a host pointer. All of it is mapped once, and the regions are
 * windows of that mapping, one after the other though the guest sees a hole
 * between them: so a memory file is a plain copy of it.
 *
 * The guest writes to it while we look. Copy once, then validate the copy.
 */
enum { GUEST_MEM_REGIONS_MAX = 2 };

/*
 * Sets of pages are bits in words, in the order of the mapping: what is
 * written, touched, to be saved.
 */
enum { GUEST_PAGE = 4096, GUEST_WORD = 64 };

struct guest_range {
	uint64_t gpa;
	uint64_t size; /* bytes, a multiple of 4096 */
};

struct guest_region {
	uint64_t gpa;
	uint64_t size;
	uint8_t *hva; /* guest-shared; owned by guest_mem */
};

/* What is behind the mapping, by what the VM is for. */
enum guest_mem_kind {
	GUEST_MEM_SMALL,       /* a memfd, in the host's base pages */
	GUEST_MEM_HUGE_2M,     /* the same in hugetlbfs: reserved or refused */
	GUEST_MEM_TRANSPARENT, /* anonymous; huge pages where the host can */
	GUEST_MEM_FILE,	       /* a memory file, privately: copied on writing */
	GUEST_MEM_MISSING,     /* anonymous; somebody else has the pages */
};

struct guest_mem_backing {
	enum guest_mem_kind kind;
	/* Of GUEST_MEM_FILE: a copy is kept; from offset on, in bytes. */
	int fd;
	uint64_t offset;
};

struct guest_mem {
	struct guest_region regions[GUEST_MEM_REGIONS_MAX];
	unsigned count;
	enum guest_mem_kind kind;
	int fd;		 /* owned: the memfd or the memory file; -1 for none */
	uint64_t offset; /* in fd */
	uint8_t *map;	 /* owned mapping of size bytes */
	uint64_t size;
	const uint8_t *mark; /* owned: the file once more, see mark.h */
	/* A bit a page that we wrote ourselves; NULL where nobody asks. */
	uint64_t *written; /* owned */
};

/*
 * Makes the memory of the given ranges, ascending and not overlapping. Pages
 * come when they are first touched. A memory file has to be a regular file that
 * has them all. Returns 0 or a negative errno: -ENOMEM where the host has no
 * address space or no huge pages for it.
 */
int guest_mem_open(struct guest_mem *m, const struct guest_range *ranges,
		   unsigned count, const struct guest_mem_backing *backing,
		   struct err *e);

/* Accepts a zeroed struct. Nothing may point into the memory any more. */
void guest_mem_close(struct guest_mem *m);

/*
 * The host pointer of [gpa, gpa + len), or NULL where any byte of it is not
 * memory, lies in two regions, or the sum overflows. len 0 gives NULL too: an
 * empty range has no address worth having. Thread: any.
 */
void *guest_mem_at(const struct guest_mem *m, uint64_t gpa, uint64_t len);

/* The words of a set of all pages. */
static inline uint64_t guest_mem_words(const struct guest_mem *m)
{
	return (m->size / GUEST_PAGE + GUEST_WORD - 1) / GUEST_WORD;
}

/* Copies out of or into guest memory. 0, or -EFAULT as for guest_mem_at(). */
int guest_mem_read(const struct guest_mem *m, uint64_t gpa, void *buf,
		   uint64_t len);
int guest_mem_write(const struct guest_mem *m, uint64_t gpa, const void *buf,
		    uint64_t len);

/*
 * From here on guest_mem_wrote() notes pages, or no longer; what was noted is
 * forgotten. -ENOMEM. Thread: the loop's, while nobody else writes.
 */
int guest_mem_track(struct guest_mem *m, bool is_on);

void guest_mem_note(const struct guest_mem *m, const void *hva, uint64_t len);

/*
 * len bytes at hva, a pointer of guest_mem_at(), were written by us, or will be
 * before the device they are for is quiet. KVM tells of the guest's writes
 * only. Thread: any.
 */
static inline void guest_mem_wrote(const struct guest_mem *m, const void *hva,
				   uint64_t len)
{
	if (m->written)
		guest_mem_note(m, hva, len);
}
