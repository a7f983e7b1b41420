#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/ring.h"
#include "vmm/event/loop.h"

/*
 * Interrupts that can wait for others. What a driver sends needs no answer: it
 * only gets its buffers back, and most often the interrupt for what it receives
 * next has it look at all queues. So it is not told of them at once; if within
 * the time that usually passes no other interrupt has come, it is after all,
 * and where that happens again and again there is no waiting for a while.
 *
 * A driver that waits for its buffers thus waits LATER_NS_MAX once in so many
 * times; LATER_ROW_MAX of them are never kept from it.
 *
 * All functions: in the loop thread, with the device's lock held.
 */
#define LATER_NS_MAX 1000000U

enum { LATER_ROW_MAX = 16 };

struct later {
	struct loop_timer timer; /* fire is its owner's */
	uint32_t queues;	 /* whose driver is to be told, by index */
	uint64_t begin_ns;	 /* since when */
	uint64_t usual_ns;	 /* until another interrupt came */
	unsigned failures;	 /* in a row */
	unsigned skips;		 /* so many more are told at once */
};

/*
 * Whether the driver's interrupt for what was published to vq can wait, and
 * then remembers it; else it is time for it.
 */
bool later_put_off(struct later *l, struct loop *loop, const struct vq *vq);

/* The timer has fired: whether what waits is to be told now. */
bool later_is_due(struct later *l, struct loop *loop);

/* The driver was interrupted, and looks at all queues. */
void later_told(struct later *l, struct vq *queues);
