#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "devices/virtio/ring.h"
#include "devices/virtio/virtio.h"
#include "devices/vsock_conn.h"
#include "devices/vsock_packet.h"
#include "devices/vsock_table.h"
#include "vmm/event/loop.h"

/*
 * What the files of virtio-vsock share; vsock.c opens with how they divide the
 * work. vsock.c stands on all others, vsock_tx.c on vsock_host.c, and these two
 * and vsock_rx.c on vsock_device.c. Nobody else includes this.
 */
enum { VSOCK_RX, VSOCK_TX, VSOCK_EVENT, VSOCK_QUEUES };

/* Processes that have yet to say CONNECT; further ones are not taken in. */
enum { VSOCK_GREETING_MAX = 256 };

/* RSTs for what is no connection, and how many of them may wait. */
enum { VSOCK_REFUSALS_MAX = 64 };

struct vsock_refusal {
	uint64_t cid; /* whom the guest meant */
	uint32_t from_port;
	uint32_t to_port;
	uint16_t type;
};

/* Buffers of the guest that one read may fill, and pieces of these. */
enum { VSOCK_BATCH_MAX = 16 };

struct vsock_batch {
	struct {
		uint16_t head;
		uint16_t at; /* its pieces in headers */
		uint16_t pieces;
		size_t room; /* for data */
	} chains[VSOCK_BATCH_MAX];
	struct iovec headers[VQ_SIZE_MAX];
	struct iovec space[VQ_SIZE_MAX];
	unsigned chain_count, header_count, space_count;
	size_t room;
};

struct vsock_counters {
	uint64_t conns_added, conns_killed, conns_removed, conns_refused;
	uint64_t rx_packets, rx_bytes; /* to the guest */
	uint64_t tx_packets, tx_bytes; /* from it */
	uint64_t tx_malformed, tx_bytes_dropped;
};

struct vsock {
	struct virtio virtio;		/* first */
	struct transport_ops transport; /* mmio's, but for start */
	uint32_t cid;
	char *id;		    /* owned */
	struct sockaddr_un address; /* of the listening socket */
	dev_t address_dev;	    /* the file that we made */
	ino_t address_ino;

	int listen_fd; /* owned */
	struct loop_watch listen_watch;
	bool is_accepting;
	uint64_t accept_again_ns; /* 0, or no descriptors were left */

	struct vsock_table table;
	/* vsock.c's: a connection's socket has something to say. */
	void (*conn_ready)(struct loop_watch *w, uint32_t events);
	struct loop_timer timer;
	int doom_fd; /* owned eventfd: connections are to be freed */
	struct loop_watch doom_watch;

	struct vsock_refusal refusals[VSOCK_REFUSALS_MAX];
	unsigned refusal_at, refusal_count;
	bool is_tx_stalled; /* until refusals are out */
	/* TRANSPORT_RESET: to be sent, and then to be acknowledged. */
	bool owes_event;
	bool is_event_out;
	uint16_t event_ack; /* the event queue's vq_offered() that says so */

	struct vq_chain chain;
	struct vsock_batch batch;
	struct vsock_counters counters;
};

/*
 * The functions below run in the loop thread with the device's lock held. Those
 * that take a connection may free it, unless said otherwise.
 */

/* vsock_device.c: whether there is a driver to talk to. */
bool vsock_is_up(const struct vsock *vs);
/* After any change of c: what follows from it, and whose turn. */
void vsock_settle(struct vsock *vs, struct vsock_conn *c);
/* Ends c by a RST to the guest; the host's process sees an end of file. */
void vsock_kill(struct vsock *vs, struct vsock_conn *c);
/* Forgets c without a word to the guest. */
void vsock_drop(struct vsock *vs, struct vsock_conn *c);
/* c waits; the device's timer is set accordingly. Does not free c. */
void vsock_wait(struct vsock *vs, struct vsock_conn *c, enum vsock_wait what);
/* Sets the timer by the table's and the listener's deadlines. */
void vsock_set_timer(struct vsock *vs);
/* Watches c's socket. Does not free c. */
int vsock_watch(struct vsock *vs, struct vsock_conn *c);
/* Accepts again what it has stopped to accept, if that is possible now. */
void vsock_resume(struct vsock *vs, uint64_t now_ns);
/* A RST for a packet that belongs to no connection; there must be room. */
void vsock_refuse(struct vsock *vs, const struct vsock_packet *p);

/*
 * The driver has yet to hear, or to have understood, that all connections are
 * gone; it would take a new one for one of those.
 */
bool vsock_awaits_driver(struct vsock *vs);

/* vsock_rx.c: tells the guest what there is to tell, within a turn's bound. */
void vsock_rx_serve(struct vsock *vs) REQUIRES(vs->virtio.device.lock);

/* vsock_tx.c: takes what the guest sends, within a turn's bound. */
void vsock_tx_serve(struct vsock *vs) REQUIRES(vs->virtio.device.lock);

/* vsock_host.c: makes and removes the listening socket. */
int vsock_host_listen(struct vsock *vs, const char *path, struct err *e);
/* Or takes a copy of one that somebody else has made and removes. */
int vsock_host_adopt(struct vsock *vs, const char *path, int fd, struct err *e);
void vsock_host_close(struct vsock *vs);
/* Takes in processes that connect, as many as may be half-open. */
void vsock_host_accept(struct vsock *vs);
/* A process that is greeting has said something. */
void vsock_host_greet(struct vsock *vs, struct vsock_conn *c);
/* The guest accepts: tells the process. */
void vsock_host_accepted(struct vsock *vs, struct vsock_conn *c);
/* The guest's REQUEST: connects to a process. */
void vsock_host_request(struct vsock *vs, const struct vsock_packet *p);
/* Once more, c having waited for a listener with a full backlog. */
void vsock_host_retry(struct vsock *vs, struct vsock_conn *c);
