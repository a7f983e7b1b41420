/*
 * Attacks on the registers of virtio-mmio (virtio 1.2, 4.2.2) and on the steps
 * of initialisation (3.1.1): they need no ring.
 */
#include "tests/guests/hostile.h"

enum { PAGE = 0x1000 };

/* What no access may change: the device is there and is what it was. */
static const char *identity(const struct device *d)
{
	WANT(reg_read(d, REG_MAGIC) == MAGIC, "its magic changed");
	WANT(reg_read(d, REG_VERSION) == 2, "its version changed");
	WANT(reg_read(d, REG_DEVICE_ID) == d->kind->id, "its id changed");
	return NULL;
}

/* ---- accesses ---- */

static const char *read_everything(struct device *d)
{
	uint32_t reg;

	for (reg = 0; reg < PAGE; reg += 4)
		(void)reg_read(d, reg);
	for (reg = 0; reg < PAGE; reg += 37) {
		(void)reg_read8(d, reg);
		(void)reg_read16(d, reg);
		(void)reg_read(d, reg);
		(void)reg_read_wide(d, reg);
	}
	/* Across the end of the page, into the next device or into nothing. */
	(void)reg_read16(d, PAGE - 1);
	(void)reg_read(d, PAGE - 2);
	(void)reg_read_wide(d, PAGE - 3);
	return d->kind->prove(d);
}

/* Nothing, or what stands there: 4.2.2.2 lets no driver do it. */
static bool is_nothing_or(uint64_t got, uint64_t there)
{
	return got == 0 || got == there;
}

static const char *odd_reads(struct device *d)
{
	const uint64_t magic = reg_read(d, REG_MAGIC);
	const uint64_t version = reg_read(d, REG_VERSION);
	const uint64_t two = magic | version << 32;

	WANT(is_nothing_or(reg_read8(d, REG_MAGIC), (uint8_t)magic),
	     "a byte of a register is another's");
	WANT(is_nothing_or(reg_read16(d, REG_MAGIC), (uint16_t)magic),
	     "half a register is another's");
	WANT(is_nothing_or(reg_read_wide(d, REG_MAGIC), two),
	     "two registers are not what they are one by one");
	WANT(is_nothing_or(reg_read(d, REG_MAGIC + 1), (uint32_t)(two >> 8)),
	     "off by one is something else");
	(void)reg_read_wide(d, REG_CONFIG - 4);
	return d->kind->prove(d);
}

/* A status of 0 in any other width or place is no reset. */
static const char *odd_writes(struct device *d)
{
	const uint32_t before = reg_read(d, REG_STATUS);

	reg_write8(d, REG_STATUS, 0);
	reg_write16(d, REG_STATUS, 0);
	reg_write_wide(d, REG_STATUS, 0);
	reg_write_wide(d, REG_STATUS - 4, 0);
	reg_write(d, REG_STATUS - 1, 0);
	reg_write(d, REG_STATUS + 1, 0);
	WANT(reg_read(d, REG_STATUS) == before, "the status changed");
	return d->kind->prove(d);
}

static const char *read_only_registers(struct device *d)
{
	static const uint32_t regs[] = {
		REG_MAGIC,
		REG_VERSION,
		REG_DEVICE_ID,
		0x00c,
		REG_DEVICE_FEATURES,
		REG_QUEUE_SIZE_MAX,
		REG_SHM_LEN,
		REG_INTERRUPT_STATUS,
		REG_CONFIG_GENERATION,
		0x018,
		0x01c,
		0x028,
		0x03c,
		0x040,
		0x0ac,
		0x0c0,
		0x0f8,
	};
	uint32_t max = reg_read(d, REG_QUEUE_SIZE_MAX);
	const char *why;
	unsigned i;

	for (i = 0; i < sizeof(regs) / sizeof(regs[0]); i++) {
		reg_write(d, regs[i], 0xffffffff);
		reg_write(d, regs[i], 0);
	}
	why = identity(d);
	if (why)
		return why;
	WANT(reg_read(d, REG_QUEUE_SIZE_MAX) == max, "the size changed");
	return d->kind->prove(d);
}

/* The same rubbish everywhere, the doorbell and the status included. */
static const char *write_everything(struct device *d)
{
	uint32_t reg;

	for (reg = 0; reg < PAGE; reg += 4)
		reg_write(d, reg, random_next());
	for (reg = 0; reg < PAGE; reg += 29) {
		reg_write8(d, reg, (uint8_t)random_next());
		reg_write16(d, reg, (uint16_t)random_next());
		reg_write(d, reg, random_next());
		reg_write_wide(d, reg, random_next());
	}
	return identity(d);
}

static const char *write_everything_early(struct device *d)
{
	device_reset(d);
	return write_everything(d);
}

static const char *write_everything_midway(struct device *d)
{
	WANT(device_negotiate(d, F_ALL), "negotiation failed");
	return write_everything(d);
}

static const char *string_instructions(struct device *d)
{
	static uint32_t copy[64];
	uint32_t *to = copy;
	uintptr_t from = d->base + REG_CONFIG;
	unsigned n = 64;

	__asm__ volatile("rep movsl"
			 : "+D"(to), "+S"(from), "+c"(n)
			 :
			 : "memory");
	to = copy;
	from = d->base;
	n = 64;
	__asm__ volatile("rep movsl"
			 : "+D"(to), "+S"(from), "+c"(n)
			 :
			 : "memory");
	WANT(copy[0] == MAGIC, "copied registers differ");
	return d->kind->prove(d);
}

/* ---- configuration space ---- */

static const char *config_is_constant(struct device *d)
{
	uint32_t before[16];
	uint32_t i;

	for (i = 0; i < 16; i++)
		before[i] = reg_read(d, REG_CONFIG + i * 4);
	for (i = REG_CONFIG; i < PAGE; i += 4)
		reg_write(d, i, 0xdeadbeef);
	for (i = REG_CONFIG; i < REG_CONFIG + 0x100; i++) {
		reg_write8(d, i, 0xff);
		reg_write16(d, i, 0xffff);
		reg_write_wide(d, i, ~0ULL);
	}
	reg_write_wide(d, PAGE - 8, ~0ULL);
	reg_write16(d, PAGE - 1, 0xffff);
	for (i = 0; i < 16; i++)
		WANT(before[i] == reg_read(d, REG_CONFIG + i * 4),
		     "the configuration changed");
	return d->kind->prove(d);
}

static const char *config_beyond(struct device *d)
{
	uint32_t reg;

	for (reg = 0x800; reg < PAGE; reg += 4)
		WANT(reg_read(d, reg) == 0, "something lies behind");
	WANT(reg_read_wide(d, PAGE - 8) == 0, "something lies at the end");
	WANT(reg_read8(d, PAGE - 1) == 0, "something lies in the last byte");
	return d->kind->prove(d);
}

/* ---- features ---- */

static void offer_features(const struct device *d, uint64_t features)
{
	device_reset(d);
	reg_write(d, REG_STATUS, ACKNOWLEDGE);
	reg_write(d, REG_STATUS, ACKNOWLEDGE | DRIVER);
	reg_write(d, REG_DRIVER_FEATURES_SEL, 0);
	reg_write(d, REG_DRIVER_FEATURES, (uint32_t)features);
	reg_write(d, REG_DRIVER_FEATURES_SEL, 1);
	reg_write(d, REG_DRIVER_FEATURES, (uint32_t)(features >> 32));
	reg_write(d, REG_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
}

static const char *features_not_offered(struct device *d)
{
	unsigned bit;

	for (bit = 0; bit < 64; bit++) {
		if (d->offered >> bit & 1)
			continue;
		offer_features(d, F_VERSION_1 | 1ULL << bit);
		WANT(!(reg_read(d, REG_STATUS) & FEATURES_OK),
		     "it agreed to a feature it had not offered");
	}
	offer_features(d, ~0ULL);
	WANT(!(reg_read(d, REG_STATUS) & FEATURES_OK), "it agreed to all");
	return NULL;
}

static const char *features_without_version(struct device *d)
{
	offer_features(d, 0);
	WANT(!(reg_read(d, REG_STATUS) & FEATURES_OK), "it agreed to none");
	offer_features(d, d->offered & ~F_VERSION_1);
	WANT(!(reg_read(d, REG_STATUS) & FEATURES_OK),
	     "it agreed to be a legacy device");
	return NULL;
}

static const char *features_selectors(struct device *d)
{
	static const uint32_t halves[] = {2,  3,	  31,	     32,
					  63, 0x80000000, 0xffffffff};
	unsigned i;

	device_reset(d);
	reg_write(d, REG_STATUS, ACKNOWLEDGE);
	reg_write(d, REG_STATUS, ACKNOWLEDGE | DRIVER);
	for (i = 0; i < sizeof(halves) / sizeof(halves[0]); i++) {
		reg_write(d, REG_DEVICE_FEATURES_SEL, halves[i]);
		WANT(reg_read(d, REG_DEVICE_FEATURES) == 0,
		     "there are features past the 64th");
		reg_write(d, REG_DRIVER_FEATURES_SEL, halves[i]);
		reg_write(d, REG_DRIVER_FEATURES, 0xffffffff);
	}
	reg_write(d, REG_DRIVER_FEATURES_SEL, 1);
	reg_write(d, REG_DRIVER_FEATURES, 1);
	reg_write(d, REG_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	WANT(reg_read(d, REG_STATUS) & FEATURES_OK,
	     "features past the 64th were taken for others");
	return NULL;
}

/* After FEATURES_OK nothing is added: an indirect descriptor stays a fault. */
static const char *features_too_late(struct device *d)
{
	struct queue *q = target(d);

	WANT(device_prepare(d, 0), "it did not come up");
	reg_write(d, REG_DRIVER_FEATURES_SEL, 0);
	reg_write(d, REG_DRIVER_FEATURES, (uint32_t)F_INDIRECT);
	reg_write(d, REG_STATUS,
		  ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	reg_write(d, REG_DRIVER_FEATURES, (uint32_t)F_INDIRECT);
	desc_buffer(&q->desc[0], &q->desc[4], 16, INDIRECT, 0);
	desc_buffer(&q->desc[4], &q->desc[8], 64, 0, 0);
	submit(d, 0);
	WANT_STOPPED(d);
	return NULL;
}

/* ---- status ---- */

/* From `path`, a list of values ending with 0, the last one must stop it. */
static const char *refused_path(const struct device *d, const uint32_t *path)
{
	device_reset(d);
	for (; *path; path++)
		reg_write(d, REG_STATUS, *path);
	WANT_STOPPED(d);
	device_reset(d);
	WANT(reg_read(d, REG_STATUS) == 0, "a reset did not clear it");
	return NULL;
}

static const char *status_steps(struct device *d)
{
	static const uint32_t paths[][5] = {
		{DRIVER},
		{FEATURES_OK},
		{DRIVER_OK},
		{ACKNOWLEDGE, ACKNOWLEDGE | FEATURES_OK},
		{ACKNOWLEDGE, ACKNOWLEDGE | DRIVER_OK},
		{ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK},
		{ACKNOWLEDGE | DRIVER, ACKNOWLEDGE | DRIVER | DRIVER_OK},
		/* Refused features, and on all the same. */
		{ACKNOWLEDGE, ACKNOWLEDGE | DRIVER,
		 ACKNOWLEDGE | DRIVER | FEATURES_OK,
		 ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK},
		/* Bits taken back. */
		{ACKNOWLEDGE | DRIVER, DRIVER},
		{ACKNOWLEDGE | DRIVER, ACKNOWLEDGE},
		{ACKNOWLEDGE, 0x100},
	};
	const char *why;
	unsigned i;

	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		why = refused_path(d, paths[i]);
		if (why)
			return why;
	}
	return NULL;
}

static const char *status_bits_cleared(struct device *d)
{
	reg_write(d, REG_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	WANT_STOPPED(d);
	WANT(reg_read(d, REG_INTERRUPT_STATUS) & 2, "it did not say so");
	return NULL;
}

/* Only the device asks for a reset, and only a reset takes that back. */
static const char *status_needs_reset_forged(struct device *d)
{
	const uint32_t up = reg_read(d, REG_STATUS);
	const char *why;

	reg_write(d, REG_STATUS, up | NEEDS_RESET);
	WANT(reg_read(d, REG_STATUS) == up, "the driver set NEEDS_RESET");
	why = d->kind->prove(d);
	if (why)
		return why;
	reg_write(d, REG_STATUS, ACKNOWLEDGE);
	WANT_STOPPED(d);
	reg_write(d, REG_STATUS, up);
	WANT_STOPPED(d);
	return NULL;
}

static const char *status_failed(struct device *d)
{
	const uint32_t up = reg_read(d, REG_STATUS);

	reg_write(d, REG_STATUS, up | FAILED);
	WANT(reg_read(d, REG_STATUS) & FAILED, "it does not believe it");
	queue_kick(d, d->kind->target);
	reg_write(d, REG_QUEUE_READY, 1);
	WANT(stays_calm(d, target(d)), "a device given up still works");
	return NULL;
}

static const char *status_every_value(struct device *d)
{
	uint32_t value;

	for (value = 0; value < 256; value++) {
		reg_write(d, REG_STATUS, value);
		reg_write(d, REG_STATUS, value | 0xffffff00);
	}
	reg_write(d, REG_STATUS, 0x80000000);
	return NULL;
}

/* ---- the doorbell and interrupts ---- */

static const char *notify_early(struct device *d)
{
	static const uint32_t steps[] = {ACKNOWLEDGE, ACKNOWLEDGE | DRIVER};
	unsigned i, queue;

	device_reset(d);
	for (i = 0; i <= 2; i++) {
		for (queue = 0; queue < 20; queue++)
			queue_kick(d, queue);
		queue_kick(d, 0xffffffff);
		if (i < 2)
			reg_write(d, REG_STATUS, steps[i]);
	}
	WANT(device_negotiate(d, F_ALL), "negotiation failed");
	queue_kick(d, d->kind->target);
	WANT(device_prepare(d, F_ALL), "queues are not ready");
	desc_set(&target(d)->desc[0], 0, 0, 0, 0);
	queue_offer(target(d), 0);
	queue_kick(d, d->kind->target);
	WANT(stays_calm(d, target(d)), "it looked before DRIVER_OK");
	return NULL;
}

static const char *notify_absent_queues(struct device *d)
{
	static const uint32_t queues[] = {3,	  15,	   16,	       17,
					  0xffff, 0x10000, 0x80000000, ~0U};
	unsigned i;

	for (i = 0; i < sizeof(queues) / sizeof(queues[0]); i++)
		queue_kick(d, queues[i]);
	for (i = 0; i < 8; i++) {
		reg_write8(d, REG_QUEUE_NOTIFY + (i & 3), 0);
		reg_write16(d, REG_QUEUE_NOTIFY + (i & 3), 0);
	}
	reg_write_wide(d, REG_QUEUE_NOTIFY, 0);
	WANT(stays_calm(d, target(d)), "something happened");
	return d->kind->prove(d);
}

static const char *notify_storm(struct device *d)
{
	unsigned i;

	for (i = 0; i < 10000; i++)
		queue_kick(d, i & 3);
	return d->kind->prove(d);
}

static const char *acknowledge_rubbish(struct device *d)
{
	const char *why;
	unsigned i;

	for (i = 0; i < 64; i++)
		reg_write(d, REG_INTERRUPT_ACK, random_next());
	why = d->kind->prove(d);
	if (why)
		return why;
	reg_write(d, REG_INTERRUPT_ACK, ~0U);
	WANT(reg_read(d, REG_INTERRUPT_STATUS) == 0, "an interrupt stays");
	return d->kind->prove(d);
}

/* ---- resets ---- */

static const char *reset_storm(struct device *d)
{
	unsigned i;

	for (i = 0; i < 10000; i++)
		device_reset(d);
	WANT(reg_read(d, REG_STATUS) == 0, "it is not reset");
	return NULL;
}

static const char *reset_storm_midway(struct device *d)
{
	unsigned i;

	for (i = 0; i < 200; i++) {
		WANT(device_prepare(d, F_ALL), "it did not come up");
		queue_kick(d, i & 3);
	}
	return NULL;
}

static const char *reset_storm_up(struct device *d)
{
	unsigned i;

	for (i = 0; i < 20; i++) {
		WANT(device_up(d, F_ALL), "it did not come up");
		queue_kick(d, i & 3);
	}
	return NULL;
}

const struct attack transport_attacks[] = {
	{"every register is read in every width", read_everything, 0, false},
	{"registers read in other widths are theirs", odd_reads, 0, false},
	{"a reset takes 32 bits", odd_writes, 0, false},
	{"read-only registers stay", read_only_registers, 0, false},
	{"rubbish into every register of a device that is up", write_everything,
	 0, false},
	{"rubbish into every register of a device in reset",
	 write_everything_early, 0, true},
	{"rubbish into every register after FEATURES_OK",
	 write_everything_midway, 0, true},
	{"registers are read by rep movs", string_instructions, 0, false},
	{"the configuration cannot be written", config_is_constant, 0, false},
	{"nothing lies behind the configuration", config_beyond, 0, false},
	{"features that were not offered", features_not_offered, 0, false},
	{"features without VERSION_1", features_without_version, 0, false},
	{"selectors past the features", features_selectors, 0, true},
	{"features after FEATURES_OK", features_too_late, 0, true},
	{"status: steps left out and taken back", status_steps, 0, true},
	{"status: bits cleared when up", status_bits_cleared, 0, false},
	{"status: NEEDS_RESET is the device's to set and a reset's to clear",
	 status_needs_reset_forged, 0, false},
	{"status: FAILED is final", status_failed, 0, false},
	{"status: every value there is", status_every_value, 0, false},
	{"notifications before DRIVER_OK", notify_early, 0, true},
	{"notifications of absent queues", notify_absent_queues, 0, false},
	{"10,000 notifications", notify_storm, 0, false},
	{"interrupts acknowledged at random", acknowledge_rubbish, 0, false},
	{"10,000 resets", reset_storm, 0, false},
	{"200 resets with queues ready", reset_storm_midway, 0, true},
	{"20 resets of a device that is up", reset_storm_up, 0, true},
	{0},
};
