#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "devices/virtio/ring.h"
#include "tests/unit/fake_driver.h"

/*
 * What the tests of the ring share: a host, one queue of it, and its driver.
 * Everything fails the test where it can't do its work.
 */
enum { SIZE = 8 };
enum { RING = 0x1000, BUFFERS = 0x40000, TABLE = 0x80000, APART = 0xa0000 };

#define LOW_END	 (FAKE_LOW + FAKE_LOW_SIZE)
#define HIGH_END (FAKE_HIGH + FAKE_HIGH_SIZE)

extern struct fake_host host;
extern struct fake_ring q;    /* the driver's view */
extern struct vq vq;	      /* the device's */
extern struct vq_chain chain; /* the last one popped */
extern unsigned faults;

/* What vq calls on a fault. */
void count_fault(struct vq *which);

int bench_setup(void **state);
int bench_teardown(void **state);

/* A live queue of size entries; and the usual one. */
void begin_with(uint16_t size, bool event_idx, bool indirect);
void begin(void);

/*
 * The same with the descriptor table elsewhere, and behind its end a descriptor
 * that would do.
 */
void begin_apart(void);

/* The next chain is refused, and the queue is dead from then on. */
void expect_fault(void);

/* A chain that consists of one descriptor, in descriptor 0. */
void offer_one(uint64_t addr, uint32_t len, uint16_t flags);

/* A descriptor of a table that lies anywhere. */
void desc_at(uint64_t table, uint16_t i, uint64_t addr, uint32_t len,
	     uint16_t flags, uint16_t next);

/* The words of the ring. */
void set_avail_idx(uint16_t idx);
void set_avail_flags(uint16_t flags);
void set_used_event(uint16_t event);
uint16_t used_idx(void);
uint16_t used_flags(void);
uint16_t avail_event(void);

/* 2.7.10.1: whether a driver that moved its index from old must kick. */
bool must_kick(uint16_t old, bool event_idx);
