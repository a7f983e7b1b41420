#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/virtio.h"

/*
 * How long a device waits for more work before it interrupts a driver for what
 * it has done.
 *
 * A device that answers as quickly as its driver asks would interrupt for each
 * answer, though the driver has a row of requests to make, and each of these
 * would be a kick as well: both sides then do little but tell each other of one
 * request. So where a driver has shown that it goes on without an answer, the
 * device looks at the queues a little longer, kicks off, and interrupts once
 * for a row.
 *
 * A driver that waits for each answer has it at once: nothing is waited for
 * before a row was seen. Where none comes within the time that a driver was
 * seen to take from one request to the next, there is no more waiting for a
 * while.
 *
 * What a driver has not looked at yet is told by its used event, so one without
 * EVENT_IDX is interrupted as ever. All of it comes from the guest; what it
 * decides is when that is interrupted, and bounded by PATIENCE_NS_MAX at a
 * time.
 */
#define PATIENCE_NS_MAX 500000U

enum { PATIENCE_ROW_MAX = 16 };

struct patience {
	unsigned row;	    /* answers worth an interrupt, 0 as 1 */
	unsigned successes; /* in a row, of waits for one of that length */
	unsigned needed;    /* so many make it try a longer one */
	uint64_t gap_ns;    /* from one request to the next, as seen */
	uint64_t idle_ns;   /* when nothing was left, or 0 */
};

/* Queues may have work, as the driver says: before they are served. */
void patience_begin(struct patience *p, const struct virtio *v)
	REQUIRES(v->device.lock);

/*
 * All that queues have was served and published, with kicks off. Whether there
 * is more by now, waited for where that is worth it; else it is time for
 * virtio_notify(). Adds to *spent_ns what it has waited.
 */
bool patience_for_more(struct patience *p, struct virtio *v, uint64_t *spent_ns)
	REQUIRES(v->device.lock);
