#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "devices/virtio/iov.h"
#include "devices/vsock_packet.h"
#include "vmm/event/loop.h"

/*
 * One connection: its state, the credit of both sides, and what waits to be
 * written to the host's process. It knows nothing of queues or other
 * connections; vsock_table.h keeps them.
 *
 * Everything here: with the device's lock held.
 */
enum vsock_state {
	VSOCK_GREETING,	  /* a process of the host has yet to say CONNECT */
	VSOCK_ASKED,	  /* the guest has yet to answer our REQUEST */
	VSOCK_CONNECTING, /* the host's process has yet to take the guest's */
	VSOCK_OPEN,
	VSOCK_CLOSING,	/* all is said both ways; the guest has yet to RST */
	VSOCK_DRAINING, /* the guest is gone, the host gets the rest */
	VSOCK_DEAD,	/* owes the guest a RST, and is gone */
	VSOCK_DOOMED,	/* the driver is gone; the loop thread frees it soon */
};

/* What the guest is to be told, beside data and shutdowns. */
enum {
	VSOCK_OWES_REQUEST = 1,
	VSOCK_OWES_RESPONSE = 2,
	VSOCK_OWES_RST = 4,
	VSOCK_OWES_CREDIT = 8,
};

struct vsock_link {
	struct vsock_link *prev, *next; /* NULL while in no list */
};

struct vsock_conn {
	struct vsock_link all;	 /* of the table, or of the doomed */
	struct vsock_link ready; /* has something for the guest */
	struct vsock_link wait;	 /* for a deadline */
	struct vsock_conn *same; /* the next one of the same hash */
	bool is_hashed;
	uint64_t deadline_ns;
	uint64_t give_up_ns;	 /* CONNECTING */
	struct loop_watch watch; /* edge-triggered; of fd */
	void *device;		 /* borrowed: struct vsock */

	int fd; /* owned; -1 while CONNECTING, and once closed */
	enum vsock_state state;
	uint32_t host_port;
	uint32_t guest_port;
	uint8_t owes;

	/* From the host to the guest. */
	bool is_readable;  /* as far as we know */
	bool is_hung_up;   /* read until the end, it is near */
	bool is_gone;	   /* the process closed, but bytes may be left */
	bool has_ended;	   /* nothing comes any more */
	bool asked_credit; /* since it ran out */
	uint8_t batch;	   /* buffers that the last read filled */
	uint32_t peer_buf_alloc, peer_fwd_cnt;
	uint32_t sent; /* bytes, modulo 2^32, as all such counts */

	/* From the guest to the host. */
	bool is_deaf;	/* the host's process takes nothing any more */
	bool is_cut;	/* it was told that nothing comes any more */
	bool waits_out; /* for room in the socket */
	uint32_t buf_alloc, fwd_cnt, told_fwd_cnt;
	uint32_t received;
	uint8_t *buffer; /* owned; NULL while the socket takes it all */
	uint32_t buffer_at, buffered;

	uint8_t guest_shut; /* what the guest said by SHUTDOWN */
	uint8_t host_shut;  /* what is to be said to the guest */
	uint8_t told_shut;  /* what of it was said */
};

/* Bytes that may still be sent to the guest (5.10.6.3). */
uint32_t vsock_conn_credit(const struct vsock_conn *c);

/*
 * Takes in what a packet says of the guest's buffers. -EPROTO where it claims
 * to have taken more than it was sent.
 */
int vsock_conn_hear_credit(struct vsock_conn *c, const struct vsock_packet *p);

/*
 * Takes bytes from the guest, all of them: to the socket as far as it takes
 * them, else into the buffer. -EPROTO where the guest had no credit for them,
 * -ENOMEM.
 */
int vsock_conn_take(struct vsock_conn *c, struct iov *data);

/* Writes what is buffered. Returns whether that went on at all. */
bool vsock_conn_flush(struct vsock_conn *c);

/*
 * Reads at most len bytes from the host's process, straight to where they
 * belong; iov is changed. Returns how many; 0 where there are none now, or no
 * more at all (has_ended).
 */
size_t vsock_conn_read(struct vsock_conn *c, struct iovec *iov, size_t count,
		       size_t len);

/* Draws conclusions from what both sides said: see vsock_conn.c. */
void vsock_conn_settle(struct vsock_conn *c);

/* Both ways are over, and the guest knows and agrees. */
bool vsock_conn_is_over(const struct vsock_conn *c);

/* Whether there is data for the guest and credit for it. */
bool vsock_conn_has_data(const struct vsock_conn *c);

/* Whether there is anything for the guest. */
bool vsock_conn_has_word(const struct vsock_conn *c);

/*
 * The next packet for the guest that is not data: op, flags; it counts as sent.
 * False where there is none.
 */
bool vsock_conn_next(struct vsock_conn *c, struct vsock_packet *p);

/* What every packet of c says: addresses and our credit. */
void vsock_conn_stamp(struct vsock_conn *c, struct vsock_packet *p);
