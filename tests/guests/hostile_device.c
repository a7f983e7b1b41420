/*
 * The hostile guest's driver: registers in every width, and the steps of a
 * well-behaved driver, from which attacks depart where they please.
 */
#include "tests/guests/hostile.h"

/* How long a device may take; and how long nothing must happen. */
enum { PATIENCE_US = 5000000, CALM_US = 2000 };

uint32_t reg_read(const struct device *d, uint32_t reg)
{
	return *(volatile uint32_t *)(d->base + reg);
}

void reg_write(const struct device *d, uint32_t reg, uint32_t value)
{
	*(volatile uint32_t *)(d->base + reg) = value;
}

void reg_write64(const struct device *d, uint32_t reg, uint64_t value)
{
	reg_write(d, reg, (uint32_t)value);
	reg_write(d, reg + 4, (uint32_t)(value >> 32));
}

uint8_t reg_read8(const struct device *d, uint32_t reg)
{
	return *(volatile uint8_t *)(d->base + reg);
}

void reg_write8(const struct device *d, uint32_t reg, uint8_t value)
{
	*(volatile uint8_t *)(d->base + reg) = value;
}

uint16_t reg_read16(const struct device *d, uint32_t reg)
{
	return *(volatile uint16_t *)(d->base + reg);
}

void reg_write16(const struct device *d, uint32_t reg, uint16_t value)
{
	*(volatile uint16_t *)(d->base + reg) = value;
}

/*
 * MMX has the only load and store of 8 bytes that 32-bit code finds here. No
 * emms: nothing here computes with x87, and KVM's interpreter doesn't know it.
 */
uint64_t reg_read_wide(const struct device *d, uint32_t reg)
{
	uint64_t value;

	__asm__ volatile("movq %1, %%mm0\n\tmovq %%mm0, %0"
			 : "=m"(value)
			 : "m"(*(volatile uint64_t *)(d->base + reg)));
	return value;
}

void reg_write_wide(const struct device *d, uint32_t reg, uint64_t value)
{
	__asm__ volatile("movq %1, %%mm0\n\tmovq %%mm0, %0"
			 : "=m"(*(volatile uint64_t *)(d->base + reg))
			 : "m"(value));
}

bool needs_reset(const struct device *d)
{
	const uint64_t end = moment_in_us(PATIENCE_US);

	do {
		if (reg_read(d, REG_STATUS) & NEEDS_RESET)
			return true;
	} while (!is_past(end));
	return false;
}

bool stays_calm(const struct device *d, const struct queue *q)
{
	sleep_us(CALM_US);
	return !(reg_read(d, REG_STATUS) & NEEDS_RESET) &&
	       q->used.idx == q->seen;
}

void device_reset(const struct device *d)
{
	reg_write(d, REG_STATUS, 0);
}

bool device_negotiate(struct device *d, uint64_t wanted)
{
	uint64_t accepted;

	device_reset(d);
	if (reg_read(d, REG_STATUS))
		return false;
	reg_write(d, REG_STATUS, ACKNOWLEDGE);
	reg_write(d, REG_STATUS, ACKNOWLEDGE | DRIVER);
	reg_write(d, REG_DEVICE_FEATURES_SEL, 1);
	d->offered = (uint64_t)reg_read(d, REG_DEVICE_FEATURES) << 32;
	reg_write(d, REG_DEVICE_FEATURES_SEL, 0);
	d->offered |= reg_read(d, REG_DEVICE_FEATURES);
	accepted = d->offered & wanted & d->kind->features;
	accepted |= F_VERSION_1;
	reg_write(d, REG_DRIVER_FEATURES_SEL, 0);
	reg_write(d, REG_DRIVER_FEATURES, (uint32_t)accepted);
	reg_write(d, REG_DRIVER_FEATURES_SEL, 1);
	reg_write(d, REG_DRIVER_FEATURES, (uint32_t)(accepted >> 32));
	reg_write(d, REG_STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
	return reg_read(d, REG_STATUS) == (ACKNOWLEDGE | DRIVER | FEATURES_OK);
}

void queue_address(const struct device *d, uint32_t reg, uint64_t gpa)
{
	reg_write64(d, reg, gpa);
}

/* By one instruction, where code is interpreted. */
static void clear(volatile void *memory, size_t len)
{
	size_t words = len / sizeof(uint32_t);

	__asm__ volatile("rep stosl"
			 : "+D"(memory), "+c"(words)
			 : "a"(0)
			 : "memory");
}

void queue_place(const struct device *d, unsigned index, struct queue *q,
		 uint16_t size)
{
	/* No more than the queue uses: code here is interpreted. */
	clear(q->desc, size * sizeof(q->desc[0]));
	clear(&q->avail, (3 + size + 1) / 2 * sizeof(uint32_t));
	clear(&q->used, (2 + size * 2U) * sizeof(uint32_t));
	q->size = size;
	q->seen = 0;
	reg_write(d, REG_QUEUE_SEL, index);
	reg_write(d, REG_QUEUE_SIZE, size);
	queue_address(d, REG_DESC, gpa_of(q->desc));
	queue_address(d, REG_AVAIL, gpa_of(&q->avail));
	queue_address(d, REG_USED, gpa_of(&q->used));
}

bool device_prepare(struct device *d, uint64_t wanted)
{
	unsigned i;

	if (!device_negotiate(d, wanted))
		return false;
	for (i = 0; i < d->kind->queues; i++) {
		queue_place(d, i, &d->queue[i], QUEUE_SIZE);
		reg_write(d, REG_QUEUE_READY, 1);
		if (reg_read(d, REG_QUEUE_READY) != 1)
			return false;
	}
	return true;
}

bool device_up(struct device *d, uint64_t wanted)
{
	const uint32_t up = ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK;

	if (!device_prepare(d, wanted))
		return false;
	reg_write(d, REG_STATUS, up);
	return reg_read(d, REG_STATUS) == up;
}

void desc_set(volatile struct desc *desc, uint64_t addr, uint32_t len,
	      uint16_t flags, uint16_t next)
{
	desc->addr = addr;
	desc->len = len;
	desc->flags = flags;
	desc->next = next;
}

void desc_buffer(volatile struct desc *desc, const volatile void *buffer,
		 uint32_t len, uint16_t flags, uint16_t next)
{
	desc_set(desc, gpa_of(buffer), len, flags, next);
}

void queue_offer(struct queue *q, uint16_t head)
{
	const uint16_t idx = q->avail.idx;

	q->avail.ring[idx & (q->size - 1)] = head;
	barrier();
	q->avail.idx = (uint16_t)(idx + 1);
	barrier();
}

void queue_kick(const struct device *d, unsigned index)
{
	reg_write(d, REG_QUEUE_NOTIFY, index);
}

void submit(struct device *d, uint16_t head)
{
	queue_offer(target(d), head);
	queue_kick(d, d->kind->target);
}

bool queue_used(struct queue *q)
{
	const uint64_t end = moment_in_us(PATIENCE_US);

	while (q->used.idx == q->seen) {
		if (is_past(end))
			return false;
		__asm__ volatile("pause");
	}
	barrier();
	q->seen++;
	return true;
}
