/*
 * The control queue (virtio 1.2, 5.1.6.5): a class, a command, its data, and a
 * byte for the answer, split as the driver likes. A command we don't have, or
 * whose data make no sense, is answered by ERR; only one without room for an
 * answer, or without a command, faults the queue.
 *
 * Commands reach the host's kernel, where they take the one lock of all its
 * interfaces and wait for grace periods. So that a guest can't keep its
 * neighbours from theirs, it has 64 a second, in which a queue attached or
 * detached counts as one more; what is over that waits in the queue. What a
 * reset and DRIVER_OK ask of the taps is counted among them: there the vCPU
 * waits (net_settle()).
 *
 * Filters are best effort (5.1.6.5.1): whatever the tap gives goes to the
 * guest, so what to receive is checked and forgotten.
 */
#include <errno.h>
#include <string.h>

#include "devices/net_device.h"
#include "vmm/base/log.h"

enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_MQ = 4, CLASS_OFFLOADS = 5 };
enum { RX_PROMISC = 0, RX_ALLMULTI = 1 };
enum { MAC_TABLE_SET = 0, MAC_ADDR_SET = 1 };
enum { MQ_PAIRS_SET = 0 };
enum { OFFLOADS_SET = 0 };
enum { ACK_OK = 0, ACK_ERR = 1 };

enum { TURN = 8, COMMANDS_MAX = 64, PERIOD_MS = 1000 };

const struct limiter_config net_ctrl_limit = {
	.ops = {.size = COMMANDS_MAX, .refill_ms = PERIOD_MS, .is_given = true},
};

struct command {
	uint8_t class;
	uint8_t what;
};

/* Reads data that must be there and be all there is. */
static bool take_all(struct iov *data, void *buf, size_t len)
{
	return data->bytes == len && iov_take(data, buf, len) == len;
}

static bool set_mode(const struct net *n, uint8_t what, struct iov *data)
{
	uint8_t on;

	return virtio_has(&n->virtio, NET_F_CTRL_RX) && what <= RX_ALLMULTI &&
	       take_all(data, &on, sizeof(on)) && on <= 1;
}

/* Two tables, each a count and so many addresses. */
static bool set_table(const struct net *n, struct iov *data)
{
	le32_t count;
	unsigned i;

	if (!virtio_has(&n->virtio, NET_F_CTRL_RX))
		return false;
	for (i = 0; i < 2; i++) {
		if (iov_take(data, &count, sizeof(count)) != sizeof(count) ||
		    le32_get(&count) > data->bytes / sizeof(n->mac))
			return false;
		iov_drop_front(data, le32_get(&count) * sizeof(n->mac));
	}
	return data->bytes == 0;
}

static bool set_address(struct net *n, struct iov *data)
{
	static const uint8_t none[6];
	uint8_t mac[6];

	/* An interface of its own has neither a group's address nor zero. */
	if (!virtio_has(&n->virtio, NET_F_CTRL_MAC_ADDR) ||
	    !take_all(data, mac, sizeof(mac)) || mac[0] & 1 ||
	    !memcmp(mac, none, sizeof(mac)))
		return false;
	memcpy(n->guest_mac, mac, sizeof(mac));
	mutex_held(&n->virtio.device.lock);
	virtio_publish_config(&n->virtio);
	return true;
}

static bool set_pairs(struct net *n, struct iov *data)
{
	unsigned count;
	le16_t pairs;
	int rc;

	if (!virtio_has(&n->virtio, NET_F_MQ) ||
	    !take_all(data, &pairs, sizeof(pairs)))
		return false;
	count = le16_get(&pairs);
	if (count < 1 || count > n->pair_count)
		return false;
	rc = net_enable_pairs(n, count);
	if (rc)
		log_warn_limited("network interface %s: can't use %u queues of "
				 "the tap %s: %s",
				 n->id, count, n->pairs[0].tap.name,
				 strerror(-rc));
	return rc == 0;
}

static bool set_offloads(struct net *n, struct iov *data)
{
	uint64_t features;
	le64_t raw;

	if (!virtio_has(&n->virtio, NET_F_CTRL_GUEST_OFFLOADS) ||
	    !take_all(data, &raw, sizeof(raw)))
		return false;
	features = le64_get(&raw);
	/* 5.1.6.5.6.2: only what was negotiated. */
	if (features & ~net_guest_offloads(n))
		return false;
	return net_apply_offloads(n, net_tap_offloads(features)) == 0;
}

static bool perform(struct net *n, const struct command *c, struct iov *data)
{
	if (c->class == CLASS_RX)
		return set_mode(n, c->what, data);
	if (c->class == CLASS_MAC && c->what == MAC_TABLE_SET)
		return set_table(n, data);
	if (c->class == CLASS_MAC && c->what == MAC_ADDR_SET)
		return set_address(n, data);
	if (c->class == CLASS_MQ && c->what == MQ_PAIRS_SET)
		return set_pairs(n, data);
	if (c->class == CLASS_OFFLOADS && c->what == OFFLOADS_SET)
		return set_offloads(n, data);
	return false;
}

static int serve(struct net *n, struct vq *vq)
{
	struct iov data = n->chain.readable;
	const struct iov answer = n->chain.writable;
	struct command command;
	uint8_t ack;

	if (iov_take(&data, &command, sizeof(command)) != sizeof(command))
		return vq_fault(vq, "a control command that is cut short");
	if (!answer.bytes)
		return vq_fault(vq, "a control command without an answer");
	ack = perform(n, &command, &data) ? ACK_OK : ACK_ERR;
	iov_write(&answer, 0, &ack, sizeof(ack));
	vq_push(vq, n->chain.head, sizeof(ack));
	return 0;
}

/* Serves what is offered. 0: there was no more. */
static int serve_some(struct net *n, struct vq *vq, unsigned *spent)
{
	int rc;

	/* A round counts too: the driver may take offers back. */
	while ((*spent)++ < TURN) {
		if (!vq_has_work(vq))
			return 0;
		if (!limiter_may(&n->ctrl_limiter))
			return -EAGAIN;
		limiter_charge(&n->ctrl_limiter, 0);
		rc = vq_pop(vq, &n->chain);
		if (rc > 0)
			rc = serve(n, vq);
		if (rc)
			return rc;
	}
	virtio_kick_again(&n->virtio);
	return -EAGAIN;
}

void net_ctrl_turn(struct net *n, struct vq *vq)
{
	unsigned spent = 0;
	int rc;

	mutex_held(&n->virtio.device.lock);
	if (!vq->live || !net_may_move(n))
		return;
	do {
		vq_disable_kicks(vq);
		rc = serve_some(n, vq, &spent);
	} while (rc == 0 && vq_enable_kicks(vq));
	virtio_notify(&n->virtio, vq);
}
