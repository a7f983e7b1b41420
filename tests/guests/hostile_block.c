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

const struct attack block_attacks[] = {
	{0},
};
