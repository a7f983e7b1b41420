/* Requests: what the driver wrote, judged; and how the answer is written. */
#include "devices/block_request.h"

#include <errno.h>
#include <string.h>

#include "vmm/base/le.h"

enum { SECTOR = 512, ID_BYTES = 20 };

enum {
	T_IN = 0,
	T_OUT = 1,
	T_FLUSH = 4,
	T_GET_ID = 8,
	T_DISCARD = 11,
	T_WRITE_ZEROES = 13
};

struct block_header {
	le32_t type;
	le32_t reserved;
	le64_t sector;
};

/* 5.2.6: what to discard or to write zeroes over. */
struct block_range {
	le64_t sector;
	le32_t sectors;
	le32_t flags;
};

enum { RANGE_UNMAP = 1 };

/* Whether [sector, sector + count) is on the disk. */
static bool is_on_disk(const struct block_disk *disk, uint64_t sector,
		       uint64_t count)
{
	const uint64_t sectors = disk->size / SECTOR;

	return sector <= sectors && count <= sectors - sector;
}

static void answer(struct block_request *r, enum block_status status)
{
	r->op = BLOCK_NOTHING;
	r->status = status;
}

static void parse_transfer(struct block_request *r,
			   const struct block_disk *disk, enum block_op op,
			   uint64_t sector)
{
	r->op = op;
	r->bytes = r->data.bytes;
	r->offset = sector * SECTOR;
	if (r->bytes % SECTOR || r->bytes > BLOCK_REQUEST_BYTES_MAX ||
	    !is_on_disk(disk, sector, r->bytes / SECTOR) ||
	    (op == BLOCK_WRITE && disk->is_read_only))
		answer(r, BLOCK_IOERR);
}

/*
 * 5.2.6.2: one range, which is all we say we take. Flags we don't know make
 * the request unsupported, as does unmap in a discard.
 */
static void parse_range(struct block_request *r, const struct block_disk *disk,
			uint32_t type)
{
	const bool is_discard = type == T_DISCARD;
	const uint32_t most = is_discard ? BLOCK_DISCARD_SECTORS_MAX
					 : BLOCK_ZERO_SECTORS_MAX;
	struct block_range range;
	uint32_t flags, sectors;
	uint64_t sector;

	if (!(is_discard ? disk->has_discard : disk->has_zeroes)) {
		answer(r, BLOCK_UNSUPP);
		return;
	}
	if (disk->is_read_only || r->chain.readable.bytes != sizeof(range)) {
		answer(r, BLOCK_IOERR);
		return;
	}
	iov_take(&r->chain.readable, &range, sizeof(range));
	flags = le32_get(&range.flags);
	sectors = le32_get(&range.sectors);
	sector = le64_get(&range.sector);
	if (flags & ~(is_discard ? 0U : RANGE_UNMAP)) {
		answer(r, BLOCK_UNSUPP);
		return;
	}
	if (!sectors || sectors > most || !is_on_disk(disk, sector, sectors)) {
		answer(r, BLOCK_IOERR);
		return;
	}
	r->offset = sector * SECTOR;
	r->length = (uint64_t)sectors * SECTOR;
	if (is_discard)
		r->op = BLOCK_DISCARD;
	else
		r->op = flags & RANGE_UNMAP ? BLOCK_ZERO_UNMAP : BLOCK_ZERO;
}

static void tell_id(struct block_request *r, const struct block_disk *disk)
{
	char id[ID_BYTES] = {0};

	memcpy(id, disk->id, strnlen(disk->id, sizeof(id)));
	iov_drop_front(&r->data, iov_write(&r->data, 0, id, sizeof(id)));
	answer(r, BLOCK_OK);
}

static void parse_type(struct block_request *r, const struct block_disk *disk,
		       uint32_t type, uint64_t sector)
{
	switch (type) {
	case T_IN:
		parse_transfer(r, disk, BLOCK_READ, sector);
		return;
	case T_OUT:
		r->data = r->chain.readable;
		parse_transfer(r, disk, BLOCK_WRITE, sector);
		return;
	case T_FLUSH:
		r->op = BLOCK_FLUSH;
		return;
	case T_GET_ID:
		tell_id(r, disk);
		return;
	case T_DISCARD:
	case T_WRITE_ZEROES:
		parse_range(r, disk, type);
		return;
	default:
		answer(r, BLOCK_UNSUPP);
	}
}

int block_request_parse(struct block_request *r, const struct block_disk *disk)
{
	struct vq_chain *chain = &r->chain;
	const struct iov *writable = &chain->writable;
	struct block_header header;
	uint8_t *last;

	if (iov_take(&chain->readable, &header, sizeof(header)) !=
	    sizeof(header))
		return vq_fault(r->vq, "a request without a whole header");
	if (!writable->bytes)
		return vq_fault(r->vq, "a request without a status byte");
	/* The status is the last byte, whatever comes before it. */
	last = writable->at[writable->count - 1].iov_base;
	last += writable->at[writable->count - 1].iov_len - 1;
	r->status_at = last;
	r->data = *writable;
	iov_drop_back(&r->data, 1);
	r->room = r->data.bytes;
	r->bytes = 0;
	r->length = 0;
	r->syncs = false;
	r->status = BLOCK_OK;
	parse_type(r, disk, le32_get(&header.type), le64_get(&header.sector));
	return 0;
}

int block_request_perform(struct block_request *r, struct block_file *f)
{
	switch (r->op) {
	case BLOCK_READ:
		return block_file_read(f, &r->data, r->offset);
	case BLOCK_WRITE:
		return block_file_write(f, &r->data, r->offset);
	case BLOCK_FLUSH:
		return block_file_flush(f);
	case BLOCK_ZERO:
		return block_file_zero(f, r->offset, r->length);
	case BLOCK_DISCARD:
		return block_file_discard(f, r->offset, r->length);
	case BLOCK_ZERO_UNMAP:
		return block_file_unmap(f, r->offset, r->length);
	default:
		return 0;
	}
}

/*
 * The driver may rely on that many bytes from the first one on (2.7.8.2). The
 * status counts where it follows without a gap.
 */
static uint32_t written(const struct block_request *r)
{
	size_t left = r->room;

	if (r->op == BLOCK_READ ||
	    (r->op == BLOCK_NOTHING && r->status == BLOCK_OK))
		left = r->data.bytes;
	return (uint32_t)(r->room - left + !left);
}

void block_request_finish(struct block_request *r, int rc)
{
	if (rc)
		r->status = rc == -EOPNOTSUPP ? BLOCK_UNSUPP : BLOCK_IOERR;
	*r->status_at = (uint8_t)r->status;
	vq_put(r->vq, r->chain.head, written(r));
}
