/*
 * From the guest to the tap. A chain is a header and a frame; it is written
 * whole by one writev(), the frame out of guest memory as it lies there, the
 * header out of our copy, which was judged: the kernel acts on it.
 *
 * What the driver builds wrongly (no header, something to be written) faults
 * the queue. A header that makes no sense, or a frame no wire would carry, is
 * the guest's own loss: dropped and counted.
 *
 * A tap that takes no more leaves the chain in the queue, and kicks disabled,
 * until epoll says that there is room; so does the limiter.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>

#include "devices/net_device.h"
#include "vmm/arch/host/host.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"

enum verdict { DONE, LATER, FAULT };

/* How long the next frame is waited for; see await_next(). */
enum { TRUSTED = 2, TRUST_MAX = 8, GAPS = 4, COST_NS = 16000, LOOK_NS = 10000 };
enum { WAIT_NS_MAX = 300000 };

/* The features without which a driver has no such segments (5.1.6.2). */
static uint64_t feature_of(uint8_t gso_type)
{
	switch (gso_type) {
	case NET_GSO_TCPV4:
		return NET_F_HOST_TSO4;
	case NET_GSO_TCPV6:
		return NET_F_HOST_TSO6;
	case NET_GSO_TCPV4 | NET_GSO_ECN:
		return NET_F_HOST_TSO4 | NET_F_HOST_ECN;
	case NET_GSO_TCPV6 | NET_GSO_ECN:
		return NET_F_HOST_TSO6 | NET_F_HOST_ECN;
	case NET_GSO_UDP:
		return NET_F_HOST_UFO;
	case NET_GSO_UDP_L4:
		return NET_F_HOST_USO;
	default:
		return 0;
	}
}

/* Whether a frame has what its header says; makes the header ours. */
static bool check_header(const struct net *n, struct net_header *h, size_t len)
{
	const uint64_t accepted = n->virtio.accepted;
	const size_t csum_end = (size_t)le16_get(&h->csum_start) +
				le16_get(&h->csum_offset) + 2;
	const uint64_t needed = feature_of(h->gso_type);

	/* 5.1.6.2.2: bits we do not know are to be ignored. */
	h->flags &= NET_HDR_NEEDS_CSUM;
	le16_put(&h->num_buffers, 0);
	if (h->flags && (!(accepted & NET_F_CSUM) || csum_end > len))
		return false;
	if (h->gso_type == NET_GSO_NONE) {
		le16_put(&h->gso_size, 0);
		le16_put(&h->hdr_len, 0);
		return true;
	}
	if (!needed || (accepted & needed) != needed)
		return false;
	/* 5.1.6.2.1: segments have their checksums completed. */
	if (!h->flags || !le16_get(&h->gso_size))
		return false;
	/* A hint, which Linux refuses where it is longer than the frame. */
	if (le16_get(&h->hdr_len) > len)
		le16_put(&h->hdr_len, (uint16_t)len);
	return true;
}

/* Whether the limiter lets a frame of so many bytes pass. */
static bool may_pass(struct net *n, struct net_tx *tx, size_t len)
{
	if (tx->paid == len && len)
		return true;
	if (!limiter_take(&n->tx_limiter, len))
		return false;
	tx->paid = len;
	return true;
}

/* epoll tells when there is room. */
static void wait_for_room(struct net_pair *p)
{
	p->tx.is_blocked = true;
	p->watches_out = true;
	loop_change(p->net->virtio.device.host->loop, &p->watch,
		    EPOLLIN | EPOLLOUT | EPOLLET);
}

/* Writes a frame that was judged. */
static enum verdict write_frame(struct net_pair *p, struct net_header *h,
				const struct iov *frame)
{
	struct net *n = p->net;
	ssize_t rc;

	n->out[0] = (struct iovec){.iov_base = h, .iov_len = sizeof(*h)};
	memcpy(&n->out[1], frame->at, frame->count * sizeof(*frame->at));
	rc = writev(p->tap.fd, n->out, (int)frame->count + 1);
	if (rc < 0 && errno == EAGAIN)
		return LATER;
	p->tx.paid = 0;
	if (rc < 0) {
		/* The interface is down, or Linux dislikes the frame. */
		n->counters.tap_write_fails++;
		n->counters.tx_dropped++;
		return DONE;
	}
	n->counters.tx_packets++;
	n->counters.tx_bytes += frame->bytes;
	return DONE;
}

/* Serves the chain that was just popped. */
static enum verdict serve(struct net_pair *p, struct vq *vq)
{
	struct net *n = p->net;
	struct iov frame = n->chain.readable;
	struct net_header h;
	enum verdict v;

	if (n->chain.writable.count) {
		vq_fault(vq, "a frame to send with a writable buffer");
		return FAULT;
	}
	if (iov_take(&frame, &h, sizeof(h)) != sizeof(h)) {
		vq_fault(vq, "a frame to send without a whole header");
		return FAULT;
	}
	if (frame.bytes < NET_ETHER ||
	    frame.bytes > NET_FRAME_MAX - NET_HEADER ||
	    !check_header(n, &h, frame.bytes)) {
		n->counters.tx_malformed++;
		n->counters.tx_dropped++;
		vq_put(vq, n->chain.head, 0);
		return DONE;
	}
	if (!may_pass(n, &p->tx, frame.bytes)) {
		vq_unpop(vq);
		return LATER;
	}
	v = write_frame(p, &h, &frame);
	if (v == LATER) {
		vq_unpop(vq);
		wait_for_room(p);
		return v;
	}
	vq_put(vq, n->chain.head, 0);
	return v;
}

/* Serves what is offered. 0: there was no more. */
static int serve_some(struct net_pair *p, struct vq *vq, size_t *frames,
		      size_t *bytes)
{
	struct net *n = p->net;
	int rc;

	while (*frames < NET_TURN_FRAMES && *bytes < NET_TURN_BYTES) {
		rc = vq_pop(vq, &n->chain);
		if (rc <= 0)
			return rc;
		*bytes += n->chain.readable.bytes;
		++*frames;
		rc = (int)serve(p, vq);
		if (rc != DONE)
			return rc;
	}
	/* A turn is over. */
	virtio_kick_again(&n->virtio);
	return LATER;
}

/* A frame came ns after the one before, with nothing received between. */
static void learn(struct net_tx *tx, uint64_t ns)
{
	if (tx->trust < TRUST_MAX)
		tx->trust++;
	tx->gap_ns = (tx->gap_ns * 3 + ns) / 4;
}

/* The queue may have work: how long has the driver taken for it? */
static void look_back(struct net_pair *p, struct vq *vq)
{
	struct net_tx *tx = &p->tx;
	uint64_t ns;

	if (!tx->idle_ns || !vq_has_work(vq))
		return;
	ns = clock_now_ns() - tx->idle_ns;
	tx->idle_ns = 0;
	if (ns <= WAIT_NS_MAX && tx->received == p->net->counters.rx_packets)
		learn(tx, ns);
	else
		tx->trust /= 2;
}

static bool has_received(const struct net_pair *p)
{
	struct pollfd tap = {.fd = p->tap.fd, .events = POLLIN};

	return poll(&tap, 1, 0) > 0;
}

/*
 * Whether the driver has another frame, waited for where it has been sending
 * one after the other: without a kick for each it makes more of them. What
 * comes from the tap meanwhile ends that, and the first wait in vain ends it
 * until there was another row. With several pairs the others' frames would
 * wait, too.
 */
static bool await_next(struct net_pair *p, struct vq *vq, size_t *frames)
{
	struct net_tx *tx = &p->tx;
	const uint64_t begin = clock_now_ns();
	uint64_t now = begin, look = begin + LOOK_NS;
	uint64_t limit = tx->gap_ns * GAPS;

	if (limit > WAIT_NS_MAX)
		limit = WAIT_NS_MAX;
	if (tx->trust < TRUSTED || p->net->pair_count > 1)
		limit = 0;
	for (; now - begin < limit; now = clock_now_ns()) {
		if (vq_has_work(vq)) {
			learn(tx, now - begin);
			*frames += (now - begin) / COST_NS;
			return true;
		}
		if (now >= look && has_received(p))
			break;
		if (now >= look)
			look = now + LOOK_NS;
		host_relax();
	}
	if (limit)
		tx->trust = now - begin < limit ? tx->trust - 1 : 0;
	tx->idle_ns = now;
	tx->received = p->net->counters.rx_packets;
	return false;
}

void net_tx_turn(struct net_pair *p)
{
	struct net *n = p->net;
	struct vq *vq = net_tx_queue(p);
	size_t frames = 0;
	size_t bytes = 0;
	int rc;

	mutex_held(&n->virtio.device.lock);
	if (!net_may_move(n) || !net_is_enabled(p) || !vq->live ||
	    p->tx.is_blocked || limiter_is_waiting(&n->tx_limiter))
		return;
	look_back(p, vq);
	do {
		vq_disable_kicks(vq);
		rc = serve_some(p, vq, &frames, &bytes);
		vq_publish(vq);
		/* It may be out of buffers. */
		virtio_notify(&n->virtio, vq);
		/* A round counts too: the driver may take offers back. */
		frames++;
	} while (rc == 0 && ((bytes && await_next(p, vq, &frames)) ||
			     vq_enable_kicks(vq)));
}
