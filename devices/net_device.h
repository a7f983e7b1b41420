#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "devices/net.h"
#include "devices/tap.h"
#include "devices/virtio/ring.h"
#include "devices/virtio/turn.h"
#include "devices/virtio/virtio.h"
#include "devices/worker.h"
#include "vmm/base/le.h"
#include "vmm/event/limiter.h"
#include "vmm/event/loop.h"

/*
 * A virtio-net device as its own files see it, each standing on those behind
 * it: net.c has its life, net_ctrl.c the driver's commands, net_pair.c the
 * queues of the tap, net_rx.c and net_tx.c the two directions, net_offload.c
 * what guest and tap leave to one another, net_state.c what is saved.
 */

/* Features (virtio 1.2, 5.1.3; 54 to 56 are those of UDP segments). */
#define NET_F_CSUM		  (1ULL << 0)
#define NET_F_GUEST_CSUM	  (1ULL << 1)
#define NET_F_CTRL_GUEST_OFFLOADS (1ULL << 2)
#define NET_F_MTU		  (1ULL << 3)
#define NET_F_MAC		  (1ULL << 5)
#define NET_F_GUEST_TSO4	  (1ULL << 7)
#define NET_F_GUEST_TSO6	  (1ULL << 8)
#define NET_F_GUEST_ECN		  (1ULL << 9)
#define NET_F_GUEST_UFO		  (1ULL << 10)
#define NET_F_HOST_TSO4		  (1ULL << 11)
#define NET_F_HOST_TSO6		  (1ULL << 12)
#define NET_F_HOST_ECN		  (1ULL << 13)
#define NET_F_HOST_UFO		  (1ULL << 14)
#define NET_F_MRG_RXBUF		  (1ULL << 15)
#define NET_F_STATUS		  (1ULL << 16)
#define NET_F_CTRL_VQ		  (1ULL << 17)
#define NET_F_CTRL_RX		  (1ULL << 18)
#define NET_F_MQ		  (1ULL << 22)
#define NET_F_CTRL_MAC_ADDR	  (1ULL << 23)
#define NET_F_GUEST_USO4	  (1ULL << 54)
#define NET_F_GUEST_USO6	  (1ULL << 55)
#define NET_F_HOST_USO		  (1ULL << 56)

/* Those that say what the device may leave to the guest. */
#define NET_F_GUEST_OFFLOADS                                      \
	(NET_F_GUEST_CSUM | NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6 | \
	 NET_F_GUEST_ECN | NET_F_GUEST_UFO | NET_F_GUEST_USO4 |   \
	 NET_F_GUEST_USO6)

/* What precedes each frame (5.1.6). */
struct net_header {
	uint8_t flags;
	uint8_t gso_type;
	le16_t hdr_len;
	le16_t gso_size;
	le16_t csum_start;
	le16_t csum_offset;
	le16_t num_buffers;
};

enum { NET_HDR_NEEDS_CSUM = 1 };

enum {
	NET_GSO_NONE = 0,
	NET_GSO_TCPV4 = 1,
	NET_GSO_UDP = 3,
	NET_GSO_TCPV6 = 4,
	NET_GSO_UDP_L4 = 5,
	NET_GSO_ECN = 0x80,
};

enum {
	NET_HEADER = sizeof(struct net_header),
	/* Ethernet's own header, and one with a VLAN tag. */
	NET_ETHER = 14,
	NET_ETHER_VLAN = 18,
	/* 5.1.6.3.1: what a driver with segmentation has room for. */
	NET_RX_FULL = 65562,
	/* The largest frame, its header included: 64 KiB of segments. */
	NET_FRAME_MAX = NET_HEADER + NET_ETHER_VLAN + 65536,
};

/*
 * A turn in the loop thread ends after so many frames or bytes, so that other
 * devices and the API get theirs, and the guest's vCPUs the device's lock.
 */
enum { NET_TURN_FRAMES = 64, NET_TURN_BYTES = 512 << 10 };

/* Segments that one readv() takes, and room to append before we must move. */
enum { NET_RX_SEGMENTS = 1023, NET_RX_ROOM = 2 * 1024 + VQ_SIZE_MAX };

struct net_rx_chain {
	uint16_t head;
	uint16_t segments;
	size_t bytes;
};

/* One direction of a pair: from the tap to the guest. See net_rx.c. */
struct net_rx {
	bool may_have_frames; /* of the tap: it did not say EAGAIN since */
	bool is_stale;	      /* what it has is for a driver that is gone */
	/* Buffers that were taken and not filled yet, the oldest first. */
	struct net_rx_chain chains[VQ_SIZE_MAX]; /* as a ring */
	unsigned first_chain;
	unsigned chain_count;
	unsigned first; /* in iov */
	unsigned count;
	size_t bytes;
	unsigned short_row; /* frames since the last long one; saturates */
	/* A frame that is longer: so much of it lies in spill. */
	size_t spilled;
	size_t frame; /* its length */
	struct iovec iov[NET_RX_ROOM];
	uint8_t spill[NET_FRAME_MAX + 1];
};

/* The other. */
struct net_tx {
	bool is_blocked; /* the tap said EAGAIN */
	size_t paid;	 /* bytes the limiter gave for the next frame */
	/* What is known of the driver's haste; see await_next(). */
	unsigned trust;
	uint64_t gap_ns;   /* from one frame to the next */
	uint64_t idle_ns;  /* when there was none left, or 0 */
	uint64_t received; /* frames for the guest by then */
};

struct net_pair {
	struct net *net; /* borrowed */
	unsigned index;
	/* Owned. Beyond its fd: net_change's while that is under way. */
	struct tap tap;
	bool is_enabled;	 /* frames go in and out */
	struct loop_watch watch; /* of the tap */
	bool watches_out;
	struct net_rx rx;
	struct net_tx tx;
};

/*
 * What a driver's command wants of the taps. The worker sees to it, since it
 * waits for the host; until it has, no other command is begun.
 */
struct net_change {
	struct worker_job job;
	unsigned pairs, pairs_before;
	uint32_t offloads;
	/* Nobody wants it any more: no further step. Thread: any. */
	_Atomic bool is_hurried;
	uint16_t head;	    /* of the command, whose answer is to be written */
	uint8_t *answer_at; /* guest-shared */
};

struct net_counters {
	uint64_t rx_packets, rx_bytes, rx_dropped, rx_no_buffers;
	uint64_t tx_packets, tx_bytes, tx_dropped, tx_malformed;
	uint64_t tap_read_fails, tap_write_fails;
};

struct net {
	struct virtio virtio; /* first */
	char *id;	      /* owned */
	uint8_t mac[6];	      /* the guest's may differ; see net_ctrl.c */
	uint8_t guest_mac[6];
	uint16_t mtu;
	uint32_t offloads; /* of the tap, that are on */
	/* What a driver that came, went or was loaded wants of the taps. */
	uint32_t wanted_offloads;
	unsigned wanted_pairs;
	bool is_settled;     /* the taps are as the driver wants them */
	bool is_tapless;     /* until net_set_tap() */
	struct turn rx_turn; /* of the pairs */
	struct turn tx_turn;
	bool is_connected; /* to the loop */
	bool was_up;	   /* a driver was there since the taps were empty */
	struct limiter rx_limiter;
	struct limiter tx_limiter;
	struct limiter ctrl_limiter; /* see net_ctrl.c */
	struct worker worker;	     /* has no more than the change */
	struct net_change change;
	struct net_counters counters;
	/* What is being taken from a queue; nothing stays here. */
	struct vq_chain chain;
	struct iovec out[VQ_SIZE_MAX + 1];
	unsigned pair_count;
	struct net_pair pairs[];
};

/*
 * All below: with the device's lock held, which the analysis of threads can't
 * follow from a pair to its device; so those that need it say mutex_held().
 */

/* Whether frames go in and out: the first pair's always, others' on demand. */
static inline bool net_is_enabled(const struct net_pair *p)
{
	return p->is_enabled;
}

/* Not while the taps are being set up, nor while the device is held. */
static inline bool net_may_move(const struct net *n)
{
	return n->is_settled && !n->virtio.is_held;
}

/* 5.1.2: behind all pairs that are offered with MQ, else behind the first. */
static inline struct vq *net_ctrl_queue(struct net *n)
{
	const bool has_all = virtio_has(&n->virtio, NET_F_MQ);

	return &n->virtio.queues[2 * (has_all ? n->pair_count : 1)];
}

/* A pair's queues. */
static inline struct vq *net_rx_queue(struct net_pair *p)
{
	return &p->net->virtio.queues[2 * p->index];
}

static inline struct vq *net_tx_queue(struct net_pair *p)
{
	return &p->net->virtio.queues[2 * p->index + 1];
}

/* net_pair.c: has the loop tell of the tap; so its thread alone may. */
void net_watch_tap(struct net_pair *p);

/* How many there are, of 1 to pair_count. */
unsigned net_enabled_pairs(const struct net *n);

/*
 * From one number of pairs to another, in three steps: those that go rest
 * (thread: the loop's); their queues of the tap are detached, or new ones
 * attached, which may take long (thread: any, lock not held; 0, -ECANCELED once
 * c->is_hurried, or a negative errno with as many as before); those that came
 * work, and the loop, kicked again, watches their taps.
 */
void net_disable_pairs(struct net *n, unsigned count);
int net_attach_pairs(struct net *n, const struct net_change *c);
void net_enable_pairs(struct net *n, unsigned count);

/* net_offload.c: what can be offered on a tap that can leave this undone. */
uint64_t net_offload_features(uint32_t tap);
/* The features among NET_F_GUEST_* that say what a tap may give. */
uint64_t net_guest_offloads(const struct net *n);
/* What these allow the taps to give, in words of tap.h. */
uint32_t net_tap_offloads(uint64_t features);
/* Has the taps give that, which may take long. 0 or a negative errno. */
int net_apply_offloads(struct net *n, uint32_t wanted);

/* What net_ctrl_turn() takes its commands from. */
extern const struct limiter_config net_ctrl_limit;

/* Serves what there is in a turn, and sees to another. Thread: the loop's. */
void net_rx_turn(struct net_pair *p);
void net_tx_turn(struct net_pair *p);
void net_ctrl_turn(struct net *n, struct vq *vq);

/* Sets up n->worker. */
void net_ctrl_init(struct net *n);

/*
 * False while a command is under way, which is brief where nobody wants it any
 * more.
 */
bool net_ctrl_quiesce(struct net *n);

/*
 * Gives the buffers back to the queue, as if they had not been taken. A frame
 * that waited for more of them is kept only where the device is held.
 */
void net_rx_quiesce(struct net_pair *p);

/* net_state.c: as virtio_ops.visit. */
void net_visit(struct virtio *v, struct visitor *w) REQUIRES(v->device.lock);
