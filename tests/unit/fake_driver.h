#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/event/loop.h"
#include "vmm/machine/device.h"
#include "vmm/mem/guest_mem.h"

/*
 * The other side of a device: a machine that holds one, and a guest's driver
 * that may be as wrong as it likes. Everything runs in the test's thread. The
 * driver does not use a line of devices/virtio, so that both can't be wrong in
 * the same way.
 */

/* Two regions with a hole between them; HIGH also proves 64-bit addresses. */
#define FAKE_LOW       0x0ULL
#define FAKE_LOW_SIZE  0x100000ULL
#define FAKE_HIGH      0x100000000ULL
#define FAKE_HIGH_SIZE 0x100000ULL
#define FAKE_SLOT      0xc0001000ULL
#define FAKE_GSI       5U

struct fake_host {
	struct loop loop;
	struct guest_mem mem;
	struct vm vm;
	struct device_host host;
	struct device *device; /* owned from fake_host_add() on */
	unsigned signals[4];   /* by enum device_signal */
	atomic_bool has_work;  /* DEVICE_WORK, and not done yet */
	pthread_t thread;      /* that plays the loop's */
};

/* They fail the test where they can't do their work. */
void fake_host_open(struct fake_host *h);
void fake_host_close(struct fake_host *h);

/* What machine_add() and machine_start() do; returns what start() did. */
int fake_host_add(struct fake_host *h, struct device *d, struct err *e);

/* Takes the device out, so that another can have its place. */
void fake_host_remove(struct fake_host *h);

/*
 * Calls what is ready, at most `most` callbacks, and returns how many. Equal
 * to `most` means that the loop would not have come to rest.
 */
unsigned fake_host_turn(struct fake_host *h, unsigned most);

/* Runs the loop, timers and all, for about a millisecond. */
void fake_host_wait(struct fake_host *h);

/*
 * Accesses by a vCPU: as bus.c makes them, under the lock, reads zeroed. After
 * a write the vCPU waits for what it began (device_ops.settle); in the thread
 * that plays the loop's it serves that meanwhile.
 */
void fake_read(struct fake_host *h, uint64_t offset, void *data, uint32_t len);
void fake_write(struct fake_host *h, uint64_t offset, const void *data,
		uint32_t len);
/* The access alone: the vCPU does not wait. */
void fake_write_only(struct fake_host *h, uint64_t offset, const void *data,
		     uint32_t len);
void fake_settle(struct fake_host *h);
uint8_t fake_read8(struct fake_host *h, uint64_t offset);
uint32_t fake_read32(struct fake_host *h, uint64_t offset);
void fake_write8(struct fake_host *h, uint64_t offset, uint8_t value);
void fake_write32(struct fake_host *h, uint64_t offset, uint32_t value);

/* virtio 1.2, 2.7.5, as it lies in memory. */
struct fake_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

enum { FAKE_NEXT = 1, FAKE_WRITE = 2, FAKE_INDIRECT = 4 };

/* A queue as its driver keeps it. */
struct fake_ring {
	uint16_t size;
	uint64_t desc_gpa, avail_gpa, used_gpa;
	struct fake_desc *desc; /* size of them */
	uint16_t *avail;	/* flags, idx, heads, used_event */
	uint16_t *used_head;	/* flags, idx */
	uint32_t *used;		/* size × {id, len} */
	uint16_t *avail_event;
	uint16_t avail_idx; /* offered so far */
	uint16_t used_idx;  /* taken back so far */
};

/* Lays a ring out from gpa on, zeroed. */
void fake_ring_init(struct fake_ring *r, const struct guest_mem *mem,
		    uint64_t gpa, uint16_t size);
void fake_ring_desc(struct fake_ring *r, uint16_t at, uint64_t addr,
		    uint32_t len, uint16_t flags, uint16_t next);
/* Puts a head into the available ring and moves the index. */
void fake_ring_offer(struct fake_ring *r, uint16_t head);
/* Takes one element of the used ring back; false where there is none. */
bool fake_ring_take(struct fake_ring *r, uint32_t *id, uint32_t *len);

/* Registers of virtio-mmio (4.2.2) that tests name. */
enum {
	MMIO_MAGIC = 0x00,
	MMIO_VERSION = 0x04,
	MMIO_DEVICE_ID = 0x08,
	MMIO_VENDOR_ID = 0x0c,
	MMIO_DEVICE_FEATURES = 0x10,
	MMIO_DEVICE_FEATURES_SEL = 0x14,
	MMIO_DRIVER_FEATURES = 0x20,
	MMIO_DRIVER_FEATURES_SEL = 0x24,
	MMIO_QUEUE_SEL = 0x30,
	MMIO_QUEUE_MAX = 0x34,
	MMIO_QUEUE_SIZE = 0x38,
	MMIO_QUEUE_READY = 0x44,
	MMIO_NOTIFY = 0x50,
	MMIO_ISR = 0x60,
	MMIO_ACK = 0x64,
	MMIO_STATUS = 0x70,
	MMIO_DESC = 0x80,
	MMIO_DRIVER = 0x90,
	MMIO_DEVICE = 0xa0,
	MMIO_GENERATION = 0xfc,
	MMIO_CONFIG = 0x100,
};

/* Status bits, and the steps up. */
enum {
	ST_ACKNOWLEDGE = 1,
	ST_DRIVER = 3,
	ST_FEATURES_OK = 11,
	ST_DRIVER_OK = 15,
	ST_NEEDS_RESET = 64,
	ST_FAILED = 128,
};

#define FAKE_F_INDIRECT	 (1ULL << 28)
#define FAKE_F_EVENT_IDX (1ULL << 29)
#define FAKE_F_VERSION_1 (1ULL << 32)

/* Reset, then up to FEATURES_OK. Returns the status read back. */
uint32_t fake_driver_negotiate(struct fake_host *h, uint64_t features);
/* What the device offers. */
uint64_t fake_driver_offered(struct fake_host *h);
/* Tells the device of a ring and declares it ready. */
void fake_driver_queue(struct fake_host *h, unsigned index,
		       const struct fake_ring *r);
/* All of the above and DRIVER_OK, with queue 0 of the given size at gpa. */
void fake_driver_up(struct fake_host *h, struct fake_ring *r, uint64_t features,
		    uint64_t gpa, uint16_t size);

/* A fixed sequence of pseudo-random numbers (xorshift64*). */
struct fake_random {
	uint64_t state; /* not 0 */
};

uint64_t fake_random(struct fake_random *r);
/* Below n, which is not 0. */
uint32_t fake_random_below(struct fake_random *r, uint32_t n);
