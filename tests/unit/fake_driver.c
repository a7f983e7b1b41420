/* A machine for one device, and a driver for it. */
#include "tests/unit/fake_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>

#include <cmocka.h>

#include "tests/unit/fake_kvm.h"
#include "vmm/base/clock.h"

static void signalled(void *machine, enum device_signal what)
{
	struct fake_host *h = machine;

	h->signals[what]++;
	if (what == DEVICE_WORK)
		h->has_work = true;
}

void fake_host_open(struct fake_host *h)
{
	static const struct guest_range ranges[] = {
		{.gpa = FAKE_LOW, .size = FAKE_LOW_SIZE},
		{.gpa = FAKE_HIGH, .size = FAKE_HIGH_SIZE},
	};
	struct err e;

	fake_kvm_reset();
	memset(h, 0, sizeof(*h));
	h->thread = pthread_self();
	assert_int_equal(loop_open(&h->loop, &e), 0);
	assert_int_equal(
		guest_mem_open(&h->mem, ranges, 2,
			       &(struct guest_mem_backing){GUEST_MEM_SMALL},
			       &e),
		0);
	h->host = (struct device_host){
		.loop = &h->loop,
		.vm = &h->vm,
		.mem = &h->mem,
		.signal = signalled,
		.machine = h,
	};
}

void fake_host_remove(struct fake_host *h)
{
	if (h->device) {
		if (h->device->ops->stop)
			h->device->ops->stop(h->device);
		h->device->ops->free(h->device);
	}
	h->device = NULL;
}

void fake_host_close(struct fake_host *h)
{
	fake_host_remove(h);
	loop_close(&h->loop);
	guest_mem_close(&h->mem);
	assert_int_equal(fake_kvm.irqs, 0);
	assert_int_equal(fake_kvm.strays, 0);
}

int fake_host_add(struct fake_host *h, struct device *d, struct err *e)
{
	mutex_init(&d->lock);
	d->host = &h->host;
	d->slot = (struct arch_slot){
		.kind = d->ops->kind,
		.has_irq = true,
		.base = FAKE_SLOT,
		.size = 0x1000,
		.gsi = FAKE_GSI,
	};
	h->device = d;
	return d->ops->start ? d->ops->start(d, e) : 0;
}

unsigned fake_host_turn(struct fake_host *h, unsigned most)
{
	struct epoll_event event;
	struct loop_watch *w;
	unsigned n;

	for (n = 0; n < most; n++) {
		if (atomic_exchange(&h->has_work, false)) {
			h->device->ops->work(h->device);
			continue;
		}
		if (epoll_wait(h->loop.fd, &event, 1, 0) <= 0)
			break;
		w = event.data.ptr;
		w->ready(w, event.events);
	}
	return n;
}

struct stop {
	struct loop_timer timer; /* first */
	struct loop *loop;
};

static void stop_fired(struct loop_timer *t)
{
	loop_stop(((struct stop *)t)->loop);
}

void fake_host_wait(struct fake_host *h)
{
	struct stop stop = {.timer.fire = stop_fired, .loop = &h->loop};

	loop_arm(&h->loop, &stop.timer, clock_now_ns() + 1000000);
	assert_int_equal(loop_run(&h->loop, NULL), 0);
	loop_disarm(&h->loop, &stop.timer);
}

void fake_read(struct fake_host *h, uint64_t offset, void *data, uint32_t len)
{
	struct device *d = h->device;

	memset(data, 0, len);
	if (!d->ops->read)
		return;
	if (d->ops->quick && d->ops->quick(d, offset, data, len, false))
		return;
	mutex_lock(&d->lock);
	d->ops->read(d, offset, data, len);
	mutex_unlock(&d->lock);
}

void fake_settle(struct fake_host *h)
{
	struct device *d = h->device;

	while (d->ops->settle && !d->ops->settle(d)) {
		if (pthread_equal(h->thread, pthread_self()))
			fake_host_turn(h, 64);
		clock_rest();
	}
}

void fake_write(struct fake_host *h, uint64_t offset, const void *data,
		uint32_t len)
{
	fake_write_only(h, offset, data, len);
	fake_settle(h);
}

void fake_write_only(struct fake_host *h, uint64_t offset, const void *data,
		     uint32_t len)
{
	struct device *d = h->device;

	if (!d->ops->write)
		return;
	if (d->ops->quick &&
	    d->ops->quick(d, offset, (void *)(uintptr_t)data, len, true))
		return;
	mutex_lock(&d->lock);
	d->ops->write(d, offset, data, len);
	mutex_unlock(&d->lock);
}

uint8_t fake_read8(struct fake_host *h, uint64_t offset)
{
	uint8_t value;

	fake_read(h, offset, &value, sizeof(value));
	return value;
}

uint32_t fake_read32(struct fake_host *h, uint64_t offset)
{
	uint32_t value;

	fake_read(h, offset, &value, sizeof(value));
	return value;
}

void fake_write8(struct fake_host *h, uint64_t offset, uint8_t value)
{
	fake_write(h, offset, &value, sizeof(value));
}

void fake_write32(struct fake_host *h, uint64_t offset, uint32_t value)
{
	fake_write(h, offset, &value, sizeof(value));
}

void fake_ring_init(struct fake_ring *r, const struct guest_mem *mem,
		    uint64_t gpa, uint16_t size)
{
	const uint64_t n = size;
	const uint64_t bytes = 16 * n + (6 + 2 * n + 2) + (6 + 8 * n);
	void *used;

	memset(r, 0, sizeof(*r));
	r->size = size;
	r->desc_gpa = gpa;
	r->avail_gpa = gpa + 16 * n;
	r->used_gpa = (r->avail_gpa + 6 + 2 * n + 3) & ~3ULL;
	r->desc = guest_mem_at(mem, gpa, bytes);
	assert_non_null(r->desc);
	memset(r->desc, 0, bytes);
	r->avail = guest_mem_at(mem, r->avail_gpa, 6 + 2 * n);
	used = guest_mem_at(mem, r->used_gpa, 6 + 8 * n);
	assert_non_null(used);
	r->used_head = used;
	r->used = (uint32_t *)used + 1;
	r->avail_event = (uint16_t *)used + 2 + 4 * n;
}

void fake_ring_desc(struct fake_ring *r, uint16_t at, uint64_t addr,
		    uint32_t len, uint16_t flags, uint16_t next)
{
	r->desc[at] = (struct fake_desc){
		.addr = addr, .len = len, .flags = flags, .next = next};
}

void fake_ring_offer(struct fake_ring *r, uint16_t head)
{
	r->avail[2 + r->avail_idx % r->size] = head;
	r->avail_idx++;
	__atomic_store_n(&r->avail[1], r->avail_idx, __ATOMIC_RELEASE);
}

bool fake_ring_take(struct fake_ring *r, uint32_t *id, uint32_t *len)
{
	const uint32_t *elem = &r->used[r->used_idx % r->size * 2U];

	if (__atomic_load_n(&r->used_head[1], __ATOMIC_ACQUIRE) == r->used_idx)
		return false;
	*id = elem[0];
	*len = elem[1];
	r->used_idx++;
	return true;
}

uint64_t fake_driver_offered(struct fake_host *h)
{
	uint64_t low;

	fake_write32(h, MMIO_DEVICE_FEATURES_SEL, 0);
	low = fake_read32(h, MMIO_DEVICE_FEATURES);
	fake_write32(h, MMIO_DEVICE_FEATURES_SEL, 1);
	return low | (uint64_t)fake_read32(h, MMIO_DEVICE_FEATURES) << 32;
}

uint32_t fake_driver_negotiate(struct fake_host *h, uint64_t features)
{
	fake_write32(h, MMIO_STATUS, 0);
	fake_write32(h, MMIO_STATUS, ST_ACKNOWLEDGE);
	fake_write32(h, MMIO_STATUS, ST_DRIVER);
	fake_write32(h, MMIO_DRIVER_FEATURES_SEL, 0);
	fake_write32(h, MMIO_DRIVER_FEATURES, (uint32_t)features);
	fake_write32(h, MMIO_DRIVER_FEATURES_SEL, 1);
	fake_write32(h, MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
	fake_write32(h, MMIO_STATUS, ST_FEATURES_OK);
	return fake_read32(h, MMIO_STATUS);
}

static void write_gpa(struct fake_host *h, uint64_t reg, uint64_t gpa)
{
	fake_write32(h, reg, (uint32_t)gpa);
	fake_write32(h, reg + 4, (uint32_t)(gpa >> 32));
}

void fake_driver_queue(struct fake_host *h, unsigned index,
		       const struct fake_ring *r)
{
	fake_write32(h, MMIO_QUEUE_SEL, index);
	fake_write32(h, MMIO_QUEUE_SIZE, r->size);
	write_gpa(h, MMIO_DESC, r->desc_gpa);
	write_gpa(h, MMIO_DRIVER, r->avail_gpa);
	write_gpa(h, MMIO_DEVICE, r->used_gpa);
	fake_write32(h, MMIO_QUEUE_READY, 1);
}

void fake_driver_up(struct fake_host *h, struct fake_ring *r, uint64_t features,
		    uint64_t gpa, uint16_t size)
{
	features |= FAKE_F_VERSION_1;
	assert_int_equal(fake_driver_negotiate(h, features), ST_FEATURES_OK);
	fake_ring_init(r, &h->mem, gpa, size);
	fake_driver_queue(h, 0, r);
	assert_int_equal(fake_read32(h, MMIO_QUEUE_READY), 1);
	fake_write32(h, MMIO_STATUS, ST_DRIVER_OK);
	assert_int_equal(fake_read32(h, MMIO_STATUS), ST_DRIVER_OK);
	/* The device looks at its queues once when the driver comes up. */
	fake_host_turn(h, 4);
}

uint64_t fake_random(struct fake_random *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return r->state * 0x2545f4914f6cdd1dULL;
}

uint32_t fake_random_below(struct fake_random *r, uint32_t n)
{
	return (uint32_t)((fake_random(r) >> 32) % n);
}
