#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/vsock_packet.h"
#include "tests/unit/fake_driver.h"
#include "vmm/base/err.h"

/*
 * What the tests of virtio-vsock share: the device, a guest's driver with three
 * rings, and processes of the host with real sockets. The clock can be put
 * forward. Everything fails the test where it can't do its work.
 */
enum { CID = 52, RING = 64, RX_ROOM = 4096, TX_ROOM = 65536 };
enum { HOST_BASE = 1 << 30 };

extern struct fake_host host;
extern struct fake_ring rings[3]; /* rx, tx, event */
extern char uds_path[64];

int bench_setup(void **state);	  /* a device, no driver */
int bench_setup_up(void **state); /* and a driver with buffers */
int bench_teardown(void **state);

/* vsock_new() for the path of the tests; what it returns. */
int open_vsock(struct err *e);
void driver_up(void);

/* The loop, until it rests; fails where it does not. */
void settle(void);
/* CLOCK_MONOTONIC jumps by so much, and what is due goes off. */
void pass_ms(unsigned ms);

/* Offers so many receive buffers of RX_ROOM bytes; the device is told. */
void give_buffers(unsigned count);
/* Of another size, cut in pieces. */
void give_buffer(size_t bytes, size_t piece);

/* A packet of the guest: fields are filled in, the rest may be changed. */
struct vsock_packet packet(uint16_t op, uint32_t host_port,
			   uint32_t guest_port);
/* Sends it, len bytes of data behind it; the device is told. */
void guest_sends(const struct vsock_packet *p, const void *data);
/* As it stands: `bytes` in all, in pieces; p->len is not looked at. */
void guest_sends_raw(const struct vsock_packet *p, const void *data,
		     size_t bytes, size_t piece);
void guest_says(uint16_t op, uint32_t host_port, uint32_t guest_port);
void guest_writes(uint32_t host_port, uint32_t guest_port, const char *text);

/*
 * The next packet that the guest got, its buffer offered again; data, of at
 * least RX_ROOM bytes, may be NULL. False where there is none.
 */
bool guest_gets(struct vsock_packet *p, void *data);
/* Must be the next one. */
struct vsock_packet guest_expects(uint16_t op, uint32_t host_port,
				  uint32_t guest_port);
void guest_expects_text(uint32_t host_port, uint32_t guest_port,
			const char *text);
void guest_expects_nothing(void);
/* Whether buffers that guest_gets() empties are offered again: yes at first. */
extern bool refills;

/* Processes of the host. Sockets block no test: a second at most. */
int host_connects(void);
int host_listens(uint32_t port, int backlog);
int host_accepts(int listener);
void host_says(int fd, const char *text);
void host_hears(int fd, const char *text);
/* Reads the end of file. */
void host_hears_end(int fd);
bool host_hears_nothing(int fd);

/* Opened connections, from either side. guest_port of from_host() is asked. */
int from_host(uint32_t host_port, uint32_t guest_port);
int from_guest(uint32_t host_port, uint32_t guest_port, uint32_t credit);

bool is_broken(void);
unsigned connections(void);
