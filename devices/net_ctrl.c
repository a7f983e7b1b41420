/*
 * The control queue (virtio 1.2, 5.1.6.5): a class, a command, its data, and a
 * byte for the answer, split as the driver likes. A command we don't have, or
 * whose data make no sense, is answered by ERR; only one without room for an
 * answer, or without a command, faults the queue.
 *
 * Commands reach the host's kernel, where they take the one lock of all its
 * interfaces and wait for grace periods, for milliseconds, or for seconds where
 * somebody else holds that lock. So those that change something of the taps are
 * carried out by a thread of the device's (worker.h). Until it has answered
 * one, no other command is begun, whatever it is; frames go on, but by those
 * pairs that go. So that a guest can't keep its neighbours from that lock, it
 * has 64 commands a second, in which a queue attached or detached counts as one
 * more; what is over that waits in the queue. What a reset and DRIVER_OK ask of
 * the taps is counted among them: there the vCPU waits (net_settle()).
 *
 * A reset waits for the command that is under way as it would for a disk
 * (virtio.c). Of what that still has to do, it is let off all but the ioctl
 * that it is in; net_settle() has the taps then as they have to be.
 *
 * Filters are best effort (5.1.6.5.1): whatever the tap gives goes to the
 * guest, so what to receive is checked and forgotten.
 */
#include <errno.h>
#include <string.h>

#include "devices/net_device.h"
#include "vmm/base/container.h"
#include "vmm/base/log.h"

enum { CLASS_RX = 0, CLASS_MAC = 1, CLASS_MQ = 4, CLASS_OFFLOADS = 5 };
enum { RX_PROMISC = 0, RX_ALLMULTI = 1 };
enum { MAC_TABLE_SET = 0, MAC_ADDR_SET = 1 };
enum { MQ_PAIRS_SET = 0 };
enum { OFFLOADS_SET = 0 };
enum { ACK_OK = 0, ACK_ERR = 1 };

/* What becomes of a command. */
enum outcome { OBEYED, REFUSED, UNDER_WAY };

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

/* ---- what waits for the host ---------------------------------------------
 */

/* Thread: the worker's. */
static int change_taps(struct device *d, struct worker_job *j)
{
	struct net *n = (struct net *)d;
	const struct net_change *c = container_of(j, struct net_change, job);
	int rc = net_attach_pairs(n, c);

	if (!rc && c->is_hurried)
		rc = -ECANCELED;
	return rc ? rc : net_apply_offloads(n, c->offloads);
}

/* What was done takes effect; the answer. */
static enum outcome conclude(struct net *n, int rc)
{
	if (!rc)
		net_enable_pairs(n, n->change.pairs);
	else if (rc != -ECANCELED)
		log_warn_limited("network interface %s: can't set up the tap "
				 "%s, of which the driver wants %u queues: %s",
				 n->id, n->pairs[0].tap.name, n->change.pairs,
				 strerror(-rc));
	return rc ? REFUSED : OBEYED;
}

static void answer(struct net *n, struct vq *vq, enum outcome how)
{
	*n->change.answer_at = how == OBEYED ? ACK_OK : ACK_ERR;
	vq_push(vq, n->change.head, sizeof(uint8_t));
}

/* The driver hears of it from here; watches are the loop thread's. */
static void changed(struct device *d, struct worker_job *j, int rc)
{
	struct net *n = (struct net *)d;
	struct vq *vq = net_ctrl_queue(n);

	(void)j;
	mutex_held(&n->virtio.device.lock);
	answer(n, vq, conclude(n, rc));
	virtio_notify(&n->virtio, vq);
	virtio_kick_again(&n->virtio);
}

static const struct worker_ops tap_ops = {
	.thread = "tap",
	.perform = change_taps,
	.done = changed,
};

void net_ctrl_init(struct net *n)
{
	worker_init(&n->worker, &tap_ops, &n->virtio.device);
}

bool net_ctrl_quiesce(struct net *n)
{
	if (n->virtio.is_resetting || n->virtio.is_stopping) {
		n->change.is_hurried = true;
		worker_cancel(&n->worker);
	}
	return !n->worker.in_flight;
}

/* Pays for each of the queues that come or go, beside the command. */
static void charge(struct net *n, unsigned from, unsigned to)
{
	for (; from < to; from++)
		limiter_charge(&n->ctrl_limiter, 0);
	for (; from > to; from--)
		limiter_charge(&n->ctrl_limiter, 0);
}

static enum outcome change(struct net *n, unsigned pairs, uint32_t offloads)
{
	struct net_change *c = &n->change;
	int rc;

	c->pairs = pairs;
	c->pairs_before = net_enabled_pairs(n);
	c->offloads = offloads;
	c->is_hurried = false;
	if (pairs == c->pairs_before && offloads == n->offloads)
		return OBEYED;
	charge(n, c->pairs_before, pairs);
	net_disable_pairs(n, pairs);
	rc = worker_add(&n->worker, &c->job);
	if (!rc)
		return UNDER_WAY;
	log_warn_limited("network interface %s: no thread to wait for the "
			 "host's interfaces: %s; everything waits for them now",
			 n->id, strerror(-rc));
	rc = change_taps(&n->virtio.device, &c->job);
	virtio_kick_again(&n->virtio);
	return conclude(n, rc);
}

static enum outcome set_pairs(struct net *n, struct iov *data)
{
	unsigned count;
	le16_t pairs;

	if (!virtio_has(&n->virtio, NET_F_MQ) ||
	    !take_all(data, &pairs, sizeof(pairs)))
		return REFUSED;
	count = le16_get(&pairs);
	if (count < 1 || count > n->pair_count)
		return REFUSED;
	return change(n, count, n->offloads);
}

static enum outcome set_offloads(struct net *n, struct iov *data)
{
	uint64_t features;
	le64_t raw;

	if (!virtio_has(&n->virtio, NET_F_CTRL_GUEST_OFFLOADS) ||
	    !take_all(data, &raw, sizeof(raw)))
		return REFUSED;
	features = le64_get(&raw);
	/* 5.1.6.5.6.2: only what was negotiated. */
	if (features & ~net_guest_offloads(n))
		return REFUSED;
	return change(n, net_enabled_pairs(n), net_tap_offloads(features));
}

/* ---- commands -------------------------------------------------------------
 */

static enum outcome perform(struct net *n, const struct command *c,
			    struct iov *data)
{
	bool is_fine = false;

	if (c->class == CLASS_MQ && c->what == MQ_PAIRS_SET)
		return set_pairs(n, data);
	if (c->class == CLASS_OFFLOADS && c->what == OFFLOADS_SET)
		return set_offloads(n, data);
	if (c->class == CLASS_RX)
		is_fine = set_mode(n, c->what, data);
	else if (c->class == CLASS_MAC && c->what == MAC_TABLE_SET)
		is_fine = set_table(n, data);
	else if (c->class == CLASS_MAC && c->what == MAC_ADDR_SET)
		is_fine = set_address(n, data);
	return is_fine ? OBEYED : REFUSED;
}

/* 0, -EINPROGRESS where its answer is left to the worker, or a fault. */
static int serve(struct net *n, struct vq *vq)
{
	struct iov data = n->chain.readable;
	const struct iov room = n->chain.writable;
	struct command command;
	enum outcome how;

	if (iov_take(&data, &command, sizeof(command)) != sizeof(command))
		return vq_fault(vq, "a control command that is cut short");
	if (!room.bytes)
		return vq_fault(vq, "a control command without an answer");
	n->change.head = n->chain.head;
	n->change.answer_at = room.at[0].iov_base;
	how = perform(n, &command, &data);
	if (how == UNDER_WAY)
		return -EINPROGRESS;
	answer(n, vq, how);
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
	if (!vq->live || !net_may_move(n) || n->virtio.is_draining ||
	    n->worker.in_flight)
		return;
	do {
		vq_disable_kicks(vq);
		rc = serve_some(n, vq, &spent);
	} while (rc == 0 && vq_enable_kicks(vq));
	virtio_notify(&n->virtio, vq);
}
