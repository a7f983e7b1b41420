/*
 * Device status, feature negotiation and the life of queues (virtio 1.2, 2.1,
 * 2.2, 3.1).
 *
 * The driver climbs ACKNOWLEDGE, DRIVER, FEATURES_OK, DRIVER_OK by writes of
 * the status. Queue registers can be written from FEATURES_OK until their queue
 * is ready, and none after DRIVER_OK: a device that works never has its rings
 * moved under it. The way back is a reset, possible at any time. A single queue
 * can be taken away too, and comes back by a reset only.
 *
 * A driver that breaks the rules gets DEVICE_NEEDS_RESET: the device is deaf
 * until it is reset, and all others go on. So does one that gave up (FAILED).
 *
 * A queue's `live` is the one gate to ring memory: DRIVER_OK opens it; a fault,
 * FAILED and a reset close it.
 *
 * What does not end at once: before a reset, or before a queue goes, what was
 * taken from queues must have ended, and a disk may take its time. Nobody waits
 * for it with the lock held. The register's write only says what is to be done
 * then (is_resetting, leaving) and has the device drain; whatever ends
 * comes by the loop, which does it when nothing is left (drained()). Until then
 * the device takes no other writes, its status and the queue's ready read as
 * before (2.4.2, 4.2.2: the driver may rely on nothing before they read 0), and
 * the vCPU that wrote waits outside of the guest and of all locks, in
 * virtio_settle(), since many drivers don't read again. A pause finds it there.
 * Registering kicks with KVM takes long too, so it is done in the same place.
 */
#include "devices/virtio/virtio.h"

#include <assert.h>
#include <endian.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

/* What a disk gets to end what is in flight when the machine ends. */
#define STOP_NS 500000000ULL

static void interrupt(struct virtio *v, uint8_t reason) REQUIRES(v->device.lock)
{
	atomic_fetch_or(virtio_isr(v), htole32(reason));
	v->interrupts++;
	irq_raise(&v->irq);
}

static void close_queues(struct virtio *v) REQUIRES(v->device.lock)
{
	unsigned i;

	for (i = 0; i < v->queue_count; i++)
		v->queues[i].live = false;
}

static bool quiesce(struct virtio *v) REQUIRES(v->device.lock)
{
	return !v->ops->quiesce || v->ops->quiesce(v);
}

/* 2.1.2: a driver that is up must hear of it by a configuration change. */
static void needs_reset(struct virtio *v) REQUIRES(v->device.lock)
{
	close_queues(v);
	if (v->status & VIRTIO_NEEDS_RESET)
		return;
	v->status |= VIRTIO_NEEDS_RESET;
	v->transport->publish(v);
	if (v->status & VIRTIO_DRIVER_OK)
		interrupt(v, VIRTIO_ISR_CONFIG);
}

static void queue_faulted(struct vq *vq)
{
	struct virtio *v = vq->device;

	mutex_held(&v->device.lock);
	needs_reset(v);
}

void virtio_init(struct virtio *v, const struct virtio_ops *ops,
		 const struct transport_ops *transport, const char *id,
		 uint64_t features, unsigned queue_count, uint16_t queue_max)
{
	unsigned i;

	assert(queue_count <= VIRTIO_QUEUES_MAX);
	v->device.ops = &transport->device;
	v->transport = transport;
	v->device.name = ops->name;
	v->device.id = id;
	v->ops = ops;
	v->shown = v->own;
	v->offered = features | VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT_DESC |
		     VIRTIO_F_EVENT_IDX;
	v->queue_count = queue_count;
	v->kick_fd = -1;
	v->kick_watch.fd = -1;
	v->irq.fd = -1;
	for (i = 0; i < queue_count; i++)
		vq_init(&v->queues[i], (uint16_t)i, queue_max, id,
			queue_faulted, v);
}

void virtio_power_on(struct virtio *v)
{
	unsigned i;

	v->is_resetting = false;
	if (v->ops->reset)
		v->ops->reset(v);
	for (i = 0; i < v->queue_count; i++)
		vq_reset(&v->queues[i]);
	v->wants_kicks = false;
	v->is_unsettled = true;
	v->status = 0;
	*virtio_isr(v) = 0;
	v->accepted = 0;
	v->device_features_sel = 0;
	v->driver_features_sel = 0;
	v->queue_sel = 0;
	v->transport->publish(v);
	v->transport->publish_config(v);
}

/* Nothing is in flight: what was waiting for that. */
static void drained(struct virtio *v) REQUIRES(v->device.lock)
{
	unsigned i;

	v->is_draining = false;
	if (v->is_resetting)
		virtio_power_on(v);
	for (i = 0; v->leaving; i++) {
		if (v->leaving & 1U << i)
			vq_disable(&v->queues[i]);
		v->leaving &= ~(1U << i);
	}
	v->transport->publish(v);
}

/* Begins, or looks again; and does what was waiting where it can. */
static void drain(struct virtio *v) REQUIRES(v->device.lock)
{
	if (quiesce(v)) {
		drained(v);
		return;
	}
	if (v->is_draining)
		return;
	v->is_draining = true;
	v->is_unsettled = true;
	virtio_kick_again(v);
}

static void serve_queues(struct virtio *v) REQUIRES(v->device.lock)
{
	unsigned i;

	if (v->ops->kick_all) {
		v->ops->kick_all(v);
		return;
	}
	/*
	 * One eventfd serves all queues: which one was meant is not said, but
	 * a look at an index costs less than a registration with KVM. A queue
	 * without work is served too: it may have its kicks disabled, since
	 * its last turn ended just when the work did.
	 */
	for (i = 0; i < v->queue_count; i++)
		if (v->queues[i].live)
			v->ops->kick(v, &v->queues[i]);
}

static void kick_ready(struct loop_watch *w, uint32_t events)
{
	struct virtio *v = container_of(w, struct virtio, kick_watch);

	(void)events;
	mutex_lock(&v->device.lock);
	if (v->is_draining)
		drain(v);
	if (!v->is_draining && !v->is_held)
		serve_queues(v);
	mutex_unlock(&v->device.lock);
}

int virtio_start(struct virtio *v, struct err *e)
{
	struct device *d = &v->device;
	int rc = irq_open(&v->irq, d->host->vm, d->slot.gsi, e);

	if (rc)
		return rc;
	mutex_lock(&d->lock);
	if (d->shown)
		v->shown = d->shown;
	v->transport->publish(v);
	v->transport->publish_config(v);
	mutex_unlock(&d->lock);
	v->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (v->kick_fd < 0)
		return err_errno(e, "eventfd");
	v->kick_watch.ready = kick_ready;
	/* By the edge: each notification is one, and nobody reads the count. */
	return loop_add(d->host->loop, &v->kick_watch, v->kick_fd,
			EPOLLIN | EPOLLET, e);
}

bool virtio_stop(struct virtio *v)
{
	const uint64_t end = clock_now_ns() + STOP_NS;
	bool is_quiet;

	mutex_lock(&v->device.lock);
	v->is_stopping = true;
	while (!(is_quiet = quiesce(v)) && clock_now_ns() < end) {
		mutex_unlock(&v->device.lock);
		clock_rest();
		mutex_lock(&v->device.lock);
	}
	v->is_stopping = false;
	mutex_unlock(&v->device.lock);
	/* Where the machine goes on all the same, so does the driver. */
	virtio_kick_again(v);
	return is_quiet;
}

/* What a driver that came or went wants of KVM and of the device's host. */
static bool settle(struct virtio *v) REQUIRES(v->device.lock)
{
	bool wants_kicks;

	while ((wants_kicks = v->wants_kicks) != v->is_connected) {
		mutex_unlock(&v->device.lock);
		if (wants_kicks)
			v->transport->connect(v);
		else
			v->transport->disconnect(v);
		mutex_lock(&v->device.lock);
		v->is_connected = wants_kicks;
	}
	return !v->ops->settle || v->ops->settle(v);
}

bool virtio_settle(struct virtio *v)
{
	bool is_done;

	if (!v->is_unsettled)
		return true;
	mutex_lock(&v->device.lock);
	if (!v->is_draining && !v->is_settling) {
		v->is_settling = true;
		is_done = settle(v) && !v->is_draining &&
			  v->wants_kicks == v->is_connected;
		v->is_settling = false;
		v->is_unsettled = !is_done;
	}
	is_done = !v->is_unsettled;
	mutex_unlock(&v->device.lock);
	return is_done;
}

bool virtio_hold(struct virtio *v)
{
	bool is_quiet;

	mutex_lock(&v->device.lock);
	v->is_held = true;
	drain(v);
	is_quiet = !v->is_draining;
	if (is_quiet && v->ops->hold)
		v->ops->hold(v);
	mutex_unlock(&v->device.lock);
	return is_quiet;
}

/*
 * Whoever held us may have put all that interrupts pass through back to where
 * it was. So what the driver has not acknowledged is raised again: an edge too
 * many costs it a look, one that is missing may be waited for for ever.
 */
void virtio_release(struct virtio *v)
{
	unsigned i;

	mutex_lock(&v->device.lock);
	v->is_held = false;
	for (i = 0; i < v->queue_count; i++)
		virtio_notify(v, &v->queues[i]);
	if (*virtio_isr(v))
		irq_raise(&v->irq);
	mutex_unlock(&v->device.lock);
	virtio_kick_again(v);
}

void virtio_count(struct virtio *v, struct device_counters *c)
{
	uint64_t chains = 0, faults = 0, interrupts;
	unsigned i;

	mutex_lock(&v->device.lock);
	for (i = 0; i < v->queue_count; i++) {
		chains += v->queues[i].chains;
		faults += v->queues[i].faults;
	}
	if (v->ops->count)
		v->ops->count(v, c);
	interrupts = v->interrupts;
	mutex_unlock(&v->device.lock);
	c->put(c, "queue_chains", chains);
	c->put(c, "queue_faults", faults);
	c->put(c, "interrupts", interrupts);
}

void virtio_fini(struct virtio *v)
{
	if (v->device.host)
		loop_delete(v->device.host->loop, &v->kick_watch);
	fd_close(&v->kick_fd);
	irq_close(&v->irq);
}

bool virtio_has(const struct virtio *v, uint64_t feature)
{
	return v->accepted & feature;
}

void virtio_accept_features(struct virtio *v, uint32_t half, uint32_t bits)
{
	const unsigned shift = half ? 32 : 0;

	/* 3.1.1: only between DRIVER and FEATURES_OK. */
	if (half > 1 || !(v->status & VIRTIO_DRIVER) ||
	    v->status & VIRTIO_FEATURES_OK)
		return;
	v->accepted &= ~(0xffffffffULL << shift);
	v->accepted |= (uint64_t)bits << shift;
}

bool virtio_is_up(const struct virtio *v)
{
	return v->status & VIRTIO_DRIVER_OK &&
	       !(v->status & (VIRTIO_NEEDS_RESET | VIRTIO_FAILED));
}

void virtio_come_up(struct virtio *v)
{
	unsigned i;

	for (i = 0; i < v->queue_count; i++)
		v->queues[i].live = v->queues[i].ready;
	v->wants_kicks = true;
	v->is_unsettled = true;
	if (v->ops->activate)
		v->ops->activate(v);
	/* The driver may have filled its queues before DRIVER_OK. */
	virtio_kick_again(v);
}

/* 2.2.1: no feature that was not offered, and VERSION_1 always. */
static bool are_features_fine(const struct virtio *v)
{
	if (!(v->accepted & ~v->offered) && v->accepted & VIRTIO_F_VERSION_1)
		return true;
	log_warn_limited("%s %s: the driver wants features %#llx of the "
			 "offered %#llx, or lacks VERSION_1; refused",
			 v->ops->name, v->device.id,
			 (unsigned long long)v->accepted,
			 (unsigned long long)v->offered);
	return false;
}

static void misuse(struct virtio *v, const char *what) REQUIRES(v->device.lock)
{
	log_warn_limited("%s %s: the driver %s; the device stops until it is "
			 "reset",
			 v->ops->name, v->device.id, what);
	needs_reset(v);
}

void virtio_set_status(struct virtio *v, uint32_t value)
{
	const uint8_t old = v->status & ~VIRTIO_NEEDS_RESET;
	uint8_t added;

	if (value == 0) {
		v->is_resetting = true;
		drain(v);
		close_queues(v);
		return;
	}
	/* 2.1: of the bits that mean nothing, none is kept. */
	added = (uint8_t)value & VIRTIO_STATUS_BITS & ~VIRTIO_NEEDS_RESET &
		~old;
	if (old & ~value) {
		misuse(v, "cleared bits of the status");
		return;
	}
	if ((added & VIRTIO_DRIVER && !(value & VIRTIO_ACKNOWLEDGE)) ||
	    (added & VIRTIO_FEATURES_OK && !(value & VIRTIO_DRIVER)) ||
	    (added & VIRTIO_DRIVER_OK && !(old & VIRTIO_FEATURES_OK))) {
		misuse(v, "left out a step of the initialisation");
		return;
	}
	/* 3.1.1, step 6: the driver reads back whether we agree. */
	if (added & VIRTIO_FEATURES_OK && !are_features_fine(v))
		added &= ~VIRTIO_FEATURES_OK;
	v->status |= added;
	if (v->status & VIRTIO_FAILED) {
		/* 2.1: the driver gave up on the device. */
		drain(v);
		close_queues(v);
		return;
	}
	if (added & VIRTIO_DRIVER_OK && virtio_is_up(v))
		virtio_come_up(v);
}

bool virtio_may_set_queue(const struct virtio *v, const struct vq *vq)
{
	return v->status & VIRTIO_FEATURES_OK &&
	       !(v->status & (VIRTIO_DRIVER_OK | VIRTIO_NEEDS_RESET)) &&
	       !vq->ready;
}

void virtio_set_queue_ready(struct virtio *v, struct vq *vq, bool is_ready)
{
	if (is_ready) {
		if (virtio_may_set_queue(v, vq))
			(void)vq_enable(vq, v->device.host->mem,
					virtio_has(v, VIRTIO_F_EVENT_IDX),
					virtio_has(v, VIRTIO_F_INDIRECT_DESC));
		return;
	}
	/*
	 * 4.2.2: on reading 0 the driver may reuse the memory of the queue; so
	 * may it after a fault, when the queue is live no more.
	 */
	v->leaving |= 1U << vq->index;
	drain(v);
}

void virtio_copy_config(const void *config, size_t size, uint64_t offset,
			void *data, uint32_t len)
{
	if (offset >= size)
		return;
	if (len > size - offset)
		len = (uint32_t)(size - offset);
	memcpy(data, (const uint8_t *)config + offset, len);
}

void virtio_notify(struct virtio *v, struct vq *vq)
{
	if (vq->live && vq_must_notify(vq))
		interrupt(v, VIRTIO_ISR_USED);
}

void virtio_publish_config(struct virtio *v)
{
	v->transport->publish_config(v);
}

/*
 * A driver that reads a number of two halves meanwhile may find one of before
 * and one of after, and the same generation around them; the interrupt has it
 * read them again.
 */
void virtio_config_changed(struct virtio *v)
{
	v->generation++;
	v->transport->publish_config(v);
	v->transport->publish(v);
	if (v->status & VIRTIO_DRIVER_OK)
		interrupt(v, VIRTIO_ISR_CONFIG);
}

void virtio_kick_again(struct virtio *v)
{
	fd_event_raise(v->kick_fd);
}
