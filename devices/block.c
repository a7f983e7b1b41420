/*
 * virtio-block (virtio 1.2, 5.2): the life of the device, its configuration and
 * its features. block_turn.c has the requests.
 *
 * What the guest asks wrongly within a well-formed request (a sector past the
 * end, a write to a read-only disk) fails that request; what it builds wrongly
 * faults the queue.
 *
 * Requests live in slots of the device. With all of them in flight the queue is
 * left alone, its kicks disabled, until one is done; likewise while the limiter
 * says no. A reset has its end when nothing is in flight any more (virtio.c),
 * so a completion never finds its queue or its memory gone; another file takes
 * the old one's place then too.
 */
#include "devices/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/block_device.h"
#include "devices/limiter_state.h"
#include "devices/virtio/mmio.h"
#include "vmm/base/clock.h"
#include "vmm/base/le.h"
#include "vmm/base/passed.h"
#include "vmm/base/spare.h"

enum { SECTOR = 512, DEVICE_ID_BLOCK = 2 };

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

/* ---- life -----------------------------------------------------------------
 */

static void block_activate(struct virtio *v)
{
	struct block *b = block_of(v);

	b->disk.has_discard = virtio_has(v, BLK_F_DISCARD);
	b->disk.has_zeroes = virtio_has(v, BLK_F_WRITE_ZEROES);
	b->patience = (struct patience){0};
	if (!b->limiter.loop)
		limiter_start(&b->limiter, v->device.host->loop);
}

/* What is saved is the drive as it is configured by then. */
static void block_hold(struct virtio *v) REQUIRES(v->device.lock)
{
	struct block *b = block_of(v);

	mutex_held(&b->virtio.device.lock);
	block_exchange(b);
}

/*
 * The disk itself is configuration; what the driver was told of its size is
 * not. One that has grown since is told by a change of the configuration, as
 * for block_set_path(). A smaller one can't be the disk that the guest has in
 * use: its end would be missing.
 */
static void block_visit(struct virtio *v, struct visitor *w)
	REQUIRES(v->device.lock)
{
	struct block *b = block_of(v);
	uint64_t told = b->file.size;

	visit_u64(w, &told);
	visit_check(w, told <= b->file.size,
		    "the guest's disk has %llu bytes, and %s has %llu; give "
		    "the drive the file it had, or one of that size",
		    (unsigned long long)told, b->path,
		    (unsigned long long)b->file.size);
	limiter_visit(w, &b->limiter);
	if (w->is_loading && !w->rc && told != b->file.size)
		virtio_config_changed(v);
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

static void wait_for_quiet(struct block *b)
{
	mutex_lock(&b->virtio.device.lock);
	b->virtio.is_stopping = true;
	while (!block_quiesce(&b->virtio)) {
		mutex_unlock(&b->virtio.device.lock);
		clock_rest();
		mutex_lock(&b->virtio.device.lock);
	}
	mutex_unlock(&b->virtio.device.lock);
}

static void block_free(struct virtio *v)
{
	struct block *b = block_of(v);

	/* One that never was part of a machine has no lock, and no need. */
	if (v->device.host)
		wait_for_quiet(b);
	block_close_engines(b);
	limiter_stop(&b->limiter);
	block_overlay_free(b->overlay);
	block_file_close(&b->file);
	if (b->has_next)
		block_file_close(&b->next);
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
	.kick_all = block_serve,
	.hold = block_hold,
	.visit = block_visit,
	.count = block_count,
	.free = block_free,
};

static uint64_t features_of(const struct block *b, unsigned queues)
{
	uint64_t features = BLK_F_SEG_MAX | BLK_F_SIZE_MAX;

	if (b->disk.is_read_only)
		features |= BLK_F_RO;
	else
		features |= BLK_F_WRITE_ZEROES;
	if (!b->disk.is_read_only &&
	    (b->overlay || block_file_can_punch(&b->file)))
		features |= BLK_F_DISCARD;
	if (b->is_writeback)
		features |= BLK_F_FLUSH;
	if (queues > 1)
		features |= BLK_F_MQ;
	return features;
}

static int open_file(struct block *b, const struct block_config *config,
		     struct err *e)
{
	const bool has_overlay = config->overlay.is_wanted;
	int rc = block_file_open(&b->file, config->path,
				 config->is_read_only || has_overlay, e);

	if (rc || !has_overlay)
		return rc;
	b->engine = BLOCK_SYNC;
	rc = block_overlay_new(&b->overlay, &b->file, &config->overlay, e);
	return rc ? err_context(e, "the drive %s", config->id) : 0;
}

int block_new(struct device **out, const struct block_config *config,
	      struct err *e)
{
	struct block *b = calloc(1, sizeof(*b));
	int rc;

	if (!b)
		return err_set(e, -ENOMEM, "no memory for a drive");
	b->file.fd = -1;
	block_turn_init(b);
	b->is_writeback = config->is_writeback;
	b->engine = config->engine;
	b->id = strdup(config->id);
	b->path = strdup(config->path);
	b->slots = lazy_calloc(BLOCK_DEPTH * sizeof(*b->slots));
	if (!b->id || !b->path || !b->slots)
		rc = err_set(e, -ENOMEM, "no memory for a drive");
	else
		rc = open_file(b, config, e);
	if (rc) {
		block_free(&b->virtio);
		return rc;
	}
	b->disk = (struct block_disk){
		.id = b->id,
		.size = b->file.size,
		.is_read_only = config->is_read_only,
	};
	limiter_set(&b->limiter, &config->limiter);
	virtio_init(&b->virtio, &block_ops, &mmio_transport, b->id,
		    features_of(b, config->queues), config->queues,
		    VQ_SIZE_MAX);
	/* Where nothing can be given back, a discard does nothing. */
	if (!config->is_read_only)
		b->virtio.bearable = BLK_F_DISCARD;
	*out = &b->virtio.device;
	return 0;
}

/* What was passed can't be opened anew, but it may have grown. */
static int look_again(struct block *b, struct err *e)
{
	uint64_t size;
	int rc = block_file_measure(&b->file, b->path, &size, e);

	if (rc)
		return rc;
	mutex_lock(&b->virtio.device.lock);
	b->file.size = b->disk.size = size;
	virtio_config_changed(&b->virtio);
	mutex_unlock(&b->virtio.device.lock);
	return 0;
}

int block_set_path(struct device *d, const char *path, struct err *e)
{
	struct block *b = (struct block *)d;
	struct block_file file = {.fd = -1};
	char *copy;
	int rc;

	if (b->overlay)
		return err_set(e, -EPERM,
			       "the drive %s keeps the file that its overlay "
			       "is of; only its rate_limiter can be changed",
			       b->id);
	if (passed_has(b->path) && (!path || !strcmp(path, b->path)))
		return look_again(b, e);
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
	if (b->has_next)
		block_file_close(&b->next);
	b->next = file;
	b->has_next = true;
	free(b->path);
	b->path = copy;
	block_exchange(b);
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

struct block_overlay *block_overlay_of(struct device *d)
{
	return ((struct block *)d)->overlay;
}
