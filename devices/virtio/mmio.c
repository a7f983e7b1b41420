/*
 * Registers of virtio-mmio (virtio 1.2, 4.2.2). Control registers are 32 bits
 * wide and must be accessed so: other widths read zero and write nothing. The
 * configuration from 0x100 on may be accessed in any width.
 */
#include "devices/virtio/mmio.h"

#include <endian.h>
#include <string.h>

#include "vmm/base/log.h"

enum reg {
	REG_MAGIC = 0x000,
	REG_VERSION = 0x004,
	REG_DEVICE_ID = 0x008,
	REG_VENDOR_ID = 0x00c,
	REG_DEVICE_FEATURES = 0x010,
	REG_DEVICE_FEATURES_SEL = 0x014,
	REG_DRIVER_FEATURES = 0x020,
	REG_DRIVER_FEATURES_SEL = 0x024,
	REG_QUEUE_SEL = 0x030,
	REG_QUEUE_SIZE_MAX = 0x034,
	REG_QUEUE_SIZE = 0x038,
	REG_QUEUE_READY = 0x044,
	REG_QUEUE_NOTIFY = 0x050,
	REG_INTERRUPT_STATUS = 0x060,
	REG_INTERRUPT_ACK = 0x064,
	REG_STATUS = 0x070,
	REG_QUEUE_DESC_LOW = 0x080,
	REG_QUEUE_DESC_HIGH = 0x084,
	REG_QUEUE_DRIVER_LOW = 0x090,
	REG_QUEUE_DRIVER_HIGH = 0x094,
	REG_QUEUE_DEVICE_LOW = 0x0a0,
	REG_QUEUE_DEVICE_HIGH = 0x0a4,
	REG_SHM_LEN_LOW = 0x0b0,
	REG_SHM_LEN_HIGH = 0x0b4,
	REG_SHM_BASE_LOW = 0x0b8,
	REG_SHM_BASE_HIGH = 0x0bc,
	REG_CONFIG_GENERATION = 0x0fc,
	REG_CONFIG = 0x100,
};

enum { MAGIC = 0x74726976, VERSION = 2, VENDOR = 0x594c464d /* MFLY */ };

static struct virtio *virtio_of(struct device *d)
{
	return (struct virtio *)d;
}

/* The selected queue, NULL where there is none of that number. */
static struct vq *selected(struct virtio *v)
{
	return v->queue_sel < v->queue_count ? &v->queues[v->queue_sel] : NULL;
}

/* The guest may read it meanwhile: whole registers, whole steps of it. */
static void show(struct virtio *v, uint32_t reg, uint32_t value)
{
	_Atomic uint32_t *at = (_Atomic uint32_t *)(void *)(v->shown + reg);

	atomic_store_explicit(at, htole32(value), memory_order_release);
}

static uint32_t features_of(const struct virtio *v)
{
	if (v->device_features_sel > 1)
		return 0;
	return (uint32_t)(v->offered >> v->device_features_sel * 32);
}

/* All others read as zero, 4.2.2. */
static void mmio_publish(struct virtio *v)
{
	const struct vq *vq = selected(v);

	show(v, REG_MAGIC, MAGIC);
	show(v, REG_VERSION, VERSION);
	show(v, REG_DEVICE_ID, v->ops->id);
	show(v, REG_VENDOR_ID, VENDOR);
	show(v, REG_DEVICE_FEATURES, features_of(v));
	show(v, REG_QUEUE_SIZE_MAX, vq ? vq->max : 0);
	show(v, REG_QUEUE_READY, vq && vq->ready);
	show(v, REG_STATUS, v->status);
	/* 4.2.2.1: there is no such region */
	show(v, REG_SHM_LEN_LOW, 0xffffffffU);
	show(v, REG_SHM_LEN_HIGH, 0xffffffffU);
	show(v, REG_SHM_BASE_LOW, 0xffffffffU);
	show(v, REG_SHM_BASE_HIGH, 0xffffffffU);
	show(v, REG_CONFIG_GENERATION, v->generation);
}

static void mmio_publish_config(struct virtio *v)
{
	uint64_t config[(VIRTIO_SHOWN - REG_CONFIG) / sizeof(uint64_t)] = {0};
	_Atomic uint64_t *at =
		(_Atomic uint64_t *)(void *)(v->shown + REG_CONFIG);
	size_t i;

	v->ops->config_read(v, 0, config, sizeof(config));
	for (i = 0; i < sizeof(config) / sizeof(config[0]); i++)
		atomic_store_explicit(&at[i], config[i], memory_order_release);
}

static void set_low(uint64_t *gpa, uint32_t value)
{
	*gpa = (*gpa & ~0xffffffffULL) | value;
}

static void set_high(uint64_t *gpa, uint32_t value)
{
	*gpa = (*gpa & 0xffffffffULL) | (uint64_t)value << 32;
}

/* The registers that describe a queue. */
static void write_queue(struct virtio *v, uint64_t reg, uint32_t value)
	REQUIRES(v->device.lock)
{
	struct vq *vq = selected(v);

	if (!vq)
		return;
	if (!virtio_may_set_queue(v, vq)) {
		log_warn_limited("%s %s: a write to register %#x of queue %u "
				 "at the wrong time was ignored",
				 v->ops->name, v->device.id, (unsigned)reg,
				 vq->index);
		return;
	}
	switch (reg) {
	case REG_QUEUE_SIZE:
		vq->size = value;
		break;
	case REG_QUEUE_DESC_LOW:
		set_low(&vq->desc_gpa, value);
		break;
	case REG_QUEUE_DESC_HIGH:
		set_high(&vq->desc_gpa, value);
		break;
	case REG_QUEUE_DRIVER_LOW:
		set_low(&vq->avail_gpa, value);
		break;
	case REG_QUEUE_DRIVER_HIGH:
		set_high(&vq->avail_gpa, value);
		break;
	case REG_QUEUE_DEVICE_LOW:
		set_low(&vq->used_gpa, value);
		break;
	case REG_QUEUE_DEVICE_HIGH:
		set_high(&vq->used_gpa, value);
		break;
	default:
		break;
	}
}

static void write_register(struct virtio *v, uint64_t reg, uint32_t value)
	REQUIRES(v->device.lock)
{
	switch (reg) {
	case REG_DEVICE_FEATURES_SEL:
		v->device_features_sel = value;
		break;
	case REG_DRIVER_FEATURES:
		virtio_accept_features(v, v->driver_features_sel, value);
		break;
	case REG_DRIVER_FEATURES_SEL:
		v->driver_features_sel = value;
		break;
	case REG_QUEUE_SEL:
		v->queue_sel = value;
		break;
	case REG_QUEUE_READY:
		if (selected(v))
			virtio_set_queue_ready(v, selected(v), value == 1);
		break;
	case REG_QUEUE_NOTIFY:
		if (v->status & VIRTIO_DRIVER_OK && value < v->queue_count)
			virtio_kick_again(v);
		break;
	case REG_STATUS:
		virtio_set_status(v, value);
		break;
	case REG_QUEUE_SIZE:
	case REG_QUEUE_DESC_LOW:
	case REG_QUEUE_DESC_HIGH:
	case REG_QUEUE_DRIVER_LOW:
	case REG_QUEUE_DRIVER_HIGH:
	case REG_QUEUE_DEVICE_LOW:
	case REG_QUEUE_DEVICE_HIGH:
		write_queue(v, reg, value);
		break;
	default:
		break; /* read-only, or no register */
	}
}

/* Where the guest does not read it by itself. */
static void mmio_read(struct device *d, uint64_t offset, void *data,
		      uint32_t len)
{
	const struct virtio *v = virtio_of(d);

	memset(data, 0, len);
	if (offset < REG_CONFIG && (len != sizeof(uint32_t) || offset % len))
		return;
	virtio_copy_config(v->shown, VIRTIO_SHOWN, offset, data, len);
}

static void mmio_write(struct device *d, uint64_t offset, const void *data,
		       uint32_t len)
{
	struct virtio *v = virtio_of(d);
	uint32_t value;

	mutex_held(&v->device.lock);
	if (offset >= REG_CONFIG) {
		if (v->ops->config_write)
			v->ops->config_write(v, offset - REG_CONFIG, data, len);
		mmio_publish_config(v);
		return;
	}
	if (len != sizeof(value) || offset % sizeof(value))
		return;
	/* Something of the driver's is under way; it may not ask for more. */
	if (v->is_draining)
		return;
	memcpy(&value, data, sizeof(value));
	write_register(v, offset, le32toh(value));
	mmio_publish(v);
}

/*
 * The two accesses of every interrupt. They take no lock, or the driver would
 * wait in its interrupt handler until the loop thread is done with a turn.
 */
static bool mmio_quick(struct device *d, uint64_t offset, void *data,
		       uint32_t len, bool is_write)
{
	struct virtio *v = virtio_of(d);
	uint32_t value;

	if (len != sizeof(value))
		return false;
	if (offset == REG_INTERRUPT_STATUS && !is_write) {
		value = *virtio_isr(v);
		memcpy(data, &value, sizeof(value));
		return true;
	}
	if (offset == REG_INTERRUPT_ACK && is_write) {
		memcpy(&value, data, sizeof(value));
		atomic_fetch_and(virtio_isr(v), ~value);
		return true;
	}
	return false;
}

static struct vm_write kicks_of(const struct device *d)
{
	return (struct vm_write){
		.gpa = d->slot.base + REG_QUEUE_NOTIFY,
		.len = sizeof(uint32_t),
	};
}

/*
 * What a driver writes that was interrupted for used buffers alone. It goes to
 * nobody, and the bit stays set: where a driver reads the status by itself an
 * interrupt for used buffers leaves the guest neither to be read nor to be
 * acknowledged, and one for the configuration does, for it acknowledges more.
 * An interrupt that finds the bit set for an older one has the driver look at
 * its queues, as that had.
 */
static struct vm_write acks_of(const struct device *d)
{
	return (struct vm_write){
		.gpa = d->slot.base + REG_INTERRUPT_ACK,
		.len = sizeof(uint32_t),
		.is_one = true,
		.value = htole32(VIRTIO_ISR_USED),
	};
}

/*
 * Lets KVM turn the driver's notifications into events. Registering costs a
 * grace period, so not before DRIVER_OK. Where KVM refuses, notifications take
 * the way of any other register.
 */
static void mmio_connect(struct virtio *v)
{
	struct device *d = &v->device;
	const struct vm_write kicks = kicks_of(d), acks = acks_of(d);
	struct err e;

	v->has_ioeventfd = !vm_ioeventfd(d->host->vm, v->kick_fd, &kicks, &e);
	if (!v->has_ioeventfd)
		log_warn_limited("%s %s: %s; notifications will be slow",
				 v->ops->name, d->id, e.text);
	v->has_sink = d->shown &&
		      !vm_ioeventfd(d->host->vm, d->host->sink_fd, &acks, &e);
}

static void mmio_disconnect(struct virtio *v)
{
	struct device *d = &v->device;
	const struct vm_write kicks = kicks_of(d), acks = acks_of(d);

	if (v->has_ioeventfd)
		(void)vm_ioeventfd_remove(d->host->vm, v->kick_fd, &kicks);
	if (v->has_sink)
		(void)vm_ioeventfd_remove(d->host->vm, d->host->sink_fd, &acks);
	v->has_ioeventfd = v->has_sink = false;
}

static int mmio_start(struct device *d, struct err *e)
{
	return virtio_start(virtio_of(d), e);
}

static bool mmio_stop(struct device *d)
{
	return virtio_stop(virtio_of(d));
}

static bool mmio_settle(struct device *d)
{
	return virtio_settle(virtio_of(d));
}

static bool mmio_hold(struct device *d)
{
	return virtio_hold(virtio_of(d));
}

static void mmio_release(struct device *d)
{
	virtio_release(virtio_of(d));
}

static void mmio_visit(struct device *d, struct visitor *w)
{
	virtio_visit(virtio_of(d), w);
}

static void mmio_count(struct device *d, struct device_counters *c)
{
	virtio_count(virtio_of(d), c);
}

static void mmio_free(struct device *d)
{
	struct virtio *v = virtio_of(d);

	virtio_fini(v);
	v->ops->free(v);
}

const struct transport_ops mmio_transport = {
	.device =
		{
			.name = "virtio",
			.kind = ARCH_VIRTIO_MMIO,
			.read = mmio_read,
			.write = mmio_write,
			.quick = mmio_quick,
			.start = mmio_start,
			.settle = mmio_settle,
			.stop = mmio_stop,
			.hold = mmio_hold,
			.release = mmio_release,
			.visit = mmio_visit,
			.state = 1,
			.count = mmio_count,
			.free = mmio_free,
		},
	.publish = mmio_publish,
	.publish_config = mmio_publish_config,
	.isr_at = REG_INTERRUPT_STATUS,
	.connect = mmio_connect,
	.disconnect = mmio_disconnect,
};
