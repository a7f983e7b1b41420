/*
 * Attacks by rings and descriptors (virtio 1.2, 2.7): what a driver says about
 * its buffers, whatever device they are for.
 */
#include "tests/guests/hostile.h"

static _Alignas(4096) volatile uint8_t buffer[4096];
/* An indirect table; the descriptors of a good one come last. */
static _Alignas(16) volatile struct desc table[QUEUE_ROOM + 8];

/* ---- the available ring ---- */

static const char *index_jump(struct device *d, uint16_t by)
{
	struct queue *q = target(d);

	WANT(device_up(d, F_ALL), "it did not come up");
	desc_buffer(&q->desc[0], buffer, 1, 0, 0);
	q->avail.idx = by;
	barrier();
	queue_kick(d, d->kind->target);
	WANT_STOPPED(d);
	WANT(q->used.idx == 0, "it used something");
	return NULL;
}

static const char *index_jumps(struct device *d)
{
	static const uint16_t by[] = {QUEUE_SIZE + 1, 256,    257,   0x7fff,
				      0x8000,	      0xfff0, 0xffff};
	const char *why;
	unsigned i;

	for (i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
		why = index_jump(d, by[i]);
		if (why)
			return why;
	}
	return NULL;
}

static const char *heads(struct device *d)
{
	static const uint16_t bad[] = {QUEUE_SIZE, QUEUE_SIZE + 1, 255,	  256,
				       0x7fff,	   0x8000,	   0xffff};
	unsigned i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		WANT(device_up(d, F_ALL), "it did not come up");
		desc_buffer(&target(d)->desc[0], buffer, 1, 0, 0);
		submit(d, bad[i]);
		WANT_STOPPED(d);
	}
	return NULL;
}

/* ---- descriptors ---- */

/* One chain that starts at 0 stops the device. */
static const char *stopped(struct device *d)
{
	submit(d, 0);
	WANT_STOPPED(d);
	WANT(target(d)->used.idx == 0, "it used the chain");
	WANT(reg_read(d, REG_INTERRUPT_STATUS) & 2, "it did not say so");
	return NULL;
}

static const char *next_outside(struct device *d)
{
	static const uint16_t bad[] = {QUEUE_SIZE, 255, 256, 0x8000, 0xffff};
	const char *why;
	unsigned i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		WANT(device_up(d, F_ALL), "it did not come up");
		desc_buffer(&target(d)->desc[0], buffer, 1, NEXT, bad[i]);
		why = stopped(d);
		if (why)
			return why;
	}
	return NULL;
}

static const char *loop_of(struct device *d, unsigned length, uint16_t flags,
			   uint32_t bytes)
{
	struct queue *q = target(d);
	unsigned i;

	WANT(device_up(d, F_ALL), "it did not come up");
	for (i = 0; i < length; i++)
		desc_buffer(&q->desc[i], buffer, bytes, NEXT | flags,
			    (uint16_t)((i + 1) % length));
	return stopped(d);
}

static const char *loops(struct device *d)
{
	static const unsigned lengths[] = {1, 2, 3, QUEUE_SIZE};
	const char *why;
	unsigned i;

	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		why = loop_of(d, lengths[i], 0, 1);
		if (why)
			return why;
		why = loop_of(d, lengths[i], WRITE, sizeof(buffer));
		if (why)
			return why;
	}
	return NULL;
}

struct range {
	uint64_t addr;
	uint32_t len;
};

/* Each as the first buffer and as the last, to be read and to be written. */
static const char *ranges_refused(struct device *d, const struct range *list,
				  unsigned count)
{
	const struct range *r;
	const char *why;

	for (r = list; r < list + count; r++) {
		WANT(device_up(d, F_ALL), "it did not come up");
		desc_set(&target(d)->desc[0], r->addr, r->len, 0, 0);
		why = stopped(d);
		if (why)
			return why;
		WANT(device_up(d, F_ALL), "it did not come up");
		desc_buffer(&target(d)->desc[0], buffer, 64, NEXT, 1);
		desc_set(&target(d)->desc[1], r->addr, r->len, WRITE, 0);
		why = stopped(d);
		if (why)
			return why;
	}
	return NULL;
}

static const char *lengths(struct device *d)
{
	const uint64_t at = gpa_of(buffer);
	const struct range list[] = {
		{at, 0},	 {at, 0xffffffff}, {at, 0x80000000}, {0, 0},
		{0, 0xffffffff}, {~0ULL, 0},	   {at, 0xfffff000},
	};

	return ranges_refused(d, list, sizeof(list) / sizeof(list[0]));
}

static const char *addresses(struct device *d)
{
	const uint64_t end = memory_end();
	const struct range list[] = {
		{end, 1},
		{end - 256, 257},
		{end - 1, 2},
		{end - 1, 0xffffffff},
		{d->base, 4},
		{d->base + REG_CONFIG, 8},
		{0xc0000000, 1},
		{0xc0001000 - 1, 2},
		{0xfec00000, 16},
		{0xfee00000, 16},
		{0xffffffff, 1},
		{0xffffffff, 2},
		{0x100000000ULL | gpa_of(buffer), 16},
		{1ULL << 40, 16},
		{1ULL << 63 | gpa_of(buffer), 16},
		{~0ULL, 1},
		{~0ULL, 2},
		{~0ULL - 4095, 8192},
		{0xffffffffffff0000ULL, 0xffff},
		{0 - gpa_of(buffer), 0xffffffff},
	};

	return ranges_refused(d, list, sizeof(list) / sizeof(list[0]));
}

static const char *readable_after_writable(struct device *d)
{
	struct queue *q = target(d);

	desc_buffer(&q->desc[0], buffer, 64, NEXT, 1);
	desc_buffer(&q->desc[1], buffer, 64, NEXT | WRITE, 2);
	desc_buffer(&q->desc[2], buffer, 64, 0, 0);
	return stopped(d);
}

static const char *four_gib(struct device *d)
{
	struct queue *q = target(d);
	unsigned i;

	/* 256 buffers of all of memory: the sum passes 4 GiB by far. */
	WANT(device_negotiate(d, F_ALL), "negotiation failed");
	queue_place(d, d->kind->target, q, QUEUE_ROOM);
	reg_write(d, REG_QUEUE_READY, 1);
	reg_write(d, REG_STATUS,
		  ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	for (i = 0; i < QUEUE_ROOM; i++)
		desc_set(&q->desc[i], 0, (uint32_t)memory_end(), NEXT,
			 (uint16_t)((i + 1) % QUEUE_ROOM));
	return stopped(d);
}

/* ---- indirect tables ---- */

static const char *table_refused(struct device *d, uint64_t addr, uint32_t len,
				 uint16_t flags)
{
	unsigned i;

	WANT(device_up(d, F_ALL), "it did not come up");
	for (i = 0; i < QUEUE_ROOM + 8; i++)
		desc_buffer(&table[i], buffer, 1, NEXT, (uint16_t)(i + 1));
	desc_set(&target(d)->desc[0], addr, len, INDIRECT | flags, 1);
	desc_buffer(&target(d)->desc[1], buffer, 16, 0, 0);
	return stopped(d);
}

static const char *tables_refused(struct device *d, const struct range *list,
				  unsigned count)
{
	const char *why;
	unsigned i;

	for (i = 0; i < count; i++) {
		why = table_refused(d, list[i].addr, list[i].len, 0);
		if (why)
			return why;
	}
	return NULL;
}

static const char *table_lengths(struct device *d)
{
	const uint64_t at = gpa_of(table);
	const struct range list[] = {
		{at, 0},
		{at, 1},
		{at, 8},
		{at, 15},
		{at, 17},
		{at, 24},
		{at, 0xfffffff0},
		{at, 0xffffffff},
		{at, 0x80000000},
		/* Well-formed but too long for the queue. */
		{at, 16 * (QUEUE_SIZE + 1)},
		{at, 16 * QUEUE_ROOM},
		/* The chain leaves the table. */
		{at, 16},
		{at, 32},
		{at, 16 * QUEUE_SIZE},
	};

	return tables_refused(d, list, sizeof(list) / sizeof(list[0]));
}

static const char *table_addresses(struct device *d)
{
	const uint64_t end = memory_end();
	const struct range list[] = {
		{end, 16},
		{end - 16, 32},
		{d->base, 64},
		{0xc0000000, 16},
		{0xfee00000, 16},
		{0xfffffff0, 32},
		{1ULL << 40, 16},
		{~0ULL << 4, 16},
		{~0ULL << 4, 32},
		{~0ULL << 31, 0x80000000},
		{0 - gpa_of(table), 64},
		{0x100000000ULL | gpa_of(table), 16},
	};

	return tables_refused(d, list, sizeof(list) / sizeof(list[0]));
}

static const char *table_goes_on(struct device *d)
{
	return table_refused(d, gpa_of(table), 64, NEXT);
}

static const char *table_in_table(struct device *d)
{
	struct queue *q = target(d);
	const char *why;

	desc_buffer(&q->desc[0], table, 64, INDIRECT, 0);
	desc_buffer(&table[0], &table[4], 64, INDIRECT, 0);
	desc_buffer(&table[4], buffer, 1, 0, 0);
	why = stopped(d);
	if (why)
		return why;
	/* One that holds itself, and one that comes after a buffer. */
	WANT(device_up(d, F_ALL), "it did not come up");
	desc_buffer(&q->desc[0], table, 16, INDIRECT, 0);
	desc_buffer(&table[0], table, 16, INDIRECT, 0);
	why = stopped(d);
	if (why)
		return why;
	WANT(device_up(d, F_ALL), "it did not come up");
	desc_buffer(&q->desc[0], buffer, 1, NEXT, 1);
	desc_buffer(&q->desc[1], table, 32, INDIRECT, 0);
	desc_buffer(&table[0], buffer, 1, NEXT, 1);
	desc_buffer(&table[1], &q->desc[0], 16, INDIRECT, 0);
	return stopped(d);
}

/* The queue's own table as an indirect one: then it is a table in a table. */
static const char *table_is_the_queue(struct device *d)
{
	struct queue *q = target(d);

	desc_buffer(&q->desc[0], q->desc, 64, INDIRECT, 0);
	return stopped(d);
}

static const char *table_with_loop(struct device *d)
{
	desc_buffer(&target(d)->desc[0], table, 64, INDIRECT, 0);
	desc_buffer(&table[0], buffer, 1, NEXT, 1);
	desc_buffer(&table[1], buffer, 1, NEXT, 0);
	return stopped(d);
}

static const char *table_not_negotiated(struct device *d)
{
	desc_buffer(&target(d)->desc[0], table, 64, INDIRECT, 0);
	desc_buffer(&table[0], buffer, 1, 0, 0);
	return stopped(d);
}

/* ---- what is odd and yet no fault by itself ---- */

/* Whatever it makes of that: it comes to rest and can be reset. */
static const char *settles(struct device *d)
{
	uint16_t idx;
	unsigned i;

	queue_kick(d, d->kind->target);
	sleep_us(3000);
	for (i = 0; i < 20; i++) {
		idx = target(d)->used.idx;
		sleep_us(1000);
		if (idx == target(d)->used.idx)
			return NULL;
	}
	return "it goes on and on";
}

static const char *one_head_often(struct device *d)
{
	struct queue *q = target(d);
	unsigned i;

	desc_buffer(&q->desc[0], buffer, 64, NEXT, 1);
	desc_buffer(&q->desc[1], buffer, 64, WRITE, 0);
	for (i = 0; i < QUEUE_SIZE; i++)
		queue_offer(q, (uint16_t)(i & 1));
	return settles(d);
}

static const char *buffers_over_rings(struct device *d)
{
	struct queue *q = target(d);
	const volatile void *const over[] = {q->desc, &q->avail, &q->used};
	const char *why;
	unsigned i;

	for (i = 0; i < 3; i++) {
		WANT(device_up(d, F_ALL), "it did not come up");
		desc_buffer(&q->desc[0], over[i], 64, NEXT, 1);
		desc_buffer(&q->desc[1], over[i], 513, WRITE, 0);
		queue_offer(q, 0);
		why = settles(d);
		if (why)
			return why;
	}
	return NULL;
}

static const char *event_words(struct device *d)
{
	struct queue *q = target(d);
	const char *why;
	unsigned i;

	for (i = 0; i < 40; i++) {
		q->avail.ring[q->size] = (uint16_t)random_next();
		*(volatile uint16_t *)&q->used.ring[q->size].id =
			(uint16_t)random_next();
		q->avail.flags = (uint16_t)random_next();
		q->used.flags = (uint16_t)random_next();
		why = d->kind->prove(d);
		if (why)
			return why;
	}
	return NULL;
}

/* What the device writes is not read back by it. */
static const char *used_forged(struct device *d)
{
	struct queue *q = target(d);

	d->kind->fill(d);
	submit(d, 0);
	WANT(queue_used(q), "a good chain was not used");
	q->used.idx = 0x1234;
	q->seen = q->used.idx;
	submit(d, 0);
	WANT(queue_used(q), "the next one was not used");
	WANT(q->used.idx == 2, "it believed its own ring");
	return NULL;
}

const struct attack ring_attacks[] = {
	{"ring: index jumps by more than the size", index_jumps, 0, true},
	{"ring: heads past the table", heads, 0, true},
	{"chain: next past the table", next_outside, 0, true},
	{"chain: loops", loops, 0, true},
	{"chain: lengths of 0, 2 GiB and 4 GiB", lengths, 0, true},
	{"chain: addresses outside memory and wrapping", addresses, 0, true},
	{"chain: readable after writable", readable_after_writable, 0, false},
	{"chain: all of memory, 256 times", four_gib, 0, true},
	{"table: lengths", table_lengths, 0, true},
	{"table: addresses", table_addresses, 0, true},
	{"table: INDIRECT with NEXT", table_goes_on, 0, true},
	{"table: in a table", table_in_table, 0, false},
	{"table: the queue's own", table_is_the_queue, 0, false},
	{"table: with a loop", table_with_loop, 0, false},
	{"table: not negotiated", table_not_negotiated, F_VERSION_1, false},
	{"ring: one head in every entry", one_head_often, 0, false},
	{"chain: buffers over the rings", buffers_over_rings, 0, true},
	{"ring: random flags and event words", event_words, 0, false},
	{"ring: random flags, without EVENT_IDX", event_words, ~F_EVENT_IDX,
	 false},
	{"ring: a forged used index", used_forged, 0, false},
	{0},
};
