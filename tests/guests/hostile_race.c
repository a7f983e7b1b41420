/*
 * Attacks in time: a second processor changes what the device is looking at,
 * or keeps it busy, while the first one asks for work. A device that reads
 * guest memory twice, or that can be kept at one queue for ever, loses.
 */
#include "tests/guests/hostile.h"

enum { ROUNDS = 2000, ROUNDS_US = 400000, PROOFS = 5, STORM = 200 };

/* What the accomplice works on. */
static struct device *victim;

static _Alignas(4096) volatile struct desc table[QUEUE_SIZE];

/* A good chain, from which the accomplice departs and to which it returns. */
static struct desc good[QUEUE_SIZE];

static void remember(volatile struct desc *from)
{
	unsigned i;

	for (i = 0; i < QUEUE_SIZE; i++) {
		good[i].addr = from[i].addr;
		good[i].len = from[i].len;
		good[i].flags = from[i].flags;
		good[i].next = from[i].next;
	}
}

/* One field of one descriptor goes bad and comes back. */
static void spoil(volatile struct desc *at)
{
	const unsigned i = random_next() % 3;
	volatile struct desc *d = &at[i];

	switch (random_next() % 6) {
	case 0:
		d->len = 0xffffffff;
		d->len = good[i].len;
		break;
	case 1:
		d->addr = memory_end() - 8;
		d->addr = good[i].addr;
		break;
	case 2:
		*((volatile uint32_t *)&d->addr + 1) = 0xffffffff;
		d->addr = good[i].addr;
		break;
	case 3:
		d->next = 0xffff;
		d->next = good[i].next;
		break;
	case 4:
		d->flags = good[i].flags | INDIRECT;
		d->flags = good[i].flags;
		break;
	default:
		d->flags = NEXT | WRITE;
		d->next = (uint16_t)i;
		d->next = good[i].next;
		d->flags = good[i].flags;
		break;
	}
}

static void spoil_queue(void)
{
	spoil(target(victim)->desc);
}

static void spoil_table(void)
{
	struct queue *q = target(victim);

	spoil(table);
	q->desc[0].len = random_next() & 1 ? 0xfffffff0 : 16;
	q->desc[0].len = 48;
}

static void spoil_heads(void)
{
	struct queue *q = target(victim);
	const uint32_t at = random_next() % QUEUE_SIZE;

	q->avail.ring[at] = (uint16_t)random_next();
	q->avail.ring[at] = 0;
}

/* What the first processor offered; the ring may say otherwise for a moment. */
static volatile uint16_t promised;

static void spoil_index(void)
{
	struct queue *q = target(victim);

	q->avail.idx = (uint16_t)(promised + random_next() % 40);
	q->avail.idx = promised;
	/* It may have been taken back just when the device looked. */
	queue_kick(victim, victim->kind->target);
}

/* The header of whatever request: the first bytes of its first buffer. */
static void spoil_header(void)
{
	volatile uint32_t *word = (volatile uint32_t *)(uintptr_t)good[0].addr;
	const uint32_t at = random_next() % 4;
	const uint32_t was = word[at];

	word[at] = random_next();
	word[at] = was;
}

static void lay_out(struct device *d, bool in_table)
{
	struct queue *q = target(d);
	unsigned i;

	d->kind->fill(d);
	remember(q->desc);
	if (!in_table)
		return;
	for (i = 0; i < QUEUE_SIZE; i++)
		desc_set(&table[i], good[i].addr, good[i].len, good[i].flags,
			 good[i].next);
	desc_buffer(&q->desc[0], table, 48, INDIRECT, 0);
}

/* Used, stopped or neither: the last is what must not be. */
static bool comes_to_an_end(struct device *d)
{
	const uint64_t end = moment_in_us(3000000);
	struct queue *q = target(d);

	for (;;) {
		if (q->used.idx != q->seen) {
			q->seen = q->used.idx;
			return true;
		}
		if (reg_read(d, REG_STATUS) & NEEDS_RESET)
			return true;
		if (is_past(end))
			return false;
	}
}

static const char *race(struct device *d, void (*spoiler)(void), bool in_table)
{
	const uint64_t end = moment_in_us(ROUNDS_US);
	const char *why = NULL;
	unsigned round;

	victim = d;
	promised = 0;
	lay_out(d, in_table);
	WANT(accomplice_start(spoiler), "there is no second processor");
	for (round = 0; round < ROUNDS && !is_past(end) && !why; round++) {
		if (reg_read(d, REG_STATUS) & NEEDS_RESET) {
			promised = 0;
			/* It may well be stopped again as soon as it is up. */
			if (!device_up(d, F_ALL) &&
			    !(reg_read(d, REG_STATUS) & NEEDS_RESET)) {
				why = "it did not come up in between";
				break;
			}
			lay_out(d, in_table);
		}
		promised++;
		submit(d, 0);
		if (!comes_to_an_end(d))
			why = "a request was neither used nor refused";
	}
	accomplice_stop();
	return why;
}

static const char *race_queue(struct device *d)
{
	return race(d, spoil_queue, false);
}

static const char *race_table(struct device *d)
{
	return race(d, spoil_table, true);
}

static const char *race_heads(struct device *d)
{
	return race(d, spoil_heads, false);
}

static const char *race_index(struct device *d)
{
	return race(d, spoil_index, false);
}

static const char *race_header(struct device *d)
{
	return race(d, spoil_header, false);
}

/* ---- keeping the monitor busy ---- */

/* While the accomplice works, another device answers again and again. */
static const char *witness_endures(struct device *d, void (*work)(void))
{
	const char *why = NULL;
	unsigned i;

	victim = d;
	why = witness_answers(d);
	if (why)
		return why;
	WANT(accomplice_start(work), "there is no second processor");
	for (i = 0; i < PROOFS && !why; i++)
		why = witness_answers(d);
	accomplice_stop();
	return why;
}

/* Whenever something was used, as much is offered again. */
static void refill(void)
{
	struct queue *q = target(victim);

	q->avail.idx = (uint16_t)(q->used.idx + QUEUE_SIZE);
	queue_kick(victim, victim->kind->target);
}

static const char *never_empty(struct device *d)
{
	lay_out(d, false);
	return witness_endures(d, refill);
}

static void ring_the_bell(void)
{
	queue_kick(victim, victim->kind->target);
}

static const char *bell_storm(struct device *d)
{
	return witness_endures(d, ring_the_bell);
}

static void up_and_down(void)
{
	unsigned i;

	if (!device_up(victim, F_ALL))
		return;
	lay_out(victim, false);
	for (i = 0; i < QUEUE_SIZE; i++)
		queue_offer(target(victim), 0);
	queue_kick(victim, victim->kind->target);
	device_reset(victim);
}

static const char *reset_storm_aside(struct device *d)
{
	return witness_endures(d, up_and_down);
}

static const char *reset_storm_in_flight(struct device *d)
{
	unsigned i;

	victim = d;
	for (i = 0; i < STORM; i++)
		up_and_down();
	return NULL;
}

static void status_at_random(void)
{
	reg_write(victim, REG_STATUS, random_next() & 15);
	reg_write(victim, random_next() % 0xc0 & ~3U, random_next());
}

static const char *registers_by_two(struct device *d)
{
	const uint64_t end = moment_in_us(300000);

	victim = d;
	WANT(accomplice_start(status_at_random),
	     "there is no second processor");
	while (!is_past(end))
		(void)device_up(d, F_ALL);
	accomplice_stop();
	return NULL;
}

const struct attack race_attacks[] = {
	{"race: descriptors change", race_queue, 0, false},
	{"race: an indirect table changes", race_table, 0, false},
	{"race: heads change", race_heads, 0, false},
	{"race: the index changes", race_index, 0, false},
	{"race: the request's header changes", race_header, 0, false},
	{"race: the ring is never empty", never_empty, 0, false},
	{"race: notifications without end", bell_storm, 0, false},
	{"race: resets with requests in flight, without end", reset_storm_aside,
	 0, false},
	{"200 resets with requests in flight", reset_storm_in_flight, 0, false},
	{"race: two processors write one device's registers", registers_by_two,
	 0, false},
	{0},
};
