/*
 * Attacks by what virtio-block requests say (virtio 1.2, 5.2.6), in rings that
 * are as they should be.
 */
#include "tests/guests/hostile_block.h"

struct block_request request;

/* The witness is asked while an attack's request may be under way. */
static struct block_request proof;

static const uint8_t proof_text[] = "mayfly drive 0 sector 00";
enum { DRIVE_AT = 13, SECTOR_AT = 22, PROOF_BYTES = 24 };

bool block_is_sector(const struct device *d, const struct block_request *r,
		     uint32_t sector)
{
	uint8_t want[PROOF_BYTES];
	unsigned i;

	for (i = 0; i < PROOF_BYTES; i++)
		want[i] = proof_text[i];
	want[DRIVE_AT] = (uint8_t)('0' + d->number);
	want[SECTOR_AT] = (uint8_t)('0' + sector / 10);
	want[SECTOR_AT + 1] = (uint8_t)('0' + sector % 10);
	for (i = 0; i < PROOF_BYTES; i++)
		if (r->data[i] != want[i])
			return false;
	return true;
}

static void fill(struct queue *q, struct block_request *r, uint32_t type,
		 uint64_t sector, uint32_t bytes)
{
	const uint16_t to_data = type == T_IN || type == T_GET_ID ? WRITE : 0;

	r->type = type;
	r->sector = sector;
	r->status = S_NONE;
	desc_buffer(&q->desc[0], r, 16, NEXT, bytes ? 1 : 2);
	desc_buffer(&q->desc[1], r->data, bytes, NEXT | to_data, 2);
	desc_buffer(&q->desc[2], &r->status, 1, WRITE, 0);
}

void block_fill(struct device *d, uint32_t type, uint64_t sector,
		uint32_t bytes)
{
	fill(target(d), &request, type, sector, bytes);
}

uint8_t block_submit(struct device *d, uint16_t head)
{
	submit(d, head);
	return queue_used(target(d)) ? request.status : S_NONE;
}

static void block_fill_good(struct device *d)
{
	block_fill(d, T_IN, 0, SECTOR);
}

static const char *block_prove(struct device *d)
{
	static uint32_t sector;

	sector = (sector + 7) % PROOF_SECTORS;
	fill(target(d), &proof, T_IN, sector, SECTOR);
	proof.data[0] = 0;
	submit(d, 0);
	WANT(queue_used(target(d)), "a good read was not answered");
	WANT(proof.status == S_OK, "a good read failed");
	WANT(block_is_sector(d, &proof, sector), "a good read brought rubbish");
	WANT(!(reg_read(d, REG_STATUS) & NEEDS_RESET),
	     "it wants a reset after a good read");
	return NULL;
}

const struct kind block_kind = {
	.id = ID_BLOCK,
	.name = "block",
	.queues = 1,
	.target = 0,
	.features = F_ALL,
	.fill = block_fill_good,
	.prove = block_prove,
};

/* ---- framing ---- */

static bool is_read_only(const struct device *d)
{
	return d->offered & BLK_F_RO;
}

static uint64_t capacity(const struct device *d)
{
	return (uint64_t)reg_read(d, REG_CONFIG + 4) << 32 |
	       reg_read(d, REG_CONFIG);
}

/* 2.6: buffers may be cut anywhere, even the header into single bytes. */
static const char *split_header(struct device *d, volatile struct desc *desc)
{
	unsigned i;

	request.type = T_IN;
	request.sector = 5;
	request.status = S_NONE;
	for (i = 0; i < 16; i++)
		desc_buffer(&desc[i], (volatile uint8_t *)&request + i, 1, NEXT,
			    (uint16_t)(i + 1));
	for (i = 0; i < 4; i++)
		desc_buffer(&desc[16 + i], request.data + i * 128, 128,
			    NEXT | WRITE, (uint16_t)(17 + i));
	desc_buffer(&desc[20], &request.status, 1, WRITE, 0);
	WANT(block_submit(d, 0) == S_OK, "the read failed");
	WANT(block_is_sector(d, &request, 5), "the read brought rubbish");
	return NULL;
}

static bool up_with_256(struct device *d)
{
	if (!device_negotiate(d, F_ALL))
		return false;
	queue_place(d, 0, target(d), QUEUE_ROOM);
	reg_write(d, REG_QUEUE_READY, 1);
	reg_write(d, REG_STATUS,
		  ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	return true;
}

static const char *bytes_in_the_ring(struct device *d)
{
	WANT(up_with_256(d), "it did not come up");
	return split_header(d, target(d)->desc);
}

static const char *bytes_in_a_table(struct device *d)
{
	static _Alignas(16) volatile struct desc table[32];

	WANT(up_with_256(d), "it did not come up");
	desc_buffer(&target(d)->desc[0], table, sizeof(table), INDIRECT, 0);
	return split_header(d, table);
}

static const char *status_behind_data(struct device *d)
{
	block_fill(d, T_IN, 9, SECTOR);
	desc_buffer(&target(d)->desc[1], request.data, SECTOR + 1, WRITE, 0);
	request.data[SECTOR] = S_NONE;
	submit(d, 0);
	WANT(queue_used(target(d)), "it was not used");
	WANT(request.data[SECTOR] == S_OK, "the read failed");
	WANT(block_is_sector(d, &request, 9), "the read brought rubbish");
	return NULL;
}

static const char *header_of(struct device *d, uint32_t bytes, uint16_t flags)
{
	WANT(device_up(d, F_ALL), "it did not come up");
	block_fill(d, T_IN, 0, SECTOR);
	desc_buffer(&target(d)->desc[0], &request, bytes, flags, 1);
	submit(d, 0);
	WANT_STOPPED(d);
	return NULL;
}

static const char *short_headers(struct device *d)
{
	const char *why = header_of(d, 1, NEXT);

	if (!why)
		why = header_of(d, 15, NEXT);
	if (!why)
		why = header_of(d, 16, WRITE); /* none to be read */
	if (!why)
		why = header_of(d, 15, 0);
	if (!why)
		why = header_of(d, 16, 0); /* no status to be written */
	if (!why)
		why = header_of(d, 1024, 0);
	return why;
}

/* ---- requests that fail ---- */

static const char *fails(struct device *d, uint32_t type, uint64_t sector,
			 uint32_t bytes)
{
	uint8_t status;

	block_fill(d, type, sector, bytes);
	status = block_submit(d, 0);
	WANT(status == S_IOERR || status == S_UNSUPP, "it did not fail");
	return NULL;
}

static const char *past_the_end(struct device *d)
{
	const uint64_t end = capacity(d);
	const uint64_t sectors[] = {
		end,
		end + 1,
		~0ULL,
		~0ULL - 1,
		1ULL << 55,
		(1ULL << 55) - 1,
		(1ULL << 55) + end,
		1ULL << 54,
		1ULL << 63,
		~0ULL >> 9,
		(~0ULL >> 9) + 1,
		1ULL << 32,
		end << 1 | 1ULL << 55,
		end | 1ULL << 55,
	};
	const char *why = NULL;
	unsigned i;

	for (i = 0; i < sizeof(sectors) / sizeof(sectors[0]) && !why; i++) {
		why = fails(d, T_IN, sectors[i], SECTOR);
		if (!why)
			why = fails(d, T_OUT, sectors[i], SECTOR);
	}
	/* Begins on the disk and ends behind it. */
	if (!why)
		why = fails(d, T_IN, end - 1, 2 * SECTOR);
	if (!why)
		why = fails(d, T_OUT, end - 7, 8 * SECTOR);
	if (why)
		return why;
	block_fill(d, T_IN, end - 8, 8 * SECTOR);
	WANT(block_submit(d, 0) == S_OK, "the last sectors are illegible");
	return NULL;
}

static const char *broken_sectors(struct device *d)
{
	static const uint32_t bytes[] = {1, 511, 513, 1023, 4095};
	const char *why = NULL;
	unsigned i;

	for (i = 0; i < sizeof(bytes) / sizeof(bytes[0]) && !why; i++) {
		why = fails(d, T_IN, 0, bytes[i]);
		if (!why)
			why = fails(d, T_OUT, WASTE_SECTOR, bytes[i]);
	}
	return why;
}

static const char *unknown_types(struct device *d)
{
	static const uint32_t types[] = {
		2,  3,	5,  6,	7,  9,	 12,  15,      16,	   24,
		25, 26, 31, 32, 64, 255, 256, 0x10000, 0x80000000, ~0U};
	unsigned i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		block_fill(d, types[i], 0, SECTOR);
		WANT(block_submit(d, 0) == S_UNSUPP, "it knows the type");
		block_fill(d, types[i], ~0ULL, 0);
		WANT(block_submit(d, 0) == S_UNSUPP, "it knows the type");
	}
	return NULL;
}

/* A write to a disk that can't be written; to others, it must come back. */
static const char *writes(struct device *d)
{
	unsigned i;

	for (i = 0; i < SECTOR; i++)
		request.data[i] = (uint8_t)~i;
	block_fill(d, T_OUT, is_read_only(d) ? 3 : WASTE_SECTOR, SECTOR);
	if (is_read_only(d)) {
		WANT(block_submit(d, 0) == S_IOERR, "it was written");
		block_fill(d, T_IN, 3, SECTOR);
		WANT(block_submit(d, 0) == S_OK, "the read failed");
		WANT(block_is_sector(d, &request, 3), "it was written");
		return NULL;
	}
	WANT(block_submit(d, 0) == S_OK, "the write failed");
	for (i = 0; i < SECTOR; i++)
		request.data[i] = 0;
	block_fill(d, T_IN, WASTE_SECTOR, SECTOR);
	WANT(block_submit(d, 0) == S_OK, "the read failed");
	for (i = 0; i < SECTOR; i++)
		WANT(request.data[i] == (uint8_t)~i, "it was not written");
	return NULL;
}

/* ---- odd ones ---- */

static const char *ids(struct device *d)
{
	static const uint32_t bytes[] = {0, 1, 19, 20, 21, 512, 4096};
	uint8_t status;
	unsigned i;

	for (i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		request.data[bytes[i] % sizeof(request.data)] = S_NONE;
		request.data[20] = S_NONE;
		block_fill(d, T_GET_ID, ~0ULL, bytes[i]);
		status = block_submit(d, 0);
		WANT(status == S_OK || status == S_IOERR, "no answer");
		WANT(request.data[20] == S_NONE, "an id of over 20 bytes");
		WANT(bytes[i] >= 20 || request.data[bytes[i]] == S_NONE,
		     "more was written than there is room for");
	}
	return NULL;
}

/* Data on the side the type has no use for. */
static const char *wrong_way(struct device *d)
{
	static const uint32_t types[] = {
		T_IN,		T_OUT,	   T_FLUSH,	   T_GET_ID,
		T_GET_LIFETIME, T_DISCARD, T_WRITE_ZEROES, T_SECURE_ERASE};
	struct queue *q = target(d);
	unsigned i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		block_fill(d, types[i], is_read_only(d) ? 0 : WASTE_SECTOR,
			   SECTOR);
		q->desc[1].flags ^= WRITE;
		WANT(block_submit(d, 0) != S_NONE, "no answer");
		block_fill(d, types[i], ~0ULL, 0);
		WANT(block_submit(d, 0) != S_NONE, "no answer without data");
	}
	return NULL;
}

static const char *flushes(struct device *d)
{
	unsigned i;

	for (i = 0; i < 100; i++) {
		block_fill(d, T_FLUSH, random_next(), i & 1 ? 513 : 0);
		WANT(block_submit(d, 0) != S_NONE, "no answer");
	}
	return NULL;
}

/* The header, the data and the status in one place. */
static const char *all_in_one_place(struct device *d)
{
	struct queue *q = target(d);
	unsigned i;

	for (i = 0; i < 8; i++) {
		block_fill(d, i & 1 ? T_GET_ID : T_IN, 0, SECTOR);
		desc_buffer(&q->desc[1], &request, SECTOR, WRITE | NEXT, 2);
		desc_buffer(&q->desc[2], (volatile uint8_t *)&request + i * 2,
			    1, WRITE, 0);
		submit(d, 0);
		WANT(queue_used(q), "no answer");
	}
	return NULL;
}

/*
 * Some chains of count buffers of bytes each, all of them over one place that
 * holds nothing of ours. Others wait no longer for it.
 */
static const char *huge(struct device *d, uint32_t type, unsigned count,
			uint32_t bytes)
{
	enum { CHAINS = 4 };
	struct queue *q = target(d);
	const char *why = NULL;
	unsigned i;

	WANT(up_with_256(d), "it did not come up");
	block_fill(d, type, 0, SECTOR);
	for (i = 1; i <= count; i++)
		desc_set(&q->desc[i], memory_end() / 2, bytes,
			 (uint16_t)(type == T_IN ? NEXT | WRITE : NEXT),
			 (uint16_t)(i + 1));
	desc_buffer(&q->desc[i], &request.status, 1, WRITE, 0);
	for (i = 0; i < CHAINS; i++)
		queue_offer(q, 0);
	queue_kick(d, 0);
	for (i = 0; i < CHAINS && !why; i++)
		why = witness_answers(d);
	for (i = 0; i < CHAINS && !why; i++)
		if (!queue_used(q))
			why = "no answer";
	return why;
}

static const char *long_read(struct device *d)
{
	return huge(d, T_IN, 254, 4096);
}

static const char *large_read(struct device *d)
{
	return huge(d, T_IN, 8, 16 << 20);
}

static const char *largest_read(struct device *d)
{
	return huge(d, T_IN, 254, 16 << 20);
}

static const char *largest_write(struct device *d)
{
	return huge(d, T_OUT, 254, 16 << 20);
}

/* ---- discard and its kin ---- */

struct segment {
	uint64_t sector;
	uint32_t sectors;
	uint32_t flags;
};

static const char *segment_fails(struct device *d, uint32_t type,
				 const struct segment *s, uint32_t bytes)
{
	volatile struct segment *to =
		(volatile struct segment *)(volatile void *)request.data;

	to->sector = s->sector;
	to->sectors = s->sectors;
	to->flags = s->flags;
	return fails(d, type, 0, bytes);
}

static const char *segments(struct device *d, uint32_t type)
{
	const uint64_t end = capacity(d);
	const struct segment list[] = {
		{~0ULL, 1, 0},
		{~0ULL, ~0U, 0},
		{end, 1, 0},
		{end - 1, 2, 0},
		{WASTE_SECTOR, ~0U, 0},
		{1ULL << 55, 1, 0},
		{0 - 8ULL, 16, 0},
		{1ULL << 63, 1U << 31, 0},
		{WASTE_SECTOR, 1, 0x80000000},
		{WASTE_SECTOR, 1, ~0U},
		{WASTE_SECTOR, 1, 2},
	};
	static const uint32_t bytes[] = {0, 1, 8, 15, 17, 31, 511};
	const struct segment good = {WASTE_SECTOR, 1, 0};
	const char *why = NULL;
	unsigned i;

	for (i = 0; i < sizeof(list) / sizeof(list[0]) && !why; i++)
		why = segment_fails(d, type, &list[i], sizeof(list[i]));
	for (i = 0; i < sizeof(bytes) / sizeof(bytes[0]) && !why; i++)
		why = segment_fails(d, type, &good, bytes[i]);
	return why;
}

/* Offered or not, a bad segment never succeeds. */
static const char *discards(struct device *d)
{
	return segments(d, T_DISCARD);
}

static const char *zeroes(struct device *d)
{
	return segments(d, T_WRITE_ZEROES);
}

/* What was not negotiated is not done, be the segment ever so good. */
static const char *discards_not_negotiated(struct device *d)
{
	const struct segment good = {WASTE_SECTOR, 1, 0};
	const char *why = segment_fails(d, T_DISCARD, &good, sizeof(good));

	if (!why)
		why = segment_fails(d, T_WRITE_ZEROES, &good, sizeof(good));
	if (!why)
		why = segment_fails(d, T_SECURE_ERASE, &good, sizeof(good));
	return why;
}

const struct attack block_attacks[] = {
	{"request in 21 pieces", bytes_in_the_ring, 0, true},
	{"request in 21 pieces of a table", bytes_in_a_table, 0, true},
	{"status in the data's buffer", status_behind_data, 0, false},
	{"request without header or status", short_headers, 0, true},
	{"sectors past the end and wrapping", past_the_end, 0, false},
	{"data that ends within a sector", broken_sectors, 0, false},
	{"types nobody knows", unknown_types, 0, false},
	{"writes", writes, 0, false},
	{"ids into small and large buffers", ids, 0, false},
	{"data on the wrong side", wrong_way, 0, false},
	{"flushes", flushes, 0, false},
	{"flushes, not negotiated", flushes, F_VERSION_1, false},
	{"header, data and status in one place", all_in_one_place, 0, false},
	{"reads into 254 buffers", long_read, 0, true},
	{"reads of 128 MiB", large_read, 0, true},
	{"reads of almost 4 GiB", largest_read, 0, true},
	{"writes of almost 4 GiB", largest_write, 0, true},
	{"discard: bad segments", discards, 0, false},
	{"write zeroes: bad segments", zeroes, 0, false},
	{"discard, not negotiated", discards_not_negotiated, F_VERSION_1,
	 false},
	{0},
};
