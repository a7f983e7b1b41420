/*
 * How requests go: from the queues through the parser and the limiter to an
 * engine, and back. docs/request.md follows one.
 *
 * What the page cache has is read on the spot. All else goes to somebody who
 * may wait for the disk: io_uring with io_engine Async, the drive's own thread
 * with Sync, and for what is asked of file systems rather than disks (discard,
 * zeroes). So nothing here waits.
 *
 * Queues share limiter, slots and the loop thread's patience, and are served
 * in turns (turn.h).
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/epoll.h>

#include "devices/block_device.h"
#include "vmm/base/container.h"
#include "vmm/base/log.h"

/*
 * A turn in the loop thread ends after this much work, so that other devices
 * and the API get theirs: a request costs 1, and 1 more for each 64 KiB, moved
 * or not, and so do 16 us of waiting for the next one. Of it, a queue has SHARE
 * and then the next its own.
 */
enum { TURN = 64, SHARE = 8, COST_BYTES = 64 << 10, COST_NS = 16000 };

/* More bytes than that are in flight only as one request. */
enum { BYTES_IN_FLIGHT_MAX = 32 << 20 };

/* A longer read takes too long to copy, even out of the page cache. */
enum { CACHED_BYTES_MAX = 1 << 20 };

/* After a read that the page cache didn't have, so many don't ask it. */
enum { CACHE_MISS_PAUSE = 32 };

static struct block *block_of(struct virtio *v)
{
	return (struct block *)v;
}

static unsigned in_flight(const struct block *b)
{
	return b->async.in_flight + b->worker.in_flight;
}

/* ---- the end of a request -------------------------------------------------
 */

static void count(struct block *b, const struct block_request *r)
{
	struct block_counts *c = &b->counts;

	if (r->status != BLOCK_OK) {
		c->failed++;
		return;
	}
	switch (r->op) {
	case BLOCK_READ:
		c->read_count++;
		c->read_bytes += r->bytes;
		break;
	case BLOCK_WRITE:
		c->write_count++;
		c->write_bytes += r->bytes;
		break;
	case BLOCK_FLUSH:
		c->flush_count++;
		break;
	case BLOCK_NOTHING:
		break;
	default:
		c->discard_count++;
	}
}

static void finish(struct block *b, struct block_request *r, int rc)
{
	static const char *const words[BLOCK_OPS] = {
		[BLOCK_READ] = "read",	     [BLOCK_WRITE] = "write",
		[BLOCK_FLUSH] = "flush",     [BLOCK_DISCARD] = "discard",
		[BLOCK_ZERO] = "zero-write", [BLOCK_ZERO_UNMAP] = "zero-write",
	};

	if (rc && rc != -ECANCELED)
		log_warn_limited("drive %s: a %s failed: %s", b->id,
				 words[r->op], strerror(-rc));
	block_request_finish(r, rc);
	count(b, r);
	b->answered |= 1U << r->vq->index;
	r->next = b->free_slots;
	b->free_slots = r;
}

/* What the driver may rely on without asking for it by a flush. */
static bool must_flush(const struct block *b, const struct block_request *r)
{
	/* 5.2.6.2: to a driver without FLUSH we are a write-through disk. */
	return r->op == BLOCK_WRITE && b->is_writeback &&
	       !virtio_has(&b->virtio, BLK_F_FLUSH);
}

/* An engine is done with r. */
static void ended(struct block *b, struct block_request *r, int rc)
{
	b->bytes_in_flight -= r->bytes;
	finish(b, r, rc);
}

static void async_done(void *owner, struct block_request *r, int rc)
{
	struct block *b = owner;

	if (!rc && r->syncs) {
		b->counts.write_count++;
		b->counts.write_bytes += r->bytes;
		r->syncs = false;
		r->op = BLOCK_FLUSH;
		block_async_begin(&b->async, r);
		return;
	}
	ended(b, r, rc);
}

/* Shows the driver what was answered since the last call. */
static void show(struct block *b) REQUIRES(b->virtio.device.lock)
{
	unsigned i;

	b->untold |= b->answered;
	for (i = 0; b->answered; i++) {
		if (b->answered & 1U << i)
			vq_publish(&b->virtio.queues[i]);
		b->answered &= ~(1U << i);
	}
}

/* The same, and interrupts it for what was shown where it wants to know. */
static void publish(struct block *b) REQUIRES(b->virtio.device.lock)
{
	unsigned i;

	show(b);
	for (i = 0; b->untold; i++) {
		if (b->untold & 1U << i)
			virtio_notify(&b->virtio, &b->virtio.queues[i]);
		b->untold &= ~(1U << i);
	}
}

/* Whether somebody waits for the end of what is in flight. */
static bool is_awaited(const struct block *b)
{
	return b->is_starved || b->has_next || b->virtio.is_draining;
}

static int carry_out(struct block *b, struct block_request *r)
{
	int rc;

	if (b->overlay)
		return block_overlay_perform(b->overlay, r);
	rc = block_request_perform(r, &b->file);
	if (!rc && r->syncs)
		rc = block_file_flush(&b->file);
	return rc;
}

static int worker_perform(struct device *d, struct worker_job *j)
{
	return carry_out((struct block *)d,
			 container_of(j, struct block_request, job));
}

/* The driver hears of it from here; the rest is the loop thread's. */
static void worker_done(struct device *d, struct worker_job *j, int rc)
{
	struct block *b = (struct block *)d;

	mutex_held(&b->virtio.device.lock);
	ended(b, container_of(j, struct block_request, job), rc);
	publish(b);
	if (is_awaited(b))
		virtio_kick_again(&b->virtio);
}

static const struct worker_ops disk_ops = {
	.thread = "disk",
	.perform = worker_perform,
	.done = worker_done,
};

/* ---- the engines ----------------------------------------------------------
 */

static void ring_ready(struct loop_watch *w, uint32_t events);

/*
 * The first request makes the ring: a drive that is never used costs none, and
 * no start waits for one.
 */
static void open_ring(struct block *b)
{
	struct loop *loop = b->virtio.device.host->loop;
	struct uring *ring = &b->async.uring;
	struct err e;

	b->async.done = async_done;
	b->async.owner = b;
	if (!block_async_open(&b->async, &b->file, BLOCK_DEPTH, &e)) {
		ring->watch.ready = ring_ready;
		if (!loop_add(loop, &ring->watch, ring->ring.ring_fd, EPOLLIN,
			      &e))
			return;
		block_async_close(&b->async);
	}
	b->engine = BLOCK_SYNC;
	log_warn("drive %s: %s; its requests are served one by one, as by "
		 "io_engine Sync",
		 b->id, e.text);
}

static void close_ring(struct block *b)
{
	if (!b->async.uring.is_open)
		return;
	loop_delete(b->virtio.device.host->loop, &b->async.uring.watch);
	block_async_close(&b->async);
}

void block_close_engines(struct block *b)
{
	worker_stop(&b->worker);
	close_ring(b);
}

/*
 * Reads what is in the page cache without io_uring, which costs more than a
 * system call of one's own saves. Where it is not there, the next reads are not
 * tried. True if r is done; else what is left of it is to be read.
 */
static bool read_cached(struct block *b, struct block_request *r)
{
	const size_t before = r->data.bytes;
	int rc;

	if (before > CACHED_BYTES_MAX)
		return false;
	if (b->cache_misses) {
		b->cache_misses--;
		return false;
	}
	if (b->overlay)
		rc = block_overlay_read_cached(b->overlay, &r->data, r->offset);
	else
		rc = block_file_read_cached(&b->file, &r->data, r->offset);
	if (!rc) {
		finish(b, r, 0);
		return true;
	}
	r->offset += before - r->data.bytes;
	b->cache_misses = rc == -EOPNOTSUPP ? UINT_MAX : CACHE_MISS_PAUSE;
	return false;
}

static bool is_for_worker(const struct block *b, const struct block_request *r)
{
	return b->engine == BLOCK_SYNC || r->length;
}

/* Where there can be no thread, the loop's own has to wait. */
static void perform_here(struct block *b, struct block_request *r, int why)
{
	int rc;

	log_warn_limited("drive %s: no thread to wait for the disk: %s; "
			 "everything waits for it now",
			 b->id, strerror(-why));
	rc = carry_out(b, r);
	finish(b, r, rc);
}

static void perform(struct block *b, struct block_request *r)
	REQUIRES(b->virtio.device.lock)
{
	int rc;

	/* Without Writeback nobody was promised anything. */
	if (r->op == BLOCK_NOTHING ||
	    (r->op == BLOCK_FLUSH && !b->is_writeback)) {
		finish(b, r, 0);
		return;
	}
	if (r->op == BLOCK_READ && read_cached(b, r))
		return;
	r->syncs = must_flush(b, r);
	if (b->engine == BLOCK_ASYNC && !r->length && !b->async.uring.is_open)
		open_ring(b);
	if (!is_for_worker(b, r)) {
		b->bytes_in_flight += r->bytes;
		block_async_begin(&b->async, r);
		return;
	}
	b->file.is_hurried = false;
	rc = worker_add(&b->worker, &r->job);
	if (rc)
		perform_here(b, r, rc);
	else
		b->bytes_in_flight += r->bytes;
}

/* ---- a turn ---------------------------------------------------------------
 */

/* Why no more was taken from a queue. */
enum taken {
	TAKEN_ALL,     /* nothing more is there */
	TAKEN_ENOUGH,  /* others have their turn */
	TAKEN_BLOCKED, /* by the limiter, or by what is in flight */
	TAKEN_FAULT,
};

static bool is_full(const struct block *b)
{
	return (!b->free_slots && b->slots_used == BLOCK_DEPTH) ||
	       b->bytes_in_flight >= BYTES_IN_FLIGHT_MAX;
}

static enum taken take_one(struct block *b, struct vq *vq, size_t *spent)
	REQUIRES(b->virtio.device.lock)
{
	struct block_request *r;
	uint64_t bytes;
	int n;

	if (is_full(b)) {
		b->is_starved = true;
		return TAKEN_BLOCKED;
	}
	/* One that was never used is a page of memory that nobody has yet. */
	r = b->free_slots ? b->free_slots : &b->slots[b->slots_used];
	n = vq_pop(vq, &r->chain);
	if (n <= 0)
		return n ? TAKEN_FAULT : TAKEN_ALL;
	r->vq = vq;
	if (block_request_parse(r, &b->disk))
		return TAKEN_FAULT;
	/* A range costs what it would cost to move it. */
	bytes = r->bytes + r->length;
	if (!limiter_take(&b->limiter, bytes)) {
		vq_unpop(vq);
		return TAKEN_BLOCKED;
	}
	if (r == b->free_slots)
		b->free_slots = r->next;
	else
		b->slots_used++;
	*spent += 1 + (size_t)(bytes / COST_BYTES);
	perform(b, r);
	return TAKEN_ENOUGH;
}

/* A queue's share. */
static enum taken take(struct block *b, struct vq *vq, size_t *spent)
	REQUIRES(b->virtio.device.lock)
{
	const size_t end = *spent + SHARE;
	enum taken how = TAKEN_ENOUGH;

	if (!vq->live)
		return TAKEN_ALL;
	vq_disable_kicks(vq);
	while (*spent < TURN && *spent < end && how == TAKEN_ENOUGH)
		how = take_one(b, vq, spent);
	return how;
}

/* Before a rest; true where one has got something meanwhile. */
static bool enable_kicks(struct block *b)
{
	bool has_more = false;
	unsigned i;

	for (i = 0; i < b->virtio.queue_count; i++)
		has_more |= vq_enable_kicks(&b->virtio.queues[i]);
	return has_more;
}

/* Gives the engine what it got, and the driver what was done by that. */
static void settle(struct block *b) REQUIRES(b->virtio.device.lock)
{
	if (b->async.unsent && !block_async_send(&b->async))
		virtio_kick_again(&b->virtio);
	show(b);
}

/* Whether the driver has asked for more, waited for as it deserves. */
static bool has_more(struct block *b, size_t *spent)
	REQUIRES(b->virtio.device.lock)
{
	uint64_t ns = 0;
	bool more = patience_for_more(&b->patience, &b->virtio, &ns);

	*spent += (size_t)(ns / COST_NS);
	return more;
}

/* Serves queues in their turns until all are empty, or why it ended. */
static enum taken serve_in_turns(struct block *b, size_t *spent)
	REQUIRES(b->virtio.device.lock)
{
	const unsigned count = b->virtio.queue_count;
	unsigned idle = 0, at;
	enum taken how;
	size_t before;

	while (*spent < TURN) {
		at = turn_at(&b->turn, 0, count);
		before = *spent;
		how = take(b, &b->virtio.queues[at], spent);
		if (how == TAKEN_BLOCKED) {
			turn_ends(&b->turn, at, *spent > before, count);
			return how;
		}
		turn_ends(&b->turn, at, true, count);
		idle = how == TAKEN_ENOUGH ? 0 : idle + 1;
		if (idle == count)
			return TAKEN_ALL;
	}
	return TAKEN_ENOUGH;
}

void block_serve(struct virtio *v)
{
	struct block *b = block_of(v);
	size_t spent = 0;
	enum taken how;

	mutex_held(&b->virtio.device.lock);
	block_exchange(b);
	if (b->virtio.is_draining || b->virtio.is_held || b->has_next)
		return;
	patience_begin(&b->patience, v);
	do {
		b->is_starved = false;
		how = serve_in_turns(b, &spent);
		settle(b);
		/* What was done within the call has made room. */
		if (how == TAKEN_BLOCKED && b->is_starved && !is_full(b))
			how = TAKEN_ENOUGH;
		if (how == TAKEN_ALL && has_more(b, &spent)) {
			how = TAKEN_ENOUGH;
		} else {
			publish(b);
			/* What came while we submitted needs no kick. */
			if (how == TAKEN_ALL && enable_kicks(b))
				how = TAKEN_ENOUGH;
		}
		/* A round counts too: the driver may take offers back. */
	} while (how == TAKEN_ENOUGH && spent++ < TURN);
	/* The turn may have ended when there was more to come. */
	publish(b);
	if (how == TAKEN_ENOUGH)
		virtio_kick_again(v);
}

/* io_uring is done with something. */
static void ring_ready(struct loop_watch *w, uint32_t events)
{
	struct block *b = container_of(w, struct block, async.uring.watch);

	(void)events;
	mutex_lock(&b->virtio.device.lock);
	block_async_reap(&b->async);
	if (!block_async_send(&b->async))
		virtio_kick_again(&b->virtio);
	publish(b);
	/* A file that is exchanged takes its ring along: not in here. */
	if (b->virtio.is_draining || b->has_next)
		virtio_kick_again(&b->virtio);
	else if (b->is_starved)
		block_serve(&b->virtio);
	mutex_unlock(&b->virtio.device.lock);
}

static void limiter_ready(struct limiter *l)
{
	struct block *b = container_of(l, struct block, limiter);

	mutex_lock(&b->virtio.device.lock);
	block_serve(&b->virtio);
	mutex_unlock(&b->virtio.device.lock);
}

void block_turn_init(struct block *b)
{
	worker_init(&b->worker, &disk_ops, &b->virtio.device);
	b->limiter.ready = limiter_ready;
}

/* ---- ends -----------------------------------------------------------------
 */

bool block_quiesce(struct virtio *v)
{
	struct block *b = block_of(v);

	mutex_held(&b->virtio.device.lock);
	/* Nobody wants to know how it ended. */
	if (v->is_resetting || v->is_stopping) {
		b->file.is_hurried = true;
		worker_cancel(&b->worker);
	}
	/* The first look is a vCPU's; what follows comes from the loop. */
	if (b->async.uring.is_open && (v->is_draining || v->is_stopping)) {
		block_async_reap(&b->async);
		(void)block_async_send(&b->async);
	}
	publish(b);
	return !in_flight(b);
}

void block_exchange(struct block *b)
{
	if (!b->has_next || in_flight(b))
		return;
	close_ring(b);
	block_file_close(&b->file);
	b->cache_misses = 0;
	b->file = b->next;
	b->has_next = false;
	b->disk.size = b->file.size;
	virtio_config_changed(&b->virtio);
	virtio_kick_again(&b->virtio);
}
