#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/event/limiter.h"
#include "vmm/machine/device.h"

enum { NET_PAIRS_MAX = 8, NET_MTU_MIN = 68, NET_MTU_MAX = 65535 };

/*
 * A virtio-net device (virtio 1.2, 5.1) on a tap interface of the host. The
 * interface's own state is its owner's business: we neither bring it up nor
 * give it an address, an MTU or a MAC.
 */
struct net_config {
	const char *id;
	/*
	 * Of an interface, at most 15 bytes; NULL, with no tap_fd either, where
	 * net_set_tap() is to tell it.
	 */
	const char *tap_name;
	/*
	 * A tap that is open already, tap_name then being for messages only
	 * and may be NULL; net_new() owns it from its success on. It makes
	 * one pair of queues. -1: tap_name is opened, made where it is missing.
	 */
	int tap_fd;
	/* Without one the guest picks its own, at random. */
	uint8_t mac[6];
	bool has_mac;
	/*
	 * What the guest is told, NET_MTU_MIN to NET_MTU_MAX; 0: nothing. The
	 * owner of the tap sets the same there.
	 */
	uint16_t mtu;
	/*
	 * How many pairs of queues to offer; cut to 1 … NET_PAIRS_MAX. It
	 * becomes 1, silently, where the tap was made without multi_queue, as
	 * `ip tuntap add` does unless told.
	 */
	unsigned queue_pairs;
	struct limiter_config rx; /* to the guest */
	struct limiter_config tx; /* from the guest */
};

/*
 * Opens the tap. Strings are copied. Returns 0 or a negative errno with a
 * sentence that names the tap and says what to do. The device belongs to the
 * loop thread.
 */
int net_new(struct device **out, const struct net_config *config,
	    struct err *e);

/*
 * Opens the tap of a device that was made without one, as net_new() would have,
 * for a machine that is to be loaded: what the device was said to have before
 * is judged by the tap when it is loaded once more. Thread: the loop's, d's
 * lock not held, with the device held.
 */
int net_set_tap(struct device *d, const char *tap_name, int tap_fd,
		struct err *e) EXCLUDES(d->lock);

/*
 * Sets the buckets that are given; NULL leaves a direction as it is. d is from
 * net_new(). Thread: the loop's, d's lock not held.
 */
void net_set_limiters(struct device *d, const struct limiter_config *rx,
		      const struct limiter_config *tx) EXCLUDES(d->lock);
