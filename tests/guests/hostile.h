#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A guest with nothing but malice: no kernel, no interrupts, no paging. It
 * drives virtio-mmio devices by hand, with every field of every ring under its
 * control, and tells what came of it in TAP on the serial port.
 *
 * An attack is a function that misuses a device which is up, and returns NULL
 * where the device took it as it should, else a few words on how it did not.
 * hostile.c runs them: bring up, attack, ask another device for proof that it
 * lives, reset, ask the attacked one for the same.
 */

/* ---- machine (hostile_machine.c, hostile_start.S) ---- */

/* What PVH passes in %ebx; hostile_start.S stores it. */
extern const uint8_t *start_info;

/* Where low memory ends: the first address that is not memory. */
uint64_t memory_end(void);

/* Moments are in ticks of the processor's counter. */
uint64_t moment_now(void);
uint64_t moment_in_us(uint32_t us);
bool is_past(uint64_t moment);
/* Slow; for what is printed. */
uint32_t us_of(uint64_t ticks);
void sleep_us(uint32_t us);

void print(const char *text);
void print_number(uint64_t n);
void print_hex(uint64_t n);

bool same_bytes(const void *a, const void *b, size_t len);

/* A sequence that is the same in each run. */
uint32_t random_next(void);

/*
 * Runs work() on the second processor until accomplice_stop(). False where
 * there is none, or it did not come up.
 */
bool accomplice_start(void (*work)(void));
void accomplice_stop(void);

/* A full barrier between what we wrote and what we read next. */
static inline void barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* ---- devices (hostile_device.c) ---- */

enum {
	REG_MAGIC = 0x000,
	REG_VERSION = 0x004,
	REG_DEVICE_ID = 0x008,
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
	REG_DESC = 0x080, /* low half, the high one 4 further */
	REG_AVAIL = 0x090,
	REG_USED = 0x0a0,
	REG_SHM_LEN = 0x0b0,
	REG_CONFIG_GENERATION = 0x0fc,
	REG_CONFIG = 0x100,

	SLOTS = 0xc0001000,
	SLOT_SIZE = 0x1000,
	SLOT_COUNT = 19,
	MAGIC = 0x74726976,
};

enum {
	ACKNOWLEDGE = 1,
	DRIVER = 2,
	DRIVER_OK = 4,
	FEATURES_OK = 8,
	NEEDS_RESET = 64,
	FAILED = 128,
};

enum { ID_NET = 1, ID_BLOCK = 2, ID_VSOCK = 19 };

#define F_INDIRECT  (1ULL << 28)
#define F_EVENT_IDX (1ULL << 29)
#define F_VERSION_1 (1ULL << 32)
#define F_ALL	    (~0ULL)

enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

enum { QUEUE_SIZE = 16, QUEUE_ROOM = 256, QUEUES = 3 };

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};

struct avail {
	uint16_t flags;
	uint16_t idx;
	uint16_t ring[QUEUE_ROOM + 1]; /* ring[size] is used_event */
};

struct used {
	uint16_t flags;
	uint16_t idx;
	struct {
		uint32_t id;
		uint32_t len;
	} ring[QUEUE_ROOM + 1];
};

/* A queue's memory; the rings are read and written while others do. */
struct queue {
	_Alignas(4096) volatile struct desc desc[QUEUE_ROOM];
	_Alignas(4096) volatile struct avail avail;
	_Alignas(4096) volatile struct used used;
	uint16_t size;
	uint16_t seen; /* of used.idx */
};

struct device;

/* What is particular to a kind of device. */
struct kind {
	uint32_t id;
	const char *name;
	unsigned queues;
	unsigned target;   /* the queue that is looked at on a kick */
	uint64_t features; /* those a driver here accepts at most */
	/* Fills the target queue's table with a good chain that starts at 0. */
	void (*fill)(struct device *d);
	/* A good request, answered well? The device is up, its queues fresh. */
	const char *(*prove)(struct device *d);
};

struct device {
	uintptr_t base;
	const struct kind *kind;
	unsigned number; /* among those of its kind */
	uint64_t offered;
	struct queue *queue; /* kind->queues of them */
};

uint32_t reg_read(const struct device *d, uint32_t reg);
void reg_write(const struct device *d, uint32_t reg, uint32_t value);
void reg_write64(const struct device *d, uint32_t reg, uint64_t value);
uint8_t reg_read8(const struct device *d, uint32_t reg);
void reg_write8(const struct device *d, uint32_t reg, uint8_t value);
uint16_t reg_read16(const struct device *d, uint32_t reg);
void reg_write16(const struct device *d, uint32_t reg, uint16_t value);
/* One access of 8 bytes. */
uint64_t reg_read_wide(const struct device *d, uint32_t reg);
void reg_write_wide(const struct device *d, uint32_t reg, uint64_t value);

/* Whether the device has asked for a reset, now or within a second. */
bool needs_reset(const struct device *d);

/* Nothing happens for a while: no reset asked for, nothing used. */
bool stays_calm(const struct device *d, const struct queue *q);

void device_reset(const struct device *d);

/*
 * From reset to FEATURES_OK with what of `wanted` is offered, then with all
 * queues set up and ready, then to DRIVER_OK. Each includes the one before.
 */
bool device_negotiate(struct device *d, uint64_t wanted);
bool device_prepare(struct device *d, uint64_t wanted);
bool device_up(struct device *d, uint64_t wanted);

/* Clears the queue's memory and tells the device where it is. */
void queue_place(const struct device *d, unsigned index, struct queue *q,
		 uint16_t size);
void queue_address(const struct device *d, uint32_t reg, uint64_t gpa);

void desc_set(volatile struct desc *desc, uint64_t addr, uint32_t len,
	      uint16_t flags, uint16_t next);
/* For a buffer of ours. */
void desc_buffer(volatile struct desc *desc, const volatile void *buffer,
		 uint32_t len, uint16_t flags, uint16_t next);

/* Offers a chain; a kick says so. */
void queue_offer(struct queue *q, uint16_t head);
void queue_kick(const struct device *d, unsigned index);
/* Both, for the kind's target queue. */
void submit(struct device *d, uint16_t head);

/* Waits until one more chain was used; false after a second. */
bool queue_used(struct queue *q);

static inline struct queue *target(struct device *d)
{
	return &d->queue[d->kind->target];
}

static inline uint64_t gpa_of(const volatile void *p)
{
	return (uintptr_t)p;
}

/* ---- attacks ---- */

struct attack {
	const char *name;
	const char *(*run)(struct device *d);
	uint64_t features; /* 0: those it finds */
	bool stays_down;   /* the attack brings the device up itself */
};

/* Ends an attack with its own words where the condition does not hold. */
#define WANT(condition, why)        \
	do {                        \
		if (!(condition))   \
			return why; \
	} while (0)

/* The verdict of most: the device has stopped and says so. */
#define WANT_STOPPED(d) WANT(needs_reset(d), "it did not ask for a reset")

/* Tables end with a name of NULL. */
extern const struct attack transport_attacks[];
extern const struct attack queue_attacks[];
extern const struct attack ring_attacks[];
extern const struct attack race_attacks[];
extern const struct attack block_attacks[];
extern const struct attack net_attacks[];
extern const struct attack vsock_attacks[];

extern const struct kind block_kind;
extern const struct kind net_kind;
extern const struct kind vsock_kind;

/* Another device than d answers a good request: NULL, or what it did. */
const char *witness_answers(const struct device *d);
