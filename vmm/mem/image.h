#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/mem/guest_mem.h"

/*
 * Guest memory as a memory file: byte for byte as it is mapped, pages of zeroes
 * as holes. No vCPU runs and devices are quiet. Thread: the loop's.
 */

/* What an image cost; bytes. */
struct image_figures {
	uint64_t written; /* to the file */
	uint64_t looked_at;
};

/*
 * Writes all of m into fd from offset on, a file that has only holes there and
 * is long enough. Memory that was never touched is not read. Returns 0 or a
 * negative errno.
 */
int image_write(const struct guest_mem *m, int fd, uint64_t offset,
		struct image_figures *figures, struct err *e);

/* A stretch of a memory file that is no hole, of bytes of the mapping. */
struct image_data {
	uint64_t begin;
	uint64_t end;
	bool is_over; /* there is none behind */
};

/*
 * The same of [begin, end) alone, multiples of a page, by calls in the order of
 * addresses that share a *data, zeroed at first: to ask for the end of a
 * stretch takes as long as it is. The guest may run: what it writes meanwhile
 * is there or not, in part or whole.
 */
int image_write_range(const struct guest_mem *m, uint64_t begin, uint64_t end,
		      struct image_data *data, int fd, struct err *e);

/*
 * Writes up to max pages of those whose bit is set, zeroes too, and takes their
 * bits away; *word is where to look first, and where to go on. The guest may
 * run, as above.
 */
int image_move_pages(const struct guest_mem *m, uint64_t *pages, uint64_t *word,
		     uint64_t max, int fd, struct err *e);

/*
 * Writes the pages of m whose bit is set in pages, zeroes too, since they may
 * go over other bytes.
 */
int image_write_pages(const struct guest_mem *m, const uint64_t *pages, int fd,
		      uint64_t offset, struct image_figures *figures,
		      struct err *e);

/*
 * Sets the bits of pages that the guest may have touched, where nothing else
 * tells: those that are in memory.
 */
int image_touched(const struct guest_mem *m, uint64_t *pages, struct err *e);

/* Where an image lies in a file. */
struct image_place {
	int fd;
	uint64_t at; /* bytes */
};

/* Copies an image's data, size bytes long, without its holes. */
int image_copy(struct image_place from, struct image_place to, uint64_t size,
	       struct err *e);
