#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "devices/virtio/iov.h"
#include "vmm/mem/guest_mem.h"
#include "vmm/state/visit.h"

/*
 * A split virtqueue, device side (virtio 1.2, 2.7). ring.c opens with how it
 * works; it is the only file that touches ring memory.
 *
 * All functions: with the device's lock held.
 */
enum { VQ_SIZE_MAX = 256 };

struct ring_desc;
struct ring_avail;
struct ring_used;

struct vq {
	/* Set once, by vq_init(). */
	const char *owner; /* borrowed: the device's id, for messages */
	void (*faulted)(struct vq *vq); /* the device stops, by vq_fault() */
	void *device;			/* borrowed: argument for faulted */
	uint16_t index;
	uint16_t max; /* a power of two, at most VQ_SIZE_MAX */

	/* What the driver wrote, unchecked. Frozen while ready. */
	uint32_t size;
	uint64_t desc_gpa;
	uint64_t avail_gpa;
	uint64_t used_gpa;

	/* The above was checked and translated, by vq_enable(). */
	bool ready;
	/* The driver is up and well. Only now is ring memory touched. */
	bool live;
	bool event_idx;			/* negotiated */
	bool indirect;			/* negotiated */
	const struct guest_mem *mem;	/* borrowed: machine */
	const struct ring_desc *desc;	/* guest-shared */
	const struct ring_avail *avail; /* guest-shared */
	struct ring_used *used;		/* guest-shared */

	uint16_t next_avail; /* the chain vq_pop() takes next */
	uint16_t seen_avail; /* the driver's index when we last looked */
	uint16_t next_used;  /* where vq_put() writes next */
	uint16_t told_used;  /* next_used at the last vq_must_notify() */
	uint16_t in_flight;  /* chains taken and not yet put back */

	uint64_t chains; /* taken since the device was made */
	uint64_t faults;
};

/*
 * One request of the driver, copied out of the descriptor tables and checked:
 * every segment is guest memory, none is empty, what the device reads comes
 * before what it writes. Not to be copied: the runs point into iov.
 */
struct vq_chain {
	uint16_t head;
	struct iov readable; /* from the driver */
	struct iov writable; /* for the driver */
	struct iovec iov[VQ_SIZE_MAX];
};

/* Makes the queue of a device; max is a power of two. */
void vq_init(struct vq *vq, uint16_t index, uint16_t max, const char *owner,
	     void (*faulted)(struct vq *vq), void *device);

/* Back to power-on. Forgets what is in flight, which the caller has ended. */
void vq_reset(struct vq *vq);

/*
 * Checks and translates what the driver wrote: size a power of two and at most
 * max, the three areas aligned and in memory. On success the queue is ready
 * and starts at index 0. Otherwise a fault: -EPROTO.
 */
int vq_enable(struct vq *vq, const struct guest_mem *mem, bool event_idx,
	      bool indirect);

/* No more access to ring memory. The driver may set the queue up anew. */
void vq_disable(struct vq *vq);

/*
 * Takes the next chain. Returns 1, 0 where there is none (or the queue isn't
 * live), or -EPROTO after a fault.
 */
int vq_pop(struct vq *vq, struct vq_chain *chain);

/*
 * Undoes the last vq_pop(). Once more undoes the one before, and so on through
 * all that was taken and not put, as long as what was put was the oldest.
 */
void vq_unpop(struct vq *vq);

/* Whether vq_pop() would find something. */
bool vq_has_work(struct vq *vq);

/*
 * Gives a chain back with the number of bytes written to it, and lets the
 * driver see it. Does nothing where the queue is no longer live.
 */
void vq_push(struct vq *vq, uint16_t head, uint32_t written);

/*
 * The two halves of vq_push(), for several chains that the driver must see at
 * once (virtio-net's merged buffers) or may see together.
 */
void vq_put(struct vq *vq, uint16_t head, uint32_t written);
void vq_publish(struct vq *vq);

/*
 * Whether the driver wants an interrupt for what was published since the last
 * call. Ask once after a batch.
 */
bool vq_must_notify(struct vq *vq);

/*
 * How many answers, all published, vq_must_notify() would interrupt for: those
 * from the one that the driver waits for. 0 where it would not, and without
 * EVENT_IDX, for then no driver says what it waits for.
 */
uint16_t vq_unseen(const struct vq *vq);

/*
 * How many chains the driver has offered beyond the answers it has looked at,
 * as it says; 0 without EVENT_IDX.
 */
uint16_t vq_under_way(const struct vq *vq);

/*
 * Kicks are notifications from the driver. Without them while we look at the
 * queue anyway; before going to sleep ask for them again and, where this
 * returns true, take what came in between:
 *
 *	do {
 *		vq_disable_kicks(vq);
 *		while ((n = vq_pop(vq, chain)) > 0)
 *			…
 *	} while (n == 0 && vq_enable_kicks(vq));
 *
 * and bound that loop, for the driver can keep it going for ever.
 */
void vq_disable_kicks(struct vq *vq);
bool vq_enable_kicks(struct vq *vq);

/*
 * Asks for a kick when the driver offers more than it has by now, however much
 * of that was taken; vq_offered() is how much it has offered ever, modulo 2^16.
 * For a queue whose buffers lie ready for what seldom comes. The queue is live.
 */
void vq_await_offer(struct vq *vq);
uint16_t vq_offered(const struct vq *vq);

/* What a queue is loaded into. */
struct vq_context {
	const struct guest_mem *mem;
	bool event_idx; /* negotiated */
	bool indirect;	/* negotiated */
	bool is_up;	/* the driver is up and well: ready is live */
};

/*
 * Walks the queue for saving and loading; nothing may be in flight. Loading,
 * the queue was reset, and is judged as by vq_enable(); then it is ready, and
 * goes on where it was as soon as the caller says that it is live.
 */
void vq_visit(struct vq *vq, struct visitor *w, const struct vq_context *to);

/*
 * The driver broke the rules: counts, logs, stops the device until it is reset
 * (DEVICE_NEEDS_RESET). Returns -EPROTO, so that a function can end with it.
 */
int vq_fault(struct vq *vq, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
