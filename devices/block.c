/*
 * virtio-block (virtio 1.2, 5.2): requests of a 16-byte header, data, and one
 * status byte. The driver may split them anywhere, so bytes are counted, never
 * descriptors.
 *
 * Requests are served in the loop thread, one after the other. What the guest
 * asks wrongly within a well-formed request (a sector past the end, a write to
 * a read-only disk) fails that request; what it builds wrongly faults the
 * queue.
 */
#include "devices/block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/block_io.h"
#include "devices/virtio/mmio.h"
#include "devices/virtio/ring.h"
#include "devices/virtio/virtio.h"
#include "vmm/base/le.h"
#include "vmm/base/log.h"

enum { SECTOR = 512, DEVICE_ID_BLOCK = 2, ID_BYTES = 20 };

#define BLK_F_SEG_MAX (1ULL << 2)
#define BLK_F_RO      (1ULL << 5)
#define BLK_F_FLUSH   (1ULL << 9)

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };

/*
 * A turn in the loop thread ends after this much work, so that other devices
 * and the API get theirs: a request costs 1, and 1 more for each 64 KiB. Larger
 * requests than REQUEST_MAX fail; no driver makes them, and one alone would
 * hold the thread for long.
 */
enum { TURN = 64, COST_BYTES = 64 << 10, REQUEST_MAX = 128 << 20 };

struct block_header {
	le32_t type;
	le32_t reserved;
	le64_t sector;
};

/* struct virtio_blk_config up to the last field we have a value for. */
struct block_layout {
	le64_t capacity; /* in sectors */
	le32_t size_max;
	le32_t seg_max;
};

struct block {
	struct virtio virtio; /* first */
	struct block_file file;
	bool is_read_only;
	bool is_writeback;
	char *id; /* owned */
	struct vq_chain chain;
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
	/* Header and status take a descriptor each. */
	le32_put(&layout.seg_max, VQ_SIZE_MAX - 2);
	virtio_copy_config(&layout, sizeof(layout), offset, data, len);
}

/* Whether [sector, sector + bytes) is on the disk and not absurdly much. */
static bool may_serve(const struct block *b, uint64_t sector, size_t bytes)
{
	const uint64_t sectors = b->file.size / SECTOR;

	return bytes % SECTOR == 0 && bytes <= REQUEST_MAX &&
	       sector <= sectors && bytes / SECTOR <= sectors - sector;
}

static uint8_t status_of(const struct block *b, const char *what, int rc)
{
	if (!rc)
		return S_OK;
	log_warn_limited("drive %s: %s failed: %s", b->id, what, strerror(-rc));
	return S_IOERR;
}

/* Takes what it fills off data, as all of perform() does. */
static uint8_t get_id(const struct block *b, struct iov *data)
{
	char id[ID_BYTES] = {0};

	memcpy(id, b->id, strnlen(b->id, sizeof(id)));
	iov_drop_front(data, iov_write(data, 0, id, sizeof(id)));
	return S_OK;
}

static uint8_t write_out(struct block *b, uint64_t sector, struct iov *source)
{
	int rc;

	if (b->is_read_only || !may_serve(b, sector, source->bytes))
		return S_IOERR;
	rc = block_file_write(&b->file, source, sector * SECTOR);
	/* 5.2.6.2: to a driver without FLUSH we are a write-through disk. */
	if (!rc && b->is_writeback && !virtio_has(&b->virtio, BLK_F_FLUSH))
		rc = block_file_flush(&b->file);
	return status_of(b, "a write", rc);
}

/*
 * Carries out one request. What was written to data is taken off it, so that
 * its bytes say afterwards how much was not.
 */
static uint8_t perform(struct block *b, uint32_t type, uint64_t sector,
		       struct iov *data)
{
	switch (type) {
	case T_IN:
		if (!may_serve(b, sector, data->bytes))
			return S_IOERR;
		return status_of(
			b, "a read",
			block_file_read(&b->file, data, sector * SECTOR));
	case T_OUT:
		return write_out(b, sector, &b->chain.readable);
	case T_FLUSH:
		return status_of(b, "a flush",
				 b->is_writeback ? block_file_flush(&b->file)
						 : 0);
	case T_GET_ID:
		return get_id(b, data);
	default:
		return S_UNSUPP;
	}
}

/* Serves the chain that was just popped. 0, or -EPROTO after a fault. */
static int serve(struct block *b, struct vq *vq)
{
	struct vq_chain *chain = &b->chain;
	struct block_header header;
	struct iov data = chain->writable;
	size_t room, written;
	uint8_t *last;
	uint8_t status;

	if (iov_take(&chain->readable, &header, sizeof(header)) !=
	    sizeof(header))
		return vq_fault(vq, "a request without a whole header");
	if (!data.bytes)
		return vq_fault(vq, "a request without a status byte");
	/* The status is the last byte, whatever comes before it. */
	last = data.at[data.count - 1].iov_base;
	last += data.at[data.count - 1].iov_len - 1;
	iov_drop_back(&data, 1);
	room = data.bytes;
	status = perform(b, le32_get(&header.type), le64_get(&header.sector),
			 &data);
	*last = status;
	/*
	 * 2.7.8.2: the driver may rely on that many bytes from the first one
	 * on. The status counts where it follows without a gap.
	 */
	written = room - data.bytes;
	if (!data.bytes)
		written++;
	vq_push(vq, chain->head, (uint32_t)written);
	return 0;
}

static void block_kick(struct virtio *v, struct vq *vq) REQUIRES(v->device.lock)
{
	struct block *b = block_of(v);
	size_t spent = 0;
	int n;

	do {
		vq_disable_kicks(vq);
		while (spent < TURN && (n = vq_pop(vq, &b->chain)) > 0) {
			spent += 1 + (b->chain.readable.bytes +
				      b->chain.writable.bytes) /
					     COST_BYTES;
			if (serve(b, vq))
				return;
		}
		/* A round counts too: the driver may take offers back. */
		if (spent++ >= TURN) {
			virtio_kick_again(v);
			break;
		}
	} while (n == 0 && vq_enable_kicks(vq));
	virtio_notify(v, vq);
}

static void block_free(struct virtio *v)
{
	struct block *b = block_of(v);

	block_file_close(&b->file);
	free(b->id);
	free(b);
}

static const struct virtio_ops block_ops = {
	.name = "drive",
	.id = DEVICE_ID_BLOCK,
	.config_read = block_config_read,
	.kick = block_kick,
	.free = block_free,
};

int block_new(struct device **out, const struct block_config *config,
	      struct err *e)
{
	struct block *b = calloc(1, sizeof(*b));
	uint64_t features = BLK_F_SEG_MAX;
	int rc;

	if (!b)
		return err_set(e, -ENOMEM, "no memory for a drive");
	b->file.fd = -1;
	b->is_read_only = config->is_read_only;
	b->is_writeback = config->is_writeback;
	b->id = strdup(config->id);
	rc = b->id ? block_file_open(&b->file, config->path,
				     config->is_read_only, e)
		   : err_set(e, -ENOMEM, "no memory for a drive");
	if (rc) {
		block_free(&b->virtio);
		return rc;
	}
	if (b->is_read_only)
		features |= BLK_F_RO;
	if (b->is_writeback)
		features |= BLK_F_FLUSH;
	virtio_init(&b->virtio, &block_ops, &mmio_device_ops, b->id, features,
		    1, VQ_SIZE_MAX);
	*out = &b->virtio.device;
	return 0;
}
