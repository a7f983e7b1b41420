/*
 * A virtio device as saved state: the registers that its driver can tell, its
 * queues, then what the device itself has (virtio_ops.visit).
 *
 * What follows from these is not saved, so that it can't contradict them: a
 * queue is live if it is ready and the driver is up and well, what the taps
 * give follows from the features, and so on. What a driver can't have done, the
 * ladder of 2.1 for one, is refused with a sentence, and the device is then as
 * after power-on.
 *
 * Loading is a reset and the driver's way up again, done by the functions that
 * do it for a driver. So what these bring about at the host, or take back
 * (KVM's knowledge of kicks, offloads, connections), comes and goes as ever:
 * by device_ops.settle, which has to be called before the guest runs.
 *
 * device_ops.state is one number for all virtio devices.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>

#include "devices/virtio/virtio.h"

/* 2.1.2, 3.1.1: each step after the one before. */
static bool is_status_fine(uint8_t s)
{
	return !(s & ~VIRTIO_STATUS_BITS) &&
	       (s & VIRTIO_ACKNOWLEDGE || !(s & VIRTIO_DRIVER)) &&
	       (s & VIRTIO_DRIVER || !(s & VIRTIO_FEATURES_OK)) &&
	       (s & VIRTIO_FEATURES_OK || !(s & VIRTIO_DRIVER_OK));
}

/* As virtio_set_status() has it at FEATURES_OK; before, they may be anything.
 */
static void check_features(const struct virtio *v, struct visitor *w)
{
	const uint64_t known = v->offered | v->bearable;

	if (!(v->status & VIRTIO_FEATURES_OK))
		return;
	visit_check(w, v->accepted & VIRTIO_F_VERSION_1,
		    "a driver without VERSION_1 has no say");
	visit_check(w, !(v->accepted & ~known),
		    "the driver uses features %#" PRIx64 ", of which %#" PRIx64
		    " can't be had here",
		    v->accepted, v->accepted & ~known);
}

static void visit_registers(struct virtio *v, struct visitor *w)
{
	uint8_t isr = (uint8_t)le32toh(*virtio_isr(v));

	visit_u8(w, &v->status);
	visit_u8(w, &isr);
	visit_u32(w, &v->generation);
	visit_u64(w, &v->accepted);
	visit_u32(w, &v->device_features_sel);
	visit_u32(w, &v->driver_features_sel);
	visit_u32(w, &v->queue_sel);
	visit_check(w, is_status_fine(v->status),
		    "no driver makes a status %#x", v->status);
	visit_check(w, !(isr & ~(VIRTIO_ISR_USED | VIRTIO_ISR_CONFIG)),
		    "an interrupt status %#x", isr);
	check_features(v, w);
	*virtio_isr(v) = htole32(isr);
}

static void visit_queues(struct virtio *v, struct visitor *w)
{
	const struct vq_context to = {
		.mem = v->device.host->mem,
		.event_idx = virtio_has(v, VIRTIO_F_EVENT_IDX),
		.indirect = virtio_has(v, VIRTIO_F_INDIRECT_DESC),
		.is_up = virtio_is_up(v),
	};
	uint32_t count = v->queue_count;
	unsigned i;

	visit_u32(w, &count);
	if (w->is_loading && count < v->queue_count && v->ops->resize &&
	    v->ops->resize(v, count))
		v->queue_count = count;
	if (!visit_check(w, count == v->queue_count,
			 "it had %u queues and has %u here; a drive wants as "
			 "many as before, an interface a tap that was made "
			 "with multi_queue, or without, as the one before",
			 count, v->queue_count))
		return;
	for (i = 0; i < count && !w->rc; i++) {
		vq_visit(&v->queues[i], w, &to);
		visit_check(
			w,
			!v->queues[i].ready || v->status & VIRTIO_FEATURES_OK,
			"queue %u is ready, and no features were agreed on", i);
	}
}

static void visit(struct virtio *v, struct visitor *w) REQUIRES(v->device.lock)
{
	visit_registers(v, w);
	visit_queues(v, w);
	if (w->rc)
		return;
	if (w->is_loading && virtio_is_up(v))
		virtio_come_up(v);
	if (v->ops->visit)
		v->ops->visit(v, w);
	if (!w->is_loading)
		return;
	v->transport->publish_config(v);
	v->transport->publish(v);
}

void virtio_visit(struct virtio *v, struct visitor *w)
{
	mutex_lock(&v->device.lock);
	if (v->is_draining) {
		visit_fail(w, -EBUSY, "something is in flight");
	} else {
		if (w->is_loading)
			virtio_power_on(v);
		visit(v, w);
		if (w->is_loading && w->rc)
			virtio_power_on(v);
	}
	mutex_unlock(&v->device.lock);
}
