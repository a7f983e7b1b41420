#pragma once

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
