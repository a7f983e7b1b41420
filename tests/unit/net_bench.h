#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/net.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/fake_tap.h"
#include "vmm/base/err.h"

/*
 * What the tests of virtio-net share: the device on a tap that is a socket,
 * and a driver with a ring for each queue of two pairs and for control.
 * Everything fails the test where it can't do its work.
 */
#define F_CSUM		(1ULL << 0)
#define F_GUEST_CSUM	(1ULL << 1)
#define F_CTRL_OFFLOADS (1ULL << 2)
#define F_MTU		(1ULL << 3)
#define F_MAC		(1ULL << 5)
#define F_GUEST_TSO4	(1ULL << 7)
#define F_GUEST_TSO6	(1ULL << 8)
#define F_GUEST_ECN	(1ULL << 9)
#define F_GUEST_UFO	(1ULL << 10)
#define F_HOST_TSO4	(1ULL << 11)
#define F_HOST_TSO6	(1ULL << 12)
#define F_HOST_ECN	(1ULL << 13)
#define F_HOST_UFO	(1ULL << 14)
#define F_MRG_RXBUF	(1ULL << 15)
#define F_STATUS	(1ULL << 16)
#define F_CTRL_VQ	(1ULL << 17)
#define F_CTRL_RX	(1ULL << 18)
#define F_MQ		(1ULL << 22)
#define F_CTRL_MAC_ADDR (1ULL << 23)
#define F_GUEST_USO4	(1ULL << 54)
#define F_GUEST_USO6	(1ULL << 55)
#define F_HOST_USO	(1ULL << 56)
#define F_CTRL		(F_CTRL_VQ | F_CTRL_RX | F_CTRL_MAC_ADDR)

enum { HEADER = 12, RING = 256, FRAME_MAX = 65536 + 18 };

/* Where the driver keeps frames: what it sends, and buffers to receive. */
#define SENT_GPA 0x80000ULL
#define GOT_GPA	 0x20000ULL
enum { SENT_ROOM = 0x60000, GOT_ROOM = 0x60000 };

struct frame_header {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};

enum { RX0, TX0, RX1, TX1, CTRL, RINGS };

extern struct fake_host host;
extern struct fake_ring rings[RINGS];
extern struct net_config config; /* what open_net() makes */
extern uint8_t *sent, *got;	 /* the memory there, from up() on */

/* Nothing is open; config is a tap of one pair and no limit. */
int bench_setup(void **state);
int bench_teardown(void **state);

/* A machine with the device; returns what net_new() did. */
int open_net(struct err *e);
/* The driver, from reset to DRIVER_OK, with the queues that features give. */
void up(uint64_t features);
/* The same with a machine before. */
void open_up(uint64_t features);

/* Has the device work until there is nothing to do. */
void turn(void);
void kick(unsigned queue);
bool is_broken(void);

/* The value of a counter. */
uint64_t counter(const char *name);

/* Byte at of frame number n. */
uint8_t pattern(unsigned n, size_t at);

/* Puts a frame on the wire, with a header of zeroes, or the one given. */
void wire_send(unsigned pair, unsigned n, size_t len);
void wire_send_as(unsigned pair, const struct frame_header *h, unsigned n,
		  size_t len);
/* Takes a frame off it: its length without header, -1 where there is none. */
long wire_take(unsigned pair, struct frame_header *h, uint8_t *frame,
	       size_t room);

/* Offers a buffer for receiving at GOT_GPA + at, by descriptor number desc. */
void offer_room(unsigned ring, uint16_t desc, uint64_t at, uint32_t len);
/* Offers a header and frame n from SENT_GPA in pieces; desc and on are used. */
void offer_frame(unsigned ring, uint16_t desc, const struct frame_header *h,
		 unsigned n, size_t len, size_t piece);

enum { ACK_OK = 0, ACK_ERR = 1, UNTOUCHED = 0xee };

/* Offers a command in pieces and kicks; the answer will be in got[0]. */
void offer_command(unsigned piece, uint8_t class, uint8_t what,
		   const void *data, size_t len);
/* Turns until no command is under way any more. */
void await_command(void);
/*
 * The answer to a command, or UNTOUCHED where there was none; the first in
 * pieces.
 */
uint8_t command_in(unsigned piece, uint8_t class, uint8_t what,
		   const void *data, size_t len);
uint8_t command(uint8_t class, uint8_t what, const void *data, size_t len);
uint8_t set_pairs(uint16_t pairs);
