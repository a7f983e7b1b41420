#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * Which pages a guest touched first after it was loaded, and in which order;
 * and the file in which this stands beside the snapshot.
 */
enum {
	WORKING_SET_ID_LEN = 16,	/* of the state that it belongs to */
	WORKING_SET_PAGES_MAX = 65536,	/* 256 MiB */
	WORKING_SET_BYTES_MAX = 524336, /* of the file: a range for each page */
};

struct working_range {
	uint32_t page; /* by its place in the mapping, as in a memory file */
	uint32_t count;
	bool is_written; /* the first touch wrote */
};

/* A zeroed one is empty. */
struct working_set {
	uint8_t id[WORKING_SET_ID_LEN];
	uint64_t pages_of_guest;
	struct working_range *ranges; /* owned; in the order of touches */
	uint32_t count;
	uint32_t room;	/* pages */
	uint32_t pages; /* of all ranges */
};

void working_set_fini(struct working_set *s);

/* Room for so many pages, of a set that is empty. -ENOMEM. */
int working_set_reserve(struct working_set *s, uint32_t pages);

/* One more page, which is in none of the ranges yet. -ENOSPC: no room. */
int working_set_add(struct working_set *s, uint32_t page, bool is_written);

/* The file's bytes, to be freed. -ENOMEM. */
int working_set_encode(const struct working_set *s, uint8_t **out, size_t *len);

/*
 * Takes a file of the state id, of a guest of so many pages; all of it, or
 * nothing and a sentence. *s is then the caller's to give to
 * working_set_fini().
 */
int working_set_decode(struct working_set *s, const uint8_t *data, size_t len,
		       const uint8_t id[WORKING_SET_ID_LEN],
		       uint64_t pages_of_guest, struct err *e);

/*
 * How many of its pages have their bit set in a set of the guest's pages
 * (guest_mem.h).
 */
uint32_t working_set_common(const struct working_set *s, const uint64_t *pages);
