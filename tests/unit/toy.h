#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/virtio.h"
#include "tests/unit/fake_driver.h"

/*
 * The simplest virtio device, in a machine of its own, and short ways to drive
 * it. They fail the test where they can't do their work.
 */
enum { TOY_ID = 42, TOY_QUEUES = 2, TOY_QUEUE_MAX = 16, TOY_SIZE = 8 };
#define TOY_FEATURE (1ULL << 5)
#define TOY_FEATURES \
	(TOY_FEATURE | FAKE_F_INDIRECT | FAKE_F_EVENT_IDX | FAKE_F_VERSION_1)

/* A device that gives every chain back, unless told to keep it. */
struct toy {
	struct virtio virtio; /* first */
	uint8_t config[6];
	uint8_t beyond[0x1000]; /* what a driver must not see */
	struct vq_chain chain;
	bool is_keeping;
	bool has_kept;
	bool is_slow; /* what it keeps does not end */
	unsigned activations, quiets, resets, kicks, served;
};

extern const struct virtio_ops toy_ops;
extern struct fake_host toy_host;
extern struct fake_ring toy_ring; /* queue 0, as its driver keeps it */
extern struct toy *toy;		  /* owned by toy_host */

/* cmocka's: a toy, or one that leaves out all that a device may. */
int toy_setup(void **state);
int toy_setup_bare(void **state);
int toy_teardown(void **state);

/* Another one, that has seen nothing, in the place of toy; same guest. */
void toy_renew(void);

uint32_t toy_status(void);
void toy_set_status(uint32_t value);
/* Everything up to DRIVER_OK, with queue 0 of TOY_SIZE entries. */
void toy_up(void);
/* One request of one writable byte, offered; not yet notified. */
void toy_offer(void);
/* The driver's notification, served until the loop rests. */
void toy_notify(uint32_t queue);
