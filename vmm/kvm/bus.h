#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/base/thread.h"

/*
 * A bus: address ranges and who answers there. A machine has one for memory
 * mapped and, on x86, one for port I/O. vCPU threads enter devices only here,
 * each under its own lock; the guest chooses every address, length and value.
 *
 * Ranges are added before the first vCPU runs and never change after, so
 * lookups take no lock.
 */
struct bus_range {
	uint64_t base;
	uint64_t size;
	/*
	 * offset is from base; offset + len is within size; len is 1, 2, 4 or
	 * 8. data is little-endian bytes. A NULL read gives zeroes, a NULL
	 * write swallows. Thread: a vCPU's, with *lock held.
	 */
	void (*read)(void *owner, uint64_t offset, void *data, uint32_t len);
	void (*write)(void *owner, uint64_t offset, const void *data,
		      uint32_t len);
	/*
	 * Serves an access that needs no lock, without it, or returns false
	 * to be asked the other way; data is written only for a read. May be
	 * NULL. Thread: a vCPU's.
	 */
	bool (*quick)(void *owner, uint64_t offset, void *data, uint32_t len,
		      bool is_write);
	/*
	 * Ends what a write began and a vCPU may wait for, but not under the
	 * lock; false while it has not ended: ask again soon. May be NULL.
	 * Thread: a vCPU's, without *lock.
	 */
	bool (*settle)(void *owner);
	void *owner;	    /* borrowed: machine */
	struct mutex *lock; /* borrowed: the owner's */
};

enum { BUS_RANGES_MAX = 64 };

struct bus {
	struct bus_range ranges[BUS_RANGES_MAX]; /* ascending by base */
	unsigned count;
	_Atomic uint64_t unclaimed; /* accesses nobody answered */
};

/* -EEXIST where the range meets another, -ENOSPC when the bus is full. */
int bus_add(struct bus *b, const struct bus_range *range, struct err *e);

/*
 * Carries one guest access. What nobody claims, or what crosses the end of a
 * range, reads as all ones and swallows writes, as an empty bus does.
 */
void bus_read(struct bus *b, uint64_t addr, void *data, uint32_t len);
/*
 * Returns NULL, or the range whose settle() must have said true before the
 * vCPU may go on.
 */
const struct bus_range *bus_write(struct bus *b, uint64_t addr,
				  const void *data, uint32_t len);
