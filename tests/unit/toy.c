/* A virtio device to try drivers on. */
#include "tests/unit/toy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/virtio/mmio.h"
#include "tests/unit/fake_kvm.h"

struct fake_host toy_host;
struct fake_ring toy_ring;
struct toy *toy;

static unsigned frees;

static struct toy *toy_of(struct virtio *v)
{
	return (struct toy *)v;
}

static void toy_config_read(struct virtio *v, uint64_t offset, void *data,
			    uint32_t len)
{
	struct toy *t = toy_of(v);

	virtio_copy_config(t->config, sizeof(t->config), offset, data, len);
}

static void toy_config_write(struct virtio *v, uint64_t offset,
			     const void *data, uint32_t len)
{
	struct toy *t = toy_of(v);

	if (offset < sizeof(t->config) && len <= sizeof(t->config) - offset)
		memcpy(t->config + offset, data, len);
}

static void toy_activate(struct virtio *v)
{
	toy_of(v)->activations++;
}

static bool toy_quiesce(struct virtio *v)
{
	toy_of(v)->quiets++;
	if (toy_of(v)->is_slow)
		return false;
	toy_of(v)->has_kept = false;
	return true;
}

static void toy_reset(struct virtio *v)
{
	toy_of(v)->resets++;
}

static void toy_kick(struct virtio *v, struct vq *vq) REQUIRES(v->device.lock)
{
	struct toy *t = toy_of(v);
	int i;

	t->kicks++;
	assert_true(vq->live);
	for (i = 0; i < 64 && vq_pop(vq, &t->chain) > 0; i++) {
		t->served++;
		t->has_kept = t->is_keeping;
		if (!t->is_keeping)
			vq_push(vq, t->chain.head, 0);
	}
	if (vq_enable_kicks(vq) && i == 64)
		virtio_kick_again(v);
	virtio_notify(v, vq);
}

static void toy_free(struct virtio *v)
{
	frees++;
	free(v);
}

const struct virtio_ops toy_ops = {
	.name = "toy",
	.id = TOY_ID,
	.config_read = toy_config_read,
	.config_write = toy_config_write,
	.activate = toy_activate,
	.quiesce = toy_quiesce,
	.reset = toy_reset,
	.kick = toy_kick,
	.free = toy_free,
};

/* All that a device may leave out. */
static const struct virtio_ops bare_ops = {
	.name = "bare",
	.id = TOY_ID,
	.config_read = toy_config_read,
	.kick = toy_kick,
	.free = toy_free,
};

static void make_toy(const struct virtio_ops *ops)
{
	struct err e;

	toy = calloc(1, sizeof(*toy));
	assert_non_null(toy);
	memset(toy->beyond, 0xcc, sizeof(toy->beyond));
	memcpy(toy->config, "config", sizeof(toy->config));
	virtio_init(&toy->virtio, ops, &mmio_transport, "toy", TOY_FEATURE,
		    TOY_QUEUES, TOY_QUEUE_MAX);
	assert_int_equal(fake_host_add(&toy_host, &toy->virtio.device, &e), 0);
}

static void add_toy(const struct virtio_ops *ops)
{
	fake_host_open(&toy_host);
	make_toy(ops);
}

void toy_renew(void)
{
	fake_host_remove(&toy_host);
	/* Another VM, too. */
	fake_kvm.ioeventfds = 0;
	make_toy(&toy_ops);
}

int toy_setup(void **state)
{
	(void)state;
	add_toy(&toy_ops);
	return 0;
}

int toy_setup_bare(void **state)
{
	(void)state;
	add_toy(&bare_ops);
	return 0;
}

int toy_teardown(void **state)
{
	(void)state;
	frees = 0;
	fake_host_close(&toy_host);
	assert_int_equal(frees, 1);
	return 0;
}

uint32_t toy_status(void)
{
	return fake_read32(&toy_host, MMIO_STATUS);
}

void toy_set_status(uint32_t value)
{
	fake_write32(&toy_host, MMIO_STATUS, value);
}

void toy_up(void)
{
	fake_driver_up(&toy_host, &toy_ring, 0, 0x1000, TOY_SIZE);
}

/* One request of one writable byte, offered; not yet notified. */
void toy_offer(void)
{
	fake_ring_desc(&toy_ring, 0, 0x8000, 1, FAKE_WRITE, 0);
	fake_ring_offer(&toy_ring, 0);
}

void toy_notify(uint32_t queue)
{
	fake_write32(&toy_host, MMIO_NOTIFY, queue);
	assert_true(fake_host_turn(&toy_host, 8) < 8);
}
