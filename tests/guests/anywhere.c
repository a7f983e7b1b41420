/* Well-behaved drivers of devices, whichever monitor they are of. */
#include "tests/guests/anywhere.h"

#include "tests/guests/idle.h"

enum { LAPIC_IRR = 0xfee00200 };

/* Where devices are, and their pins of the I/O APIC. */
struct place {
	uintptr_t base;
	uint32_t size;
	unsigned count;
	unsigned pin;
};

static const struct place places[] = {
	{SLOTS, SLOT_SIZE, SLOT_COUNT, 5},
	{0xfeb00000, 0x200, 8, 5}, /* QEMU's microvm machine, without ACPI */
};

bool find_anywhere(struct device *d)
{
	const struct place *p;
	unsigned i;

	for (p = places; p < places + sizeof(places) / sizeof(*p); p++) {
		for (i = 0; i < p->count; i++) {
			d->base = p->base + i * p->size;
			if (reg_read(d, REG_MAGIC) != MAGIC ||
			    reg_read(d, REG_DEVICE_ID) != d->kind->id)
				continue;
			idle_pin(p->pin + i);
			return true;
		}
	}
	return false;
}

bool bring_up(struct device *d, uint64_t wanted, uint16_t size)
{
	unsigned i;

	if (!find_anywhere(d) || !device_negotiate(d, wanted))
		return false;
	for (i = 0; i < d->kind->queues; i++) {
		queue_place(d, i, &d->queue[i], size);
		reg_write(d, REG_QUEUE_READY, 1);
	}
	reg_write(d, REG_STATUS,
		  ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
	return true;
}

bool offer_politely(struct device *d, unsigned queue, uint16_t head)
{
	struct queue *q = &d->queue[queue];
	const uint16_t old = q->avail.idx;

	queue_offer(q, head);
	/* avail_event (virtio 1.2, 2.7.10.1): behind what was used. */
	if ((uint16_t)q->used.ring[q->size].id != old)
		return false;
	queue_kick(d, queue);
	return true;
}

bool ask_for_interrupt(struct queue *q)
{
	q->avail.ring[q->size] = q->seen;
	barrier();
	return q->used.idx != q->seen;
}

int take_used(struct queue *q)
{
	if (q->used.idx == q->seen)
		return -1;
	barrier();
	return (int)q->used.ring[q->seen++ & (q->size - 1)].id;
}

bool is_interrupted(void)
{
	const uintptr_t irr = (uintptr_t)LAPIC_IRR + VECTOR_DEVICE / 32 * 0x10;

	return *(volatile uint32_t *)irr & 1U << VECTOR_DEVICE % 32;
}

void take_interrupt(const struct device *d)
{
	idle();
	reg_write(d, REG_INTERRUPT_ACK, reg_read(d, REG_INTERRUPT_STATUS));
}
