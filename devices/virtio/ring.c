/*
 * The split virtqueue. Theory of operation.
 *
 * A queue is three areas in guest memory (virtio 1.2, 2.7):
 *
 *	descriptor table  size × {address, length, flags, next}   driver writes
 *	available ring    flags, idx, size × head, used_event      driver writes
 *	used ring         flags, idx, size × {head, length},       device writes
 *			  avail_event
 *
 * The driver describes a request as a chain of descriptors, writes the chain's
 * first index (its head) into the available ring and moves avail idx. We take
 * it, do the work, write {head, bytes written} into the used ring and move
 * used idx. size is a power of two.
 *
 * Indices. All four below count chains, run freely in 16 bits and are reduced
 * modulo size only to address a ring, so that b - a in 16 bits is the number
 * of entries in the half-open range [a, b):
 *
 *	[next_avail, avail idx)      offered, not taken: at most size, and a
 *	                             driver that claims more is broken
 *	[used idx, next_used)        put, not yet published
 *	[told_used, next_used)       published since we last thought about an
 *	                             interrupt
 *
 * in_flight is what was taken and not put. A sane driver never has more than
 * size chains with us, so in_flight == size and yet another chain is a fault;
 * it bounds what a device must remember.
 *
 * We never read what we own: used idx lives in next_used, and the copy in
 * guest memory is write-only.
 *
 * The driver is hostile and runs meanwhile. A descriptor is copied once, field
 * by field, and the copy is judged. A chain ends after at most size
 * descriptors, the indirect table's included, so loops need no detection. The
 * addresses of the rings are translated once, in vq_enable(), and guest memory
 * never moves, so they need no check later.
 *
 * Barriers (x86 hides most of them, aarch64 none):
 *
 *	avail idx read, then acquire, then heads and descriptors: what the
 *	driver wrote before it moved the index (2.7.13.3) must not be read
 *	from before.
 *
 *	used element written, then release, then used idx (2.7.8.2): the driver
 *	that sees the index must see the element and the data.
 *
 *	A full barrier wherever each side writes one word and then reads the
 *	other's (2.7.10): we publish used idx and read used_event or the avail
 *	flags, while the driver writes those and reads used idx. Without it
 *	both can miss the other's store and the queue sleeps for ever. The
 *	same the other way round in vq_enable_kicks().
 */
#include "devices/virtio/ring.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "vmm/base/le.h"
#include "vmm/base/log.h"

struct ring_desc {
	le64_t addr;
	le32_t len;
	le16_t flags;
	le16_t next;
};

struct ring_avail {
	le16_t flags;
	le16_t idx;
	le16_t ring[]; /* size heads, then used_event */
};

struct ring_used_elem {
	le32_t id;
	le32_t len;
};

struct ring_used {
	le16_t flags;
	le16_t idx;
	struct ring_used_elem ring[]; /* size elements, then avail_event */
};

enum {
	DESC_NEXT = 1,
	DESC_WRITE = 2,
	DESC_INDIRECT = 4,

	AVAIL_NO_INTERRUPT = 1,
	USED_NO_NOTIFY = 1,

	DESC_ALIGN = 16,
	AVAIL_ALIGN = 2,
	USED_ALIGN = 4,
};

/* 2.7.5.2: a chain is never longer than this. */
static const uint64_t chain_bytes_max = 1ULL << 32;

/* A descriptor's copy. */
struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

static struct desc desc_copy(const struct ring_desc *d)
{
	return (struct desc){
		.addr = le64_get(&d->addr),
		.len = le32_get(&d->len),
		.flags = le16_get(&d->flags),
		.next = le16_get(&d->next),
	};
}

static const le16_t *used_event(const struct vq *vq)
{
	return &vq->avail->ring[vq->size];
}

static le16_t *avail_event(const struct vq *vq)
{
	return (le16_t *)(void *)&vq->used->ring[vq->size];
}

/* One word of the used ring's, which only we write. */
static void put_used16(const struct vq *vq, le16_t *at, uint16_t value)
{
	le16_put(at, value);
	guest_mem_wrote(vq->mem, at, sizeof(*at));
}

void vq_init(struct vq *vq, uint16_t index, uint16_t max, const char *owner,
	     void (*faulted)(struct vq *vq), void *device)
{
	assert(max && max <= VQ_SIZE_MAX && !(max & (max - 1)));
	*vq = (struct vq){
		.owner = owner,
		.faulted = faulted,
		.device = device,
		.index = index,
		.max = max,
	};
}

void vq_reset(struct vq *vq)
{
	vq_disable(vq);
	vq->size = 0;
	vq->desc_gpa = 0;
	vq->avail_gpa = 0;
	vq->used_gpa = 0;
}

void vq_disable(struct vq *vq)
{
	vq->live = false;
	vq->ready = false;
	vq->desc = NULL;
	vq->avail = NULL;
	vq->used = NULL;
	vq->next_avail = 0;
	vq->seen_avail = 0;
	vq->next_used = 0;
	vq->told_used = 0;
	vq->in_flight = 0;
}

int vq_fault(struct vq *vq, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	vq->faults++;
	log_warn_limited("%s: queue %u: the guest's driver broke the rules: "
			 "%s; the device stops until it is reset",
			 vq->owner, vq->index, text);
	vq->live = false;
	vq->faulted(vq);
	return -EPROTO;
}

/* Translates one area of the queue, NULL where the driver gave nonsense. */
static void *area_at(const struct guest_mem *mem, uint64_t gpa, uint64_t bytes,
		     uint64_t align)
{
	if (gpa & (align - 1))
		return NULL;
	return guest_mem_at(mem, gpa, bytes);
}

static bool is_size_fine(const struct vq *vq)
{
	return vq->size && vq->size <= vq->max && !(vq->size & (vq->size - 1));
}

/* Translates all areas of a queue whose size is fine; all or none. */
static bool translate(struct vq *vq, const struct guest_mem *mem)
{
	const uint64_t n = vq->size;

	/* 2.7: sizes of the areas; the event words are always part of them. */
	vq->desc = area_at(mem, vq->desc_gpa, n * sizeof(struct ring_desc),
			   DESC_ALIGN);
	vq->avail =
		area_at(mem, vq->avail_gpa,
			sizeof(struct ring_avail) + (n + 1) * sizeof(le16_t),
			AVAIL_ALIGN);
	vq->used = area_at(mem, vq->used_gpa,
			   sizeof(struct ring_used) +
				   n * sizeof(struct ring_used_elem) +
				   sizeof(le16_t),
			   USED_ALIGN);
	if (vq->desc && vq->avail && vq->used)
		return true;
	vq->desc = NULL;
	vq->avail = NULL;
	vq->used = NULL;
	return false;
}

int vq_enable(struct vq *vq, const struct guest_mem *mem, bool event_idx,
	      bool indirect)
{
	vq_disable(vq);
	if (!is_size_fine(vq))
		return vq_fault(vq,
				"size %u is not a power of two of at most %u",
				vq->size, vq->max);
	if (!translate(vq, mem))
		return vq_fault(vq,
				"areas at %#" PRIx64 ", %#" PRIx64
				" and %#" PRIx64
				" are not aligned or not in memory",
				vq->desc_gpa, vq->avail_gpa, vq->used_gpa);
	vq->mem = mem;
	vq->event_idx = event_idx;
	vq->indirect = indirect;
	vq->ready = true;
	return 0;
}

/* Appends one buffer to the chain. */
static int chain_add(struct vq *vq, struct vq_chain *chain,
		     const struct desc *d)
{
	const bool writable = d->flags & DESC_WRITE;
	struct iov *run = writable ? &chain->writable : &chain->readable;
	void *hva;

	/* 2.7.4.2: everything the device writes comes last. */
	if (!writable && chain->writable.count)
		return vq_fault(vq, "a readable buffer after a writable one");
	if (chain->readable.bytes + chain->writable.bytes + d->len >
	    chain_bytes_max)
		return vq_fault(vq, "a chain of more than 4 GiB");
	/* An empty buffer has no address worth having; this refuses it too. */
	hva = guest_mem_at(vq->mem, d->addr, d->len);
	if (!hva)
		return vq_fault(
			vq, "a buffer of %u bytes at %#" PRIx64 ": not memory",
			d->len, d->addr);
	/* It may be written to until it is put back. */
	if (writable)
		guest_mem_wrote(vq->mem, hva, d->len);
	if (writable && !run->count)
		run->at = &chain->iov[chain->readable.count];
	run->at[run->count++] = (struct iovec){
		.iov_base = hva,
		.iov_len = d->len,
	};
	run->bytes += d->len;
	return 0;
}

/*
 * 2.7.5.3: any number of ordinary descriptors, then at most one that refers to
 * a table; there the chain goes on and ends. Its write-only flag means nothing.
 */
static const struct ring_desc *
indirect_table(struct vq *vq, const struct desc *d, uint32_t *entries)
{
	const struct ring_desc *table;

	if (!vq->indirect) {
		vq_fault(vq, "an indirect descriptor, not negotiated");
		return NULL;
	}
	if (d->flags & DESC_NEXT) {
		vq_fault(vq, "an indirect descriptor that goes on");
		return NULL;
	}
	if (d->len == 0 || d->len % sizeof(struct ring_desc)) {
		vq_fault(vq, "an indirect table of %u bytes", d->len);
		return NULL;
	}
	/* Its fields are loaded whole, so the table must be aligned for us. */
	table = area_at(vq->mem, d->addr, d->len, _Alignof(struct ring_desc));
	if (!table) {
		vq_fault(vq,
			 "an indirect table of %u bytes at %#" PRIx64
			 ": not memory, or not aligned",
			 d->len, d->addr);
		return NULL;
	}
	*entries = d->len / (uint32_t)sizeof(struct ring_desc);
	return table;
}

static int chain_walk(struct vq *vq, struct vq_chain *chain, uint16_t head)
{
	const struct ring_desc *table = vq->desc;
	uint32_t entries = vq->size;
	uint32_t at = head;
	uint32_t count = 0;
	bool inside = false;
	struct desc d;
	int rc;

	for (;;) {
		d = desc_copy(&table[at]);
		if (d.flags & DESC_INDIRECT) {
			if (inside)
				return vq_fault(vq, "a table inside a table");
			table = indirect_table(vq, &d, &entries);
			if (!table)
				return -EPROTO;
			inside = true;
			at = 0;
			continue;
		}
		if (++count > vq->size)
			return vq_fault(vq, "a chain longer than the queue");
		rc = chain_add(vq, chain, &d);
		if (rc)
			return rc;
		if (!(d.flags & DESC_NEXT))
			return 0;
		if (d.next >= entries)
			return vq_fault(vq, "descriptor %u of %u", d.next,
					entries);
		at = d.next;
	}
}

/* How many chains are offered; -EPROTO where the driver's index is absurd. */
static int chains_offered(struct vq *vq)
{
	uint16_t n;

	if (!vq->live)
		return 0;
	if (vq->next_avail == vq->seen_avail) {
		vq->seen_avail = le16_get(&vq->avail->idx);
		atomic_thread_fence(memory_order_acquire);
	}
	n = (uint16_t)(vq->seen_avail - vq->next_avail);
	if (n > vq->size)
		return vq_fault(vq, "%u chains in a queue of %u", n, vq->size);
	return n;
}

bool vq_has_work(struct vq *vq)
{
	return chains_offered(vq) > 0;
}

int vq_pop(struct vq *vq, struct vq_chain *chain)
{
	uint16_t head;
	int rc;

	rc = chains_offered(vq);
	if (rc <= 0)
		return rc;
	if (vq->in_flight >= vq->size)
		return vq_fault(vq, "more chains in flight than it can hold");
	head = le16_get(&vq->avail->ring[vq->next_avail & (vq->size - 1)]);
	if (head >= vq->size)
		return vq_fault(vq, "chain head %u", head);
	chain->head = head;
	chain->readable = (struct iov){.at = chain->iov};
	chain->writable = (struct iov){.at = chain->iov};
	rc = chain_walk(vq, chain, head);
	if (rc)
		return rc;
	vq->next_avail++;
	vq->in_flight++;
	vq->chains++;
	return 1;
}

void vq_unpop(struct vq *vq)
{
	if (!vq->live)
		return;
	assert(vq->in_flight > 0);
	vq->next_avail--;
	vq->in_flight--;
	vq->chains--;
}

void vq_put(struct vq *vq, uint16_t head, uint32_t written)
{
	struct ring_used_elem *elem;

	if (!vq->live)
		return;
	assert(vq->in_flight > 0);
	elem = &vq->used->ring[vq->next_used & (vq->size - 1)];
	le32_put(&elem->id, head);
	le32_put(&elem->len, written);
	guest_mem_wrote(vq->mem, elem, sizeof(*elem));
	vq->next_used++;
	vq->in_flight--;
}

void vq_publish(struct vq *vq)
{
	if (!vq->live)
		return;
	atomic_thread_fence(memory_order_release);
	put_used16(vq, &vq->used->idx, vq->next_used);
}

void vq_push(struct vq *vq, uint16_t head, uint32_t written)
{
	vq_put(vq, head, written);
	vq_publish(vq);
}

/*
 * 2.7.7.2: an interrupt when the entry at used_event was among those that were
 * put from old on.
 */
static bool is_event_among(const struct vq *vq, uint16_t event, uint16_t old)
{
	return (uint16_t)(vq->next_used - event - 1) <
	       (uint16_t)(vq->next_used - old);
}

bool vq_must_notify(struct vq *vq)
{
	const uint16_t old = vq->told_used;

	if (!vq->live || old == vq->next_used)
		return false;
	vq->told_used = vq->next_used;
	atomic_thread_fence(memory_order_seq_cst);
	/* 2.7.7.2: with EVENT_IDX the flags mean nothing. */
	if (!vq->event_idx)
		return !(le16_get(&vq->avail->flags) & AVAIL_NO_INTERRUPT);
	return is_event_among(vq, le16_get(used_event(vq)), old);
}

uint16_t vq_unseen(const struct vq *vq)
{
	uint16_t event;

	if (!vq->live || !vq->event_idx || vq->told_used == vq->next_used)
		return 0;
	event = le16_get(used_event(vq));
	if (!is_event_among(vq, event, vq->told_used))
		return 0;
	return (uint16_t)(vq->next_used - event);
}

uint16_t vq_under_way(const struct vq *vq)
{
	if (!vq->live || !vq->event_idx)
		return 0;
	return (uint16_t)(le16_get(&vq->avail->idx) - le16_get(used_event(vq)));
}

void vq_disable_kicks(struct vq *vq)
{
	/*
	 * With EVENT_IDX there is nothing to do: the driver kicks only when it
	 * passes avail_event, which stays behind until vq_enable_kicks().
	 */
	if (vq->live && !vq->event_idx)
		put_used16(vq, &vq->used->flags, USED_NO_NOTIFY);
}

bool vq_enable_kicks(struct vq *vq)
{
	if (!vq->live)
		return false;
	if (vq->event_idx)
		put_used16(vq, avail_event(vq), vq->next_avail);
	else
		put_used16(vq, &vq->used->flags, 0);
	atomic_thread_fence(memory_order_seq_cst);
	return le16_get(&vq->avail->idx) != vq->next_avail;
}

void vq_await_offer(struct vq *vq)
{
	if (vq->event_idx)
		put_used16(vq, avail_event(vq), le16_get(&vq->avail->idx));
	else
		put_used16(vq, &vq->used->flags, 0);
	atomic_thread_fence(memory_order_seq_cst);
}

uint16_t vq_offered(const struct vq *vq)
{
	return le16_get(&vq->avail->idx);
}

/* ---- saved state -------------------------------------------------------- */

/* What the driver wrote; ready says whether it is judged. */
static bool visit_setup(struct vq *vq, struct visitor *w,
			const struct vq_context *to)
{
	bool is_ready = vq->ready;

	visit_u32(w, &vq->size);
	visit_u64(w, &vq->desc_gpa);
	visit_u64(w, &vq->avail_gpa);
	visit_u64(w, &vq->used_gpa);
	visit_bool(w, &is_ready);
	if (!w->is_loading || w->rc || !is_ready)
		return is_ready && !w->rc;
	if (!visit_check(w, is_size_fine(vq),
			 "queue %u has %u entries, not a power of two of at "
			 "most %u",
			 vq->index, vq->size, vq->max) ||
	    !visit_check(w, translate(vq, to->mem),
			 "the areas of queue %u at %#" PRIx64 ", %#" PRIx64
			 " and %#" PRIx64 " are not aligned or not in memory",
			 vq->index, vq->desc_gpa, vq->avail_gpa, vq->used_gpa))
		return false;
	vq->mem = to->mem;
	vq->event_idx = to->event_idx;
	vq->indirect = to->indirect;
	vq->ready = true;
	return true;
}

/*
 * With nothing in flight all that was taken was put, so one index says both.
 * What the driver's own indices are in guest memory is not looked at: a driver
 * that broke them is found out when its queue is served, like any other, and
 * can't have its machine refused.
 */
static void visit_indices(struct vq *vq, struct visitor *w)
{
	if (vq->in_flight)
		visit_fail(w, -EBUSY, "queue %u has %u requests in flight",
			   vq->index, vq->in_flight);
	visit_u16(w, &vq->next_used);
	visit_u16(w, &vq->told_used);
	if (!w->is_loading)
		return;
	visit_check(w, (uint16_t)(vq->next_used - vq->told_used) <= vq->size,
		    "queue %u of %u entries was at %u and told of %u",
		    vq->index, vq->size, vq->next_used, vq->told_used);
	vq->next_avail = vq->next_used;
	vq->seen_avail = vq->next_used;
}

void vq_visit(struct vq *vq, struct visitor *w, const struct vq_context *to)
{
	if (visit_setup(vq, w, to) && to->is_up)
		visit_indices(vq, w);
}
