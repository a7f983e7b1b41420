/*
 * Attacks by what a driver says of its queues (virtio 1.2, 4.2.2 and 2.7): how
 * long they are, where they lie, and when.
 */
#include "tests/guests/hostile.h"

static _Alignas(4096) volatile uint8_t buffer[4096];

static bool place(struct device *d, uint32_t size, uint32_t reg, uint64_t gpa)
{
	struct queue *q = target(d);

	if (!device_negotiate(d, F_ALL))
		return false;
	queue_place(d, d->kind->target, q, QUEUE_SIZE);
	reg_write(d, REG_QUEUE_SIZE, size);
	if (reg)
		queue_address(d, reg, gpa);
	reg_write(d, REG_QUEUE_READY, 1);
	return true;
}

static const char *sizes(struct device *d)
{
	static const uint32_t bad[] = {0,     3,      15,	  17,
				       255,   257,    512,	  1024,
				       32767, 32768,  32769,	  65535,
				       65536, 65552,  0x80000000, 0x80000010,
				       ~0U,   0xfff0, 0x10100,	  0x00010000};
	unsigned i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		WANT(place(d, bad[i], 0, 0), "negotiation failed");
		WANT_STOPPED(d);
		WANT(reg_read(d, REG_QUEUE_READY) == 0, "the queue is ready");
	}
	return NULL;
}

static const char *good_sizes(struct device *d)
{
	uint32_t size;

	for (size = 1; size <= reg_read(d, REG_QUEUE_SIZE_MAX); size *= 2) {
		WANT(place(d, size, 0, 0), "negotiation failed");
		WANT(reg_read(d, REG_QUEUE_READY) == 1,
		     "a power of two was refused");
		reg_write(d, REG_QUEUE_SEL, d->kind->target);
	}
	return NULL;
}

/* Each area in turn at every address in the list. */
static const char *areas_refused(struct device *d, const uint64_t *list,
				 unsigned count)
{
	static const uint32_t areas[] = {REG_DESC, REG_AVAIL, REG_USED};
	unsigned i, area;

	for (i = 0; i < count; i++) {
		for (area = 0; area < 3; area++) {
			WANT(place(d, QUEUE_SIZE, areas[area], list[i]),
			     "negotiation failed");
			WANT_STOPPED(d);
			WANT(reg_read(d, REG_QUEUE_READY) == 0,
			     "the queue is ready");
		}
	}
	return NULL;
}

static const char *areas_outside(struct device *d)
{
	const uint64_t end = memory_end();
	const uint64_t list[] = {
		end,
		end - 16,
		end + 4096,
		d->base,
		d->base + 0x100,
		0xc0000000,
		0xfec00000,
		0xfee00000,
		0xfffffff0,
		0x100000000ULL,
		0x100000ffff0ULL,
		1ULL << 40,
		1ULL << 52,
		1ULL << 63,
		~0ULL << 4,
		~0ULL << 12,
		~0ULL << 31,
		end | 1ULL << 32,
	};

	return areas_refused(d, list, sizeof(list) / sizeof(list[0]));
}

static const char *areas_unaligned(struct device *d)
{
	struct queue *q = target(d);

	WANT(place(d, QUEUE_SIZE, REG_DESC, gpa_of(q->desc) + 8), "no");
	WANT_STOPPED(d);
	WANT(place(d, QUEUE_SIZE, REG_DESC, gpa_of(q->desc) + 1), "no");
	WANT_STOPPED(d);
	WANT(place(d, QUEUE_SIZE, REG_AVAIL, gpa_of(&q->avail) + 1), "no");
	WANT_STOPPED(d);
	WANT(place(d, QUEUE_SIZE, REG_USED, gpa_of(&q->used) + 2), "no");
	WANT_STOPPED(d);
	WANT(place(d, QUEUE_SIZE, REG_USED, gpa_of(&q->used) + 3), "no");
	WANT_STOPPED(d);
	return NULL;
}

/* Rings that lie over one another, or at 0: memory, so not refused. */
static const char *areas_overlap(struct device *d)
{
	struct queue *q = target(d);
	const uint64_t at[] = {gpa_of(q->desc), gpa_of(&q->avail),
			       gpa_of(&q->used), 0};
	unsigned i, j, n;

	for (i = 0; i < 4; i++) {
		for (j = 0; j < 4; j++) {
			WANT(device_negotiate(d, F_ALL), "negotiation failed");
			queue_place(d, d->kind->target, q, QUEUE_SIZE);
			queue_address(d, REG_AVAIL, at[i]);
			queue_address(d, REG_USED, at[j]);
			reg_write(d, REG_QUEUE_READY, 1);
			reg_write(d, REG_STATUS,
				  ACKNOWLEDGE | DRIVER | FEATURES_OK |
					  DRIVER_OK);
			for (n = 0; n < QUEUE_SIZE; n++)
				desc_buffer(&q->desc[n], buffer, 1,
					    n & 1 ? WRITE : NEXT,
					    (uint16_t)(n + 1));
			for (n = 0; n < 4; n++)
				submit(d, (uint16_t)n);
			sleep_us(300);
		}
	}
	return NULL;
}

static const char *registers_when_up(struct device *d)
{
	uint32_t reg;

	reg_write(d, REG_QUEUE_SEL, d->kind->target);
	reg_write(d, REG_QUEUE_SIZE, 3);
	for (reg = REG_DESC; reg < REG_SHM_LEN; reg += 4)
		reg_write(d, reg, 0xfffffff0);
	reg_write(d, REG_QUEUE_READY, 1);
	WANT(stays_calm(d, target(d)), "it was moved");
	return d->kind->prove(d);
}

static const char *registers_when_ready(struct device *d)
{
	uint32_t reg;

	WANT(device_prepare(d, F_ALL), "it did not come up");
	reg_write(d, REG_QUEUE_SEL, d->kind->target);
	reg_write(d, REG_QUEUE_SIZE, 32769);
	for (reg = REG_DESC; reg < REG_SHM_LEN; reg += 4)
		reg_write(d, reg, 0xfffffff0);
	reg_write(d, REG_QUEUE_READY, 1);
	reg_write(d, REG_STATUS,
		  ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	return d->kind->prove(d);
}

static const char *absent_queues(struct device *d)
{
	static const uint32_t numbers[] = {16,	   17,	    255,	256,
					   0xffff, 0x10000, 0x80000000, ~0U};
	uint32_t reg;
	unsigned i;

	WANT(device_negotiate(d, F_ALL), "negotiation failed");
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		reg_write(d, REG_QUEUE_SEL, numbers[i]);
		WANT(reg_read(d, REG_QUEUE_SIZE_MAX) == 0, "it has a size");
		for (reg = REG_QUEUE_SIZE; reg < REG_SHM_LEN; reg += 4)
			if (reg != REG_STATUS)
				reg_write(d, reg, 1);
		WANT(reg_read(d, REG_QUEUE_READY) == 0, "it is ready");
	}
	WANT(!(reg_read(d, REG_STATUS) & NEEDS_RESET), "it was upset");
	return NULL;
}

static const char *taken_away(struct device *d)
{
	struct queue *q = target(d);
	uint16_t idx;
	unsigned i;

	for (i = 0; i < QUEUE_SIZE; i++) {
		desc_buffer(&q->desc[i], buffer, 1, WRITE, 0);
		queue_offer(q, (uint16_t)i);
	}
	queue_kick(d, d->kind->target);
	reg_write(d, REG_QUEUE_SEL, d->kind->target);
	reg_write(d, REG_QUEUE_READY, 0);
	WANT(reg_read(d, REG_QUEUE_READY) == 0, "it is ready still");
	idx = q->used.idx;
	queue_kick(d, d->kind->target);
	for (i = 0; i < 3; i++) {
		reg_write(d, REG_QUEUE_READY, i);
		sleep_us(500);
		WANT(q->used.idx == idx, "it writes to memory given back");
	}
	return NULL;
}

const struct attack queue_attacks[] = {
	{"queue: sizes that are none", sizes, 0, true},
	{"queue: sizes that are fine", good_sizes, 0, false},
	{"queue: areas outside memory", areas_outside, 0, true},
	{"queue: areas unaligned", areas_unaligned, 0, true},
	{"queue: areas over one another and at 0", areas_overlap, 0, true},
	{"queue: registers written after DRIVER_OK", registers_when_up, 0,
	 false},
	{"queue: registers written when ready", registers_when_ready, 0, true},
	{"queue: absent ones are set up", absent_queues, 0, true},
	{"queue: taken away with work in it", taken_away, 0, false},
	{0},
};
