/*
 * From the tap to the guest. Theory of operation.
 *
 * A frame is read by one readv() straight into the guest's buffers. How long
 * it is shows only then, so buffers for the longest one are taken before: with
 * MRG_RXBUF as many chains as that needs, some forty of Linux's, of which a
 * short frame fills one. The others are not given back. They stay in a list
 * (chains and their segments, flattened in the order they were taken) which
 * the next frames use up and which is filled again one by one; so a buffer is
 * taken, checked and translated once. Whoever wants the queue to hold all that
 * is not filled (a reset, the machine's end) calls net_rx_quiesce(): the list
 * is always the newest that was taken, so vq_unpop() undoes it.
 *
 * After a row of short frames fewer are taken, for a readv() is the slower the
 * more segments it gets: a quarter of its time with forty of them. The first
 * long one then takes the way of those that do not fit, and ends that.
 *
 *	iov      [ used up | first … first + count | room ]
 *	chains   a ring of {head, segments, bytes}, in the same order
 *
 * Behind the guest's segments readv() gets one of ours, the spill. What ends
 * there did not fit. With MRG_RXBUF it waits until the driver offers enough
 * for the rest, which is copied; a driver that has given us all the chains its
 * queue can hold will not, and without MRG_RXBUF a frame has one chain anyway:
 * then it is dropped and counted.
 *
 * The tap is watched edge-triggered, and may_have_frames remembers that it did
 * not say EAGAIN yet. So without buffers nothing is done until the driver
 * kicks, and nothing has to be told to epoll: the tap raises an event for each
 * frame it takes, and it takes few before it drops them.
 *
 * The driver sees the header as Linux's tap wrote it, in its own memory;
 * num_buffers is ours. Offloads that were not accepted are off in the tap, so
 * that it does what is left to do.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "devices/net_device.h"
#include "vmm/base/log.h"

/* More than a tap holds, unless its owner told it to hold very many. */
enum { STALE_FRAMES_MAX = 2048 };

/* Short frames, and how many in a row make us expect the next to be short. */
enum { SHORT_BYTES = 4096, SHORT_ROW = 64 };

enum verdict { GO_ON, REST, FAULT };

static struct net_rx_chain *chain_at(struct net_rx *rx, unsigned i)
{
	return &rx->chains[(rx->first_chain + i) % VQ_SIZE_MAX];
}

/* What lies ready, as one run. */
static struct iov ready_run(struct net_rx *rx)
{
	return (struct iov){
		.at = &rx->iov[rx->first],
		.count = rx->count,
		.bytes = rx->bytes,
	};
}

static void append(struct net_rx *rx, const struct vq_chain *chain)
{
	const struct iov *run = &chain->writable;

	/* What we move is at most what was used up, and it stays in cache. */
	if (rx->first >= 64 && rx->first >= rx->count) {
		memmove(rx->iov, &rx->iov[rx->first],
			rx->count * sizeof(rx->iov[0]));
		rx->first = 0;
	}
	assert(rx->first + rx->count + run->count < NET_RX_ROOM);
	memcpy(&rx->iov[rx->first + rx->count], run->at,
	       run->count * sizeof(rx->iov[0]));
	*chain_at(rx, rx->chain_count++) = (struct net_rx_chain){
		.head = chain->head,
		.segments = (uint16_t)run->count,
		.bytes = run->bytes,
	};
	rx->count += run->count;
	rx->bytes += run->bytes;
}

/* The oldest chain is ours no more. */
static void forget_first(struct net_rx *rx)
{
	const struct net_rx_chain *c = chain_at(rx, 0);

	rx->first += c->segments;
	rx->count -= c->segments;
	rx->bytes -= c->bytes;
	rx->first_chain = (rx->first_chain + 1) % VQ_SIZE_MAX;
	rx->chain_count--;
}

/* Whether no chain can be added, however many the driver offers. */
static bool is_full(const struct net_rx *rx, const struct vq *vq)
{
	return rx->chain_count >= vq->size ||
	       rx->count + VQ_SIZE_MAX > NET_RX_SEGMENTS;
}

/* Takes chains until so many bytes are ready or there are no more. */
static int gather(struct net_pair *p, struct vq *vq, size_t want)
{
	struct vq_chain *chain = &p->net->chain;
	struct net_rx *rx = &p->rx;
	int rc;

	while (rx->bytes < want && !is_full(rx, vq)) {
		rc = vq_pop(vq, chain);
		if (rc <= 0)
			return rc;
		if (chain->readable.count || !chain->writable.count)
			return vq_fault(vq, "a receive buffer that is not "
					    "writable throughout");
		append(rx, chain);
	}
	return 0;
}

static void drop(struct net_pair *p)
{
	p->net->counters.rx_dropped++;
	p->rx.spilled = 0;
}

/*
 * 5.1.4.2: with MTU no frame that is longer comes through, save as segments.
 * The type is read where the guest may change it: to its own loss.
 */
static bool is_over_mtu(const struct net *n, const struct iov *run, size_t len)
{
	uint8_t type = NET_GSO_NONE;

	if (!virtio_has(&n->virtio, NET_F_MTU) ||
	    len <= (size_t)NET_HEADER + NET_ETHER_VLAN + n->mtu)
		return false;
	iov_read(run, offsetof(struct net_header, gso_type), &type, 1);
	return (type & ~NET_GSO_ECN) == NET_GSO_NONE;
}

/* Gives the driver a frame of len bytes, header included, that lies ready. */
static void deliver(struct net_pair *p, struct vq *vq, size_t len)
{
	struct net *n = p->net;
	struct net_rx *rx = &p->rx;
	const struct iov run = ready_run(rx);
	const struct net_rx_chain *c;
	const uint8_t no_flags = 0;
	size_t left = len;
	size_t part;
	le16_t buffers;
	uint16_t count = 0;

	rx->spilled = 0;
	if (len < NET_HEADER || is_over_mtu(n, &run, len)) {
		drop(p);
		return;
	}
	while (left > 0) {
		c = chain_at(rx, count++);
		left -= left < c->bytes ? left : c->bytes;
	}
	/* 5.1.6.4.1: 1 without MRG_RXBUF, which it then always is. */
	le16_put(&buffers, count);
	iov_write(&run, offsetof(struct net_header, num_buffers), &buffers,
		  sizeof(buffers));
	/* 5.1.6.4.1: and no flags. A tap may know a checksum to be right. */
	if (!virtio_has(&n->virtio, NET_F_GUEST_CSUM))
		iov_write(&run, offsetof(struct net_header, flags), &no_flags,
			  sizeof(no_flags));
	for (left = len; left > 0; left -= part) {
		c = chain_at(rx, 0);
		part = left < c->bytes ? left : c->bytes;
		vq_put(vq, c->head, (uint32_t)part);
		forget_first(rx);
	}
	vq_publish(vq);
	if (len > SHORT_BYTES)
		rx->short_row = 0;
	else if (rx->short_row < SHORT_ROW)
		rx->short_row++;
	n->counters.rx_packets++;
	n->counters.rx_bytes += len - NET_HEADER;
	limiter_charge(&n->rx_limiter, len - NET_HEADER);
}

/* Nothing to put a frame in: sleeps until the driver offers some. */
static enum verdict starve(struct net_pair *p, struct vq *vq)
{
	p->net->counters.rx_no_buffers++;
	if (!vq_enable_kicks(vq))
		return REST;
	vq_disable_kicks(vq);
	return GO_ON;
}

/* A frame that was longer than what lay ready: is there enough now? */
static enum verdict unspill(struct net_pair *p, struct vq *vq)
{
	struct net_rx *rx = &p->rx;
	const size_t at = rx->frame - rx->spilled;
	struct iov run;

	if (gather(p, vq, rx->frame))
		return FAULT;
	if (rx->bytes >= rx->frame) {
		run = ready_run(rx);
		iov_write(&run, at, rx->spill, rx->spilled);
		deliver(p, vq, rx->frame);
		return GO_ON;
	}
	if (!is_full(rx, vq))
		return starve(p, vq);
	drop(p);
	return GO_ON;
}

/* Reads a frame into what lies ready, which is something. */
static enum verdict read_frame(struct net_pair *p, struct vq *vq, size_t *bytes)
{
	struct net *n = p->net;
	struct net_rx *rx = &p->rx;
	ssize_t len;

	rx->iov[rx->first + rx->count] = (struct iovec){
		.iov_base = rx->spill,
		.iov_len = sizeof(rx->spill),
	};
	len = readv(p->tap.fd, &rx->iov[rx->first], (int)rx->count + 1);
	if (len <= 0) {
		rx->may_have_frames = false;
		if (len == 0 || errno != EAGAIN) {
			n->counters.tap_read_fails++;
			log_warn_limited("network interface %s: can't read "
					 "from the tap %s: %s",
					 n->id, p->tap.name,
					 len ? strerror(errno) : "it is gone");
		}
		return REST;
	}
	*bytes += (size_t)len;
	if ((size_t)len <= rx->bytes) {
		deliver(p, vq, (size_t)len);
		return GO_ON;
	}
	rx->frame = (size_t)len;
	rx->spilled = (size_t)len - rx->bytes;
	if (!virtio_has(&n->virtio, NET_F_MRG_RXBUF) ||
	    rx->frame > NET_FRAME_MAX)
		drop(p);
	return GO_ON;
}

/* How many bytes of buffers the next frame should find. */
static size_t bytes_wanted(const struct net_pair *p)
{
	/* Without MRG_RXBUF a frame has one chain, whatever its size. */
	if (!virtio_has(&p->net->virtio, NET_F_MRG_RXBUF))
		return 1;
	return p->rx.short_row < SHORT_ROW ? (size_t)NET_RX_FULL : SHORT_BYTES;
}

/* One frame, if there is one and something to put it in. */
static enum verdict step(struct net_pair *p, struct vq *vq, size_t *bytes)
{
	struct net_rx *rx = &p->rx;

	if (rx->spilled)
		return unspill(p, vq);
	if (!rx->may_have_frames || !limiter_may(&p->net->rx_limiter))
		return REST;
	if (gather(p, vq, bytes_wanted(p)))
		return FAULT;
	return rx->chain_count ? read_frame(p, vq, bytes) : starve(p, vq);
}

/*
 * Frames that came while no driver was there are nobody's: the one that comes
 * may have another address. A header's length is all a read must have.
 */
static void drain(struct net_pair *p)
{
	struct net_header h;
	unsigned i;

	for (i = 0; i < STALE_FRAMES_MAX; i++) {
		if (read(p->tap.fd, &h, sizeof(h)) <= 0)
			break;
		p->net->counters.rx_dropped++;
	}
	p->rx.is_stale = false;
}

void net_rx_turn(struct net_pair *p)
{
	struct net *n = p->net;
	struct net_rx *rx = &p->rx;
	struct vq *vq = net_rx_queue(p);
	enum verdict v = GO_ON;
	unsigned frames = 0;
	size_t bytes = 0;

	mutex_held(&n->virtio.device.lock);
	if (!net_may_move(n) || !net_is_enabled(p) || !vq->live ||
	    !(rx->may_have_frames || rx->spilled))
		return;
	if (rx->is_stale)
		drain(p);
	vq_disable_kicks(vq);
	while (v == GO_ON && frames++ < NET_TURN_FRAMES &&
	       bytes < NET_TURN_BYTES)
		v = step(p, vq, &bytes);
	if (v == GO_ON)
		virtio_kick_again(&n->virtio);
	virtio_notify(&n->virtio, vq);
}

/* All of a frame of which a part lies in the guest's buffers. */
static void spill_all(struct net_rx *rx)
{
	const size_t at = rx->frame - rx->spilled;
	const struct iov run = ready_run(rx);

	memmove(rx->spill + at, rx->spill, rx->spilled);
	(void)iov_read(&run, 0, rx->spill, at);
	rx->spilled = rx->frame;
}

void net_rx_quiesce(struct net_pair *p)
{
	struct net_rx *rx = &p->rx;

	if (rx->spilled && p->net->virtio.is_held)
		spill_all(rx);
	else if (rx->spilled)
		drop(p);
	for (; rx->chain_count; rx->chain_count--)
		vq_unpop(net_rx_queue(p));
	rx->first = 0;
	rx->count = 0;
	rx->bytes = 0;
	rx->short_row = 0;
}
