#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/virtio/ring.h"
#include "vmm/base/err.h"
#include "vmm/kvm/irq.h"
#include "vmm/machine/device.h"

/*
 * What every virtio device has (virtio 1.2, chapter 2): status, features,
 * queues, one interrupt. A concrete device embeds struct virtio as its first
 * member and fills in virtio_ops; a transport (mmio.c) carries the driver's
 * accesses here.
 *
 * Unless said otherwise, functions and operations run in a vCPU thread or in
 * the loop's, with the device's lock held.
 */
enum {
	VIRTIO_ACKNOWLEDGE = 1,
	VIRTIO_DRIVER = 2,
	VIRTIO_DRIVER_OK = 4,
	VIRTIO_FEATURES_OK = 8,
	VIRTIO_NEEDS_RESET = 64,
	VIRTIO_FAILED = 128,
	VIRTIO_STATUS_BITS = 0xcf,
};

#define VIRTIO_F_INDIRECT_DESC (1ULL << 28)
#define VIRTIO_F_EVENT_IDX     (1ULL << 29)
#define VIRTIO_F_VERSION_1     (1ULL << 32)

/* Bits of the interrupt status. */
enum { VIRTIO_ISR_USED = 1, VIRTIO_ISR_CONFIG = 2 };

/* virtio-net with eight pairs and its control queue has the most. */
enum { VIRTIO_QUEUES_MAX = 17 };

/* Bytes of registers and configuration that can say anything. */
enum { VIRTIO_SHOWN = 0x200 };

struct virtio;

struct virtio_ops {
	const char *name; /* "block" */
	uint32_t id;	  /* virtio 1.2, chapter 5 */
	/* See virtio_copy_config(); data is zeroed. */
	void (*config_read)(struct virtio *v, uint64_t offset, void *data,
			    uint32_t len);
	/* NULL where the driver may write nothing. */
	void (*config_write)(struct virtio *v, uint64_t offset,
			     const void *data, uint32_t len);
	/* The driver is up: features are settled, queues live. May be NULL. */
	void (*activate)(struct virtio *v);
	/*
	 * Finishes or cancels whatever was taken from a queue, without waiting
	 * for it. True when nothing of it touches guest memory any more; until
	 * then it is asked again, in the loop thread, after each
	 * virtio_kick_again(), which the device calls when something has ended.
	 * Nothing is kicked meanwhile. Before a reset, before a queue is taken
	 * away, and when the machine stops. NULL where kick() leaves nothing in
	 * flight.
	 */
	bool (*quiesce)(struct virtio *v);
	/*
	 * What activate() or reset() left to be done for being long: it may
	 * give the lock up meanwhile. False to be asked again soon. May be
	 * NULL. Thread: a vCPU's, one at a time.
	 */
	bool (*settle)(struct virtio *v);
	/* Forgets what the driver told the device. May be NULL. */
	void (*reset)(struct virtio *v);
	/*
	 * Becomes a device of so many queues, as the one that is loaded was.
	 * False where it can't; NULL where none can.
	 */
	bool (*resize)(struct virtio *v, unsigned queues);
	/*
	 * The queue may have work, or not. Bound what is done in one call, and
	 * ask for another by virtio_kick_again(); otherwise leave with
	 * vq_enable_kicks(), or the driver stays silent. Thread: the loop's.
	 */
	void (*kick)(struct virtio *v, struct vq *vq);
	/*
	 * In the place of kick(), for a device whose queues share something
	 * and so must be served in turns (turn.h): all that are live.
	 */
	void (*kick_all)(struct virtio *v);
	/*
	 * The device is held and quiesce() has said yes: what only the loop's
	 * thread may end. May be NULL.
	 */
	void (*hold)(struct virtio *v);
	/*
	 * As device_ops.visit, for what the device has beyond its queues and
	 * registers, with the lock held. Loading, those are loaded, activate()
	 * or reset() was called, and the queues are live where the driver is
	 * up. May be NULL. Thread: the loop's.
	 */
	void (*visit)(struct virtio *v, struct visitor *w);
	/*
	 * As device_ops.count, for what the device has beyond its queues; with
	 * the lock held. May be NULL. Thread: the loop's.
	 */
	void (*count)(struct virtio *v, struct device_counters *c);
	/* Frees v; virtio_fini() is the caller's duty no more. */
	void (*free)(struct virtio *v);
};

/*
 * What carries the driver's accesses to a struct virtio: how the bus reaches
 * it, and a way for notifications from DRIVER_OK to the next reset. The two
 * take long, so they are called without the lock, one at a time, in the thread
 * of a vCPU that waits for them.
 */
struct transport_ops {
	struct device_ops device;
	/*
	 * The registers that the driver reads, brought up to date in v->shown:
	 * all that is no configuration, or that. Lock held.
	 */
	void (*publish)(struct virtio *v);
	void (*publish_config)(struct virtio *v);
	uint32_t isr_at; /* where the interrupt status is among them */
	void (*connect)(struct virtio *v);
	void (*disconnect)(struct virtio *v);
};

struct virtio {
	struct device device; /* first */
	const struct virtio_ops *ops;
	const struct transport_ops *transport;
	uint64_t offered;  /* features */
	uint64_t accepted; /* features, within offered */
	/*
	 * Features that are not offered here, and could be served all the same:
	 * a driver that accepted them elsewhere keeps them when it is loaded.
	 */
	uint64_t bearable;
	uint8_t status;
	/*
	 * What the driver reads, as it reads it: device.shown, or own where
	 * that is NULL. The interrupt status is nowhere else, for it is read
	 * and acknowledged without the lock; see virtio_isr().
	 */
	uint8_t *shown;
	_Alignas(8) uint8_t own[VIRTIO_SHOWN];
	uint64_t interrupts; /* raised since the device was made */
	uint32_t generation; /* of the configuration */
	struct irq irq;
	struct vq queues[VIRTIO_QUEUES_MAX];
	unsigned queue_count;

	/* What the driver selected (the transport's). */
	uint32_t device_features_sel;
	uint32_t driver_features_sel;
	uint32_t queue_sel;

	int kick_fd; /* owned eventfd: notifications from the driver */
	struct loop_watch kick_watch;
	bool has_ioeventfd; /* KVM raises kick_fd without leaving the guest */
	bool has_sink;	    /* and so are acknowledgements let go */

	/* See virtio.c on what does not end at once. */
	bool is_draining;
	bool is_resetting;
	bool is_held;
	bool is_stopping; /* what did not begin need not */
	uint32_t leaving; /* queues that are being taken away, by index */
	_Atomic bool is_unsettled; /* some vCPU may have to wait */
	bool is_settling;	   /* one is at it, without the lock */
	bool wants_kicks;
	bool is_connected; /* the transport was told so */
};

/*
 * Prepares what a device embeds, zeroed. features are the device's own; those
 * of every device are added. id is owned by the device. queue_count is at most
 * VIRTIO_QUEUES_MAX, queue_max a power of two of at most VQ_SIZE_MAX.
 */
void virtio_init(struct virtio *v, const struct virtio_ops *ops,
		 const struct transport_ops *transport, const char *id,
		 uint64_t features, unsigned queue_count, uint16_t queue_max);

/* Connects interrupt and notifications. Thread: the loop's, lock not held. */
int virtio_start(struct virtio *v, struct err *e) EXCLUDES(v->device.lock);

/*
 * Ends what is in flight; false where some of it takes longer than half a
 * second. Thread: the loop's, lock not held.
 */
bool virtio_stop(struct virtio *v) EXCLUDES(v->device.lock);

/* As device_ops.settle, hold and release. */
bool virtio_settle(struct virtio *v) EXCLUDES(v->device.lock);
bool virtio_hold(struct virtio *v) EXCLUDES(v->device.lock);
void virtio_release(struct virtio *v) EXCLUDES(v->device.lock);

/* As device_ops.visit; see virtio_state.c. */
void virtio_visit(struct virtio *v, struct visitor *w) EXCLUDES(v->device.lock);

/*
 * For virtio_visit(): back to power-on, with nothing in flight, and the driver
 * is up, status and features being what it made them.
 */
void virtio_power_on(struct virtio *v) REQUIRES(v->device.lock);
void virtio_come_up(struct virtio *v) REQUIRES(v->device.lock);

/* The interrupt status, little-endian; bits: VIRTIO_ISR_*. Thread: any. */
static inline _Atomic uint32_t *virtio_isr(struct virtio *v)
{
	return (_Atomic uint32_t *)(void *)(v->shown + v->transport->isr_at);
}

/* Whether the driver is up and well. */
bool virtio_is_up(const struct virtio *v);

/* As device_ops.count: the device's counters and those of its queues. */
void virtio_count(struct virtio *v, struct device_counters *c)
	EXCLUDES(v->device.lock);

/*
 * Closes what virtio_start() opened, if it was called. Thread: the loop's, lock
 * not held.
 */
void virtio_fini(struct virtio *v) EXCLUDES(v->device.lock);

/* The driver writes the status register. */
void virtio_set_status(struct virtio *v, uint32_t value)
	REQUIRES(v->device.lock);

/* The driver accepts features, 32 bits at a time; half is what it selected. */
void virtio_accept_features(struct virtio *v, uint32_t half, uint32_t bits)
	REQUIRES(v->device.lock);

/* Whether offered and accepted; settled from DRIVER_OK on. */
bool virtio_has(const struct virtio *v, uint64_t feature);

/* The driver declares a queue ready, or takes it away. */
void virtio_set_queue_ready(struct virtio *v, struct vq *vq, bool is_ready)
	REQUIRES(v->device.lock);

/* Whether the driver may still write a queue's registers. */
bool virtio_may_set_queue(const struct virtio *v, const struct vq *vq);

/*
 * A config_read for a configuration laid out in memory: copies what of it
 * lies in [offset, offset + len). What lies behind it reads as it was.
 */
void virtio_copy_config(const void *config, size_t size, uint64_t offset,
			void *data, uint32_t len);

/* Interrupts the driver if it wants to know of what was published. */
void virtio_notify(struct virtio *v, struct vq *vq) REQUIRES(v->device.lock);

/*
 * What config_read() tells has changed, and the driver knows, for it asked for
 * that.
 */
void virtio_publish_config(struct virtio *v) REQUIRES(v->device.lock);

/* The same, and the driver is told. */
void virtio_config_changed(struct virtio *v) REQUIRES(v->device.lock);

/*
 * Serves the queues once more, soon, in the loop thread. Thread: any, lock held
 * or not.
 */
void virtio_kick_again(struct virtio *v);
