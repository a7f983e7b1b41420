/*
 * virtio-block (virtio 1.2, 5.2). A request goes from the queue through the
 * parser (block_request.c) and the limiter to the engine, and back:
 *
 *	Sync	the loop thread carries it out on the spot;
 *	Async	io_uring does (block_async.c), many at a time.
 *
 * What the guest asks wrongly within a well-formed request (a sector past the
 * end, a write to a read-only disk) fails that request; what it builds wrongly
 * faults the queue.
 *
 * Requests live in slots of the device. With all of them in flight the queue is
 * left alone, its kicks disabled, until one is done; likewise while the limiter
 * says no. Before a reset everything in flight is waited for, so a completion
 * never finds its queue or its memory gone.
 */
#include "devices/block.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "devices/block_async.h"
#include "devices/block_file.h"
#include "devices/block_request.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/ring.h"
#include "devices/virtio/virtio.h"
#include "vmm/base/container.h"
#include "vmm/base/le.h"
#include "vmm/base/log.h"
#include "vmm/base/passed.h"

enum { SECTOR = 512, DEVICE_ID_BLOCK = 2 };

#define BLK_F_SIZE_MAX	   (1ULL << 1)
#define BLK_F_SEG_MAX	   (1ULL << 2)
#define BLK_F_RO	   (1ULL << 5)
#define BLK_F_FLUSH	   (1ULL << 9)
#define BLK_F_MQ	   (1ULL << 12)
#define BLK_F_DISCARD	   (1ULL << 13)
#define BLK_F_WRITE_ZEROES (1ULL << 14)

/*
 * A turn in the loop thread ends after this much work, so that other devices
 * and the API get theirs: a request costs 1, and 1 more for each 64 KiB.
 */
enum { TURN = 64, COST_BYTES = 64 << 10 };

/*
 * How much may be in flight by io_uring: a reset waits for all of it. More
 * bytes than that only as one request.
 */
enum { DEPTH = 128, BYTES_IN_FLIGHT_MAX = 32 << 20 };

/* After a read that the page cache didn't have, so many don't ask it. */
enum { CACHE_MISS_PAUSE = 32 };

/* struct virtio_blk_config (5.2.4). */
struct block_layout {
	le64_t capacity; /* in sectors */
	le32_t size_max;
	le32_t seg_max;
	uint8_t geometry_topology_cache[18]; /* features we don't offer */
	le16_t num_queues;
	le32_t max_discard_sectors;
	le32_t max_discard_seg;
	le32_t discard_sector_alignment;
	le32_t max_write_zeroes_sectors;
	le32_t max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap;
	uint8_t unused[3];
};

struct block_counts {
	uint64_t read_count, read_bytes;
	uint64_t write_count, write_bytes;
	uint64_t flush_count, discard_count;
	uint64_t failed; /* answered with another status than OK */
};

struct block {
	struct virtio virtio; /* first */
	struct block_file file;
	struct block_disk disk;
	char *id;   /* owned */
	char *path; /* owned */
	bool is_writeback;
	enum block_engine engine;
	struct block_async async; /* its ring is made with the first request */
	struct limiter limiter;
	struct block_request *slots; /* owned */
	struct block_request *free_slots;
	size_t bytes_in_flight;
	unsigned cache_misses; /* reads left that don't ask the page cache */
	bool is_starved;       /* a queue waits for what is in flight */
	uint32_t answered;     /* queues to publish, by index */
	struct block_counts counts;
};

static struct block *block_of(struct virtio *v)
{
	return (struct block *)v;
}

static void block_config_read(struct virtio *v, uint64_t offset, void *data,
			      uint32_t len)
{
	const struct block *b = block_of(v);
	struct block_layout layout = {0};

	le64_put(&layout.capacity, b->file.size / SECTOR);
	le32_put(&layout.size_max, BLOCK_SEGMENT_BYTES_MAX);
	le32_put(&layout.seg_max, BLOCK_SEGMENTS_MAX);
	le16_put(&layout.num_queues, (uint16_t)v->queue_count);
	le32_put(&layout.max_discard_sectors, BLOCK_DISCARD_SECTORS_MAX);
	le32_put(&layout.max_discard_seg, 1);
	/* File systems give back whole blocks; most have 4 KiB. */
	le32_put(&layout.discard_sector_alignment, 4096 / SECTOR);
	le32_put(&layout.max_write_zeroes_sectors, BLOCK_ZERO_SECTORS_MAX);
	le32_put(&layout.max_write_zeroes_seg, 1);
	layout.write_zeroes_may_unmap = 1;
	virtio_copy_config(&layout, sizeof(layout), offset, data, len);
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

	if (rc && rc != -EOPNOTSUPP)
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

static void async_done(void *owner, struct block_request *r, int rc)
{
	struct block *b = owner;

	if (!rc && must_flush(b, r)) {
		b->counts.write_count++;
		b->counts.write_bytes += r->bytes;
		r->op = BLOCK_FLUSH;
		block_async_begin(&b->async, r);
		return;
	}
	b->bytes_in_flight -= r->bytes;
	finish(b, r, rc);
}

/* Shows the driver what was answered since the last call. */
static void publish(struct block *b) REQUIRES(b->virtio.device.lock)
{
	struct vq *vq;
	unsigned i;

	for (i = 0; b->answered; i++) {
		if (b->answered & 1U << i) {
			vq = &b->virtio.queues[i];
			vq_publish(vq);
			virtio_notify(&b->virtio, vq);
		}
		b->answered &= ~(1U << i);
	}
}

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
	if (!block_async_open(&b->async, &b->file, DEPTH, &e)) {
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
	block_async_drain(&b->async);
	loop_delete(b->virtio.device.host->loop, &b->async.uring.watch);
	block_async_close(&b->async);
}

static void perform_now(struct block *b, struct block_request *r)
{
	int rc = block_request_perform(r, &b->file);

	if (!rc && must_flush(b, r))
		rc = block_file_flush(&b->file);
	finish(b, r, rc);
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

	if (b->cache_misses) {
		b->cache_misses--;
		return false;
	}
	rc = block_file_read_cached(&b->file, &r->data, r->offset);
	if (!rc) {
		finish(b, r, 0);
		return true;
	}
	r->offset += before - r->data.bytes;
	b->cache_misses = rc == -EAGAIN ? CACHE_MISS_PAUSE : UINT_MAX;
	return false;
}

static void perform(struct block *b, struct block_request *r)
{
	if (r->op == BLOCK_NOTHING) {
		finish(b, r, 0);
		return;
	}
	/* Without Writeback nobody was promised anything. */
	if (r->op == BLOCK_FLUSH && !b->is_writeback) {
		finish(b, r, 0);
		return;
	}
	if (b->engine == BLOCK_ASYNC && r->op == BLOCK_READ &&
	    read_cached(b, r))
		return;
	if (b->engine == BLOCK_ASYNC && !b->async.uring.is_open)
		open_ring(b);
	if (b->engine == BLOCK_SYNC) {
		perform_now(b, r);
		return;
	}
	b->bytes_in_flight += r->bytes;
	block_async_begin(&b->async, r);
}

/* ---- a turn ---------------------------------------------------------------
 */

/* Why a turn took no more from its queue. */
enum taken {
	TAKEN_ALL,     /* nothing more is there */
	TAKEN_ENOUGH,  /* others have their turn */
	TAKEN_BLOCKED, /* by the limiter, or by what is in flight */
	TAKEN_FAULT,
};

static bool is_full(const struct block *b)
{
	return !b->free_slots || b->bytes_in_flight >= BYTES_IN_FLIGHT_MAX;
}

static enum taken take_one(struct block *b, struct vq *vq, size_t *spent)
{
	struct block_request *r = b->free_slots;
	int n;

	if (is_full(b)) {
		b->is_starved = true;
		return TAKEN_BLOCKED;
	}
	n = vq_pop(vq, &r->chain);
	if (n <= 0)
		return n ? TAKEN_FAULT : TAKEN_ALL;
	r->vq = vq;
	if (block_request_parse(r, &b->disk))
		return TAKEN_FAULT;
	if (!limiter_take(&b->limiter, r->bytes)) {
		vq_unpop(vq);
		return TAKEN_BLOCKED;
	}
	b->free_slots = r->next;
	*spent += 1 + r->bytes / COST_BYTES;
	perform(b, r);
	return TAKEN_ENOUGH;
}

/* Takes requests until something ends the turn. */
static enum taken take(struct block *b, struct vq *vq, size_t *spent)
{
	enum taken how = TAKEN_ENOUGH;

	while (*spent < TURN && how == TAKEN_ENOUGH)
		how = take_one(b, vq, spent);
	return how;
}

static void block_kick(struct virtio *v, struct vq *vq) REQUIRES(v->device.lock)
{
	struct block *b = block_of(v);
	size_t spent = 0;
	enum taken how;

	mutex_held(&b->virtio.device.lock);
	do {
		vq_disable_kicks(vq);
		how = take(b, vq, &spent);
		if (b->async.unsent && !block_async_send(&b->async))
			virtio_kick_again(v);
		publish(b);
		/* What was done within the call has made room. */
		if (how == TAKEN_BLOCKED && b->is_starved && !is_full(b)) {
			b->is_starved = false;
			how = TAKEN_ENOUGH;
		}
		/* A round counts too: the driver may take offers back. */
		if (spent++ >= TURN && how <= TAKEN_ENOUGH) {
			virtio_kick_again(v);
			return;
		}
	} while (how == TAKEN_ENOUGH ||
		 (how == TAKEN_ALL && vq_enable_kicks(vq)));
}

static void serve_queues(struct block *b) REQUIRES(b->virtio.device.lock)
{
	unsigned i;

	b->is_starved = false;
	for (i = 0; i < b->virtio.queue_count; i++)
		if (b->virtio.queues[i].live)
			block_kick(&b->virtio, &b->virtio.queues[i]);
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
	if (b->is_starved)
		serve_queues(b);
	mutex_unlock(&b->virtio.device.lock);
}

static void limiter_ready(struct limiter *l)
{
	struct block *b = container_of(l, struct block, limiter);

	mutex_lock(&b->virtio.device.lock);
	serve_queues(b);
	mutex_unlock(&b->virtio.device.lock);
}

/* ---- life -----------------------------------------------------------------
 */

static void block_activate(struct virtio *v)
{
	struct block *b = block_of(v);

	b->disk.has_discard = virtio_has(v, BLK_F_DISCARD);
	b->disk.has_zeroes = virtio_has(v, BLK_F_WRITE_ZEROES);
	if (!b->limiter.loop)
		limiter_start(&b->limiter, v->device.host->loop);
}

static void block_quiesce(struct virtio *v) REQUIRES(v->device.lock)
{
	struct block *b = block_of(v);

	mutex_held(&b->virtio.device.lock);
	if (!b->async.uring.is_open)
		return;
	block_async_drain(&b->async);
	publish(b);
	/* Nothing in flight is left to wake a queue that stays. */
	if (b->is_starved)
		virtio_kick_again(v);
	b->is_starved = false;
}

static void block_count(struct virtio *v, struct device_counters *c)
{
	const struct block *b = block_of(v);

	c->put(c, "read_count", b->counts.read_count);
	c->put(c, "read_bytes", b->counts.read_bytes);
	c->put(c, "write_count", b->counts.write_count);
	c->put(c, "write_bytes", b->counts.write_bytes);
	c->put(c, "flush_count", b->counts.flush_count);
	c->put(c, "discard_count", b->counts.discard_count);
	c->put(c, "failed", b->counts.failed);
	c->put(c, "throttled", b->limiter.throttled);
}

static void block_free(struct virtio *v)
{
	struct block *b = block_of(v);

	close_ring(b);
	limiter_stop(&b->limiter);
	block_file_close(&b->file);
	free(b->slots);
	free(b->path);
	free(b->id);
	free(b);
}

static const struct virtio_ops block_ops = {
	.name = "drive",
	.id = DEVICE_ID_BLOCK,
	.config_read = block_config_read,
	.activate = block_activate,
	.quiesce = block_quiesce,
	.kick = block_kick,
	.count = block_count,
	.free = block_free,
};

static uint64_t features_of(const struct block *b, unsigned queues)
{
	uint64_t features = BLK_F_SEG_MAX | BLK_F_SIZE_MAX;

	if (b->disk.is_read_only)
		features |= BLK_F_RO;
	else
		features |= BLK_F_DISCARD | BLK_F_WRITE_ZEROES;
	if (b->is_writeback)
		features |= BLK_F_FLUSH;
	if (queues > 1)
		features |= BLK_F_MQ;
	return features;
}

/* Pages of slots that are never used are never touched. */
static int make_slots(struct block *b)
{
	unsigned i, n = b->engine == BLOCK_ASYNC ? DEPTH : 1;

	b->slots = calloc(n, sizeof(*b->slots));
	if (!b->slots)
		return -ENOMEM;
	for (i = 0; i + 1 < n; i++)
		b->slots[i].next = &b->slots[i + 1];
	b->free_slots = b->slots;
	return 0;
}

int block_new(struct device **out, const struct block_config *config,
	      struct err *e)
{
	struct block *b = calloc(1, sizeof(*b));
	int rc;

	if (!b)
		return err_set(e, -ENOMEM, "no memory for a drive");
	b->file.fd = -1;
	b->is_writeback = config->is_writeback;
	b->engine = config->engine;
	b->id = strdup(config->id);
	b->path = strdup(config->path);
	if (!b->id || !b->path || make_slots(b))
		rc = err_set(e, -ENOMEM, "no memory for a drive");
	else
		rc = block_file_open(&b->file, config->path,
				     config->is_read_only, e);
	if (rc) {
		block_free(&b->virtio);
		return rc;
	}
	b->disk = (struct block_disk){
		.id = b->id,
		.size = b->file.size,
		.is_read_only = config->is_read_only,
	};
	b->limiter.ready = limiter_ready;
	limiter_set(&b->limiter, &config->limiter);
	virtio_init(&b->virtio, &block_ops, &mmio_transport, b->id,
		    features_of(b, config->queues), config->queues,
		    VQ_SIZE_MAX);
	*out = &b->virtio.device;
	return 0;
}

int block_set_path(struct device *d, const char *path, struct err *e)
{
	struct block *b = (struct block *)d;
	struct block_file file = {.fd = -1};
	char *copy;
	int rc;

	/* To copy a descriptor is more than a running machine may do. */
	if (passed_has(path ? path : b->path))
		return err_set(e, -EINVAL,
			       "the drive %s: a disk that was passed as a "
			       "descriptor is taken before the start only",
			       b->id);
	copy = strdup(path ? path : b->path);
	rc = copy ? block_file_open(&file, copy, b->disk.is_read_only, e)
		  : err_set(e, -ENOMEM, "no memory for a path");

	if (rc) {
		free(copy);
		return rc;
	}
	mutex_lock(&b->virtio.device.lock);
	close_ring(b);
	publish(b);
	block_file_close(&b->file);
	b->cache_misses = 0;
	b->file = file;
	b->disk.size = file.size;
	free(b->path);
	b->path = copy;
	virtio_config_changed(&b->virtio);
	virtio_kick_again(&b->virtio);
	mutex_unlock(&b->virtio.device.lock);
	return 0;
}

void block_set_limiter(struct device *d, const struct limiter_config *config)
{
	struct block *b = (struct block *)d;

	mutex_lock(&d->lock);
	limiter_set(&b->limiter, config);
	mutex_unlock(&d->lock);
}
