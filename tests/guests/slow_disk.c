/*
 * A guest that leaves its disks no rest: on each, again and again, one request
 * of every kind, then a reset, while they are in flight or when they have
 * ended. For disks that take their time; see tests/vm/slow-disk.
 */
#include "tests/guests/hostile_block.h"

void hostile_main(void);

enum { DISKS = 4, KINDS = 5, RESET_AFTER_US = 20000, READ_CLUSTERS = 32 };

static const struct kind slow_kind = {
	.id = ID_BLOCK,
	.name = "block",
	.queues = 1,
	.features = F_ALL,
};

static struct queue queues[DISKS][1];
static struct device disks[DISKS];
static struct block_request requests[DISKS][KINDS];
static unsigned disk_count;

static void find_disks(void)
{
	unsigned slot;

	for (slot = 0; slot < SLOT_COUNT && disk_count < DISKS; slot++) {
		struct device *d = &disks[disk_count];

		d->base = SLOTS + slot * SLOT_SIZE;
		if (reg_read(d, REG_MAGIC) != MAGIC ||
		    reg_read(d, REG_DEVICE_ID) != ID_BLOCK)
			continue;
		d->kind = &slow_kind;
		d->queue = queues[disk_count++];
	}
}

/* A range of eight sectors, as data of a discard or of zeroes. */
static void fill_range(struct block_request *r)
{
	volatile uint32_t *range = (volatile uint32_t *)r->data;

	range[0] = WASTE_SECTOR;
	range[1] = 0;
	range[2] = 8;
	range[3] = 0;
}

/* Reads are of another cluster each round: an overlay has the one written. */
static void offer_all(struct device *d, struct block_request *all,
		      unsigned round)
{
	static const uint32_t types[KINDS] = {T_IN, T_OUT, T_FLUSH, T_DISCARD,
					      T_WRITE_ZEROES};
	struct queue *q = target(d);
	unsigned i;

	for (i = 0; i < KINDS; i++) {
		struct block_request *r = &all[i];
		const uint16_t at = (uint16_t)(i * 3);
		const bool is_range = types[i] >= T_DISCARD;
		const uint32_t len = is_range ? 16 : SECTOR;

		r->type = types[i];
		r->sector = is_range ? 0 : WASTE_SECTOR;
		if (types[i] == T_IN)
			r->sector += 8 + 8 * (round % READ_CLUSTERS);
		r->status = S_NONE;
		if (is_range)
			fill_range(r);
		desc_buffer(&q->desc[at], r, 16, NEXT,
			    types[i] == T_FLUSH ? at + 2 : at + 1);
		desc_buffer(&q->desc[at + 1], r->data, len,
			    NEXT | (types[i] == T_IN ? WRITE : 0), at + 2);
		desc_buffer(&q->desc[at + 2], &r->status, 1, WRITE, 0);
		queue_offer(q, at);
	}
	queue_kick(d, 0);
}

/* Whether all ended, and well. */
static bool are_done(struct device *d, struct block_request *all)
{
	unsigned i;

	for (i = 0; i < KINDS; i++)
		if (!queue_used(target(d)))
			return false;
	for (i = 0; i < KINDS; i++)
		if (all[i].status != S_OK)
			return false;
	return true;
}

void hostile_main(void)
{
	unsigned round, i;

	find_disks();
	for (round = 0;; round++) {
		for (i = 0; i < disk_count; i++)
			if (device_up(&disks[i], F_ALL))
				offer_all(&disks[i], requests[i], round);
			else
				print("not ok - a disk did not come up\n");
		if (round % 4) {
			sleep_us(RESET_AFTER_US);
		} else {
			for (i = 0; i < disk_count; i++)
				print(are_done(&disks[i], requests[i])
					      ? "served\n"
					      : "not ok - served\n");
		}
	}
}
