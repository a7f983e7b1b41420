/*
 * virtio-net (virtio 1.2, 5.1): the life of the device, its configuration and
 * its features; net_device.h says where the rest is.
 *
 * Queues come in pairs, 2n from the tap and 2n + 1 to it, and pair n has queue
 * n of the tap. Behind the pairs there is the control queue: behind all that
 * are offered with MQ, behind the first pair without (5.1.2). The first pair's
 * tap is always attached, the others' by the driver's commands and until a
 * reset. They only spread the guest's work over its vCPUs: one thread serves
 * them all.
 *
 * The loop thread alone adds and deletes watches, so the taps are watched from
 * the first kick on, and stay so over resets: with nobody to read, the edges
 * end when a tap is full. What it holds then is thrown away when the next
 * driver comes.
 */
#include "devices/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/net_device.h"
#include "devices/virtio/mmio.h"
#include "vmm/base/container.h"
#include "vmm/base/log.h"
#include "vmm/base/spare.h"

enum { DEVICE_ID_NET = 1, STATUS_LINK_UP = 1 };

/* struct virtio_net_config up to the last field we have a value for. */
struct net_layout {
	uint8_t mac[6];
	le16_t status;
	le16_t max_pairs;
	le16_t mtu;
};

static struct net *net_of(struct virtio *v)
{
	return (struct net *)v;
}

/* ---- turns --------------------------------------------------------------- */

/* Each pair in its turn; with the one that the limiter refuses it is over. */
static void serve_pairs(struct net *n, struct turn *turn,
			const struct limiter *l, const uint64_t *served,
			void (*serve)(struct net_pair *p))
{
	const bool was_waiting = limiter_is_waiting(l);
	uint64_t before;
	unsigned i, at;

	for (i = 0; i < n->pair_count; i++) {
		at = turn_at(turn, i, n->pair_count);
		before = *served;
		serve(&n->pairs[at]);
		if (!was_waiting && limiter_is_waiting(l)) {
			turn_ends(turn, at, *served > before, n->pair_count);
			return;
		}
	}
}

static void serve_rx(struct net *n)
{
	serve_pairs(n, &n->rx_turn, &n->rx_limiter, &n->counters.rx_packets,
		    net_rx_turn);
}

static void serve_tx(struct net *n)
{
	serve_pairs(n, &n->tx_turn, &n->tx_limiter, &n->counters.tx_packets,
		    net_tx_turn);
}

static void rx_limiter_ready(struct limiter *l)
{
	struct net *n = container_of(l, struct net, rx_limiter);

	mutex_lock(&n->virtio.device.lock);
	serve_rx(n);
	mutex_unlock(&n->virtio.device.lock);
}

static void tx_limiter_ready(struct limiter *l)
{
	struct net *n = container_of(l, struct net, tx_limiter);

	mutex_lock(&n->virtio.device.lock);
	serve_tx(n);
	mutex_unlock(&n->virtio.device.lock);
}

static void serve_ctrl(struct limiter *l)
{
	struct net *n = container_of(l, struct net, ctrl_limiter);

	mutex_lock(&n->virtio.device.lock);
	net_ctrl_turn(n, net_ctrl_queue(n));
	mutex_unlock(&n->virtio.device.lock);
}

/* What wants the loop thread, and so waits for the first kick. */
static void connect_to_loop(struct net *n)
{
	n->is_connected = true;
	limiter_start(&n->rx_limiter, n->virtio.device.host->loop);
	limiter_start(&n->tx_limiter, n->virtio.device.host->loop);
	limiter_start(&n->ctrl_limiter, n->virtio.device.host->loop);
}

/* Those that were attached elsewhere than here (net_settle()). */
static void watch_taps(struct net *n)
{
	unsigned i;

	for (i = 0; i < n->pair_count; i++)
		if (n->pairs[i].watch.fd < 0 &&
		    (!i || (n->is_settled && net_is_enabled(&n->pairs[i]))))
			net_watch_tap(&n->pairs[i]);
}

/* ---- the device ---------------------------------------------------------- */

static void net_config_read(struct virtio *v, uint64_t offset, void *data,
			    uint32_t len)
{
	const struct net *n = net_of(v);
	struct net_layout layout = {0};

	memcpy(layout.mac, n->guest_mac, sizeof(layout.mac));
	le16_put(&layout.status, STATUS_LINK_UP);
	le16_put(&layout.max_pairs, (uint16_t)n->pair_count);
	le16_put(&layout.mtu, n->mtu);
	virtio_copy_config(&layout, sizeof(layout), offset, data, len);
}

static void net_activate(struct virtio *v)
{
	struct net *n = net_of(v);
	struct net_rx *rx;
	unsigned i;

	n->wanted_offloads = net_tap_offloads(net_guest_offloads(n));
	n->wanted_pairs = 1;
	n->is_settled = false;
	for (i = 0; i < n->pair_count; i++) {
		rx = &n->pairs[i].rx;
		rx->may_have_frames = true;
		rx->is_stale = n->was_up;
	}
	n->was_up = true;
}

static bool net_quiesce(struct virtio *v)
{
	struct net *n = net_of(v);
	unsigned i;

	for (i = 0; i < n->pair_count; i++)
		net_rx_quiesce(&n->pairs[i]);
	return net_ctrl_quiesce(n);
}

/*
 * Offloads stay as they were: what comes while there is no driver is nobody's,
 * and the next one mostly wants the same.
 */
static void net_reset(struct virtio *v)
{
	struct net *n = net_of(v);
	struct net_pair *p;
	unsigned i;

	for (i = 0; i < n->pair_count; i++) {
		p = &n->pairs[i];
		p->tx.is_blocked = false;
		p->tx.paid = 0;
		p->rx.may_have_frames = false;
		p->rx.spilled = 0;
	}
	memcpy(n->guest_mac, n->mac, sizeof(n->mac));
	n->wanted_offloads = n->offloads;
	n->wanted_pairs = 1;
	n->is_settled = false;
}

/*
 * A pair that has to go with its driver, or to come with one that is loaded.
 */
static struct net_pair *pair_amiss(struct net *n)
{
	unsigned i;

	for (i = 1; i < n->pair_count; i++)
		if (n->pairs[i].tap.is_attached != (i < n->wanted_pairs))
			return &n->pairs[i];
	return NULL;
}

/* One ioctl, for which the host's kernel may wait for all its processors. */
static int settle_one(struct net *n, struct net_pair *amiss, uint32_t offloads)
{
	const bool is_missing = amiss && !amiss->tap.is_attached;
	int rc;

	if (amiss) {
		rc = tap_attach(&amiss->tap, is_missing);
		amiss->tap.is_attached = is_missing && !rc;
	} else {
		rc = net_apply_offloads(n, offloads);
	}
	/* Then frames come as they did before; nothing else is lost. */
	if (rc)
		log_warn_limited("network interface %s: the tap %s can't be "
				 "set up for the driver: %s",
				 n->id, n->pairs[0].tap.name, strerror(-rc));
	return rc;
}

/*
 * Has the taps as a driver that came or went wants them. The lock is given up,
 * since it takes long; nobody else looks at the taps before it is done.
 */
static bool net_settle(struct virtio *v) REQUIRES(v->device.lock)
{
	struct net *n = net_of(v);
	struct net_pair *amiss;
	uint32_t offloads;
	unsigned i;
	int rc;

	if (n->is_settled || n->is_tapless)
		return true;
	while ((amiss = pair_amiss(n)) || n->wanted_offloads != n->offloads) {
		if (!limiter_try(&n->ctrl_limiter, 0))
			return false;
		offloads = n->wanted_offloads;
		mutex_unlock(&v->device.lock);
		rc = settle_one(n, amiss, offloads);
		mutex_lock(&v->device.lock);
		if (rc && !amiss)
			n->wanted_offloads = n->offloads;
		else if (rc && amiss->index < n->wanted_pairs)
			n->wanted_pairs = amiss->index;
	}
	for (i = 1; i < n->pair_count; i++)
		n->pairs[i].is_enabled = n->pairs[i].tap.is_attached;
	n->is_settled = true;
	virtio_kick_again(v);
	return true;
}

static void net_kick_all(struct virtio *v) REQUIRES(v->device.lock)
{
	struct net *n = net_of(v);

	if (!n->is_connected)
		connect_to_loop(n);
	watch_taps(n);
	/* Each looks whether its queues are live, and its taps settled. */
	net_ctrl_turn(n, net_ctrl_queue(n));
	serve_rx(n);
	serve_tx(n);
}

static void net_count(struct virtio *v, struct device_counters *c)
{
	const struct net *n = net_of(v);
	const struct net_counters *k = &n->counters;

	c->put(c, "rx_packets", k->rx_packets);
	c->put(c, "rx_bytes", k->rx_bytes);
	c->put(c, "rx_dropped", k->rx_dropped);
	c->put(c, "tx_packets", k->tx_packets);
	c->put(c, "tx_bytes", k->tx_bytes);
	c->put(c, "tx_dropped", k->tx_dropped);
	c->put(c, "tx_malformed", k->tx_malformed);
	c->put(c, "rx_no_buffers", k->rx_no_buffers);
	c->put(c, "tap_read_fails", k->tap_read_fails);
	c->put(c, "tap_write_fails", k->tap_write_fails);
	c->put(c, "rx_throttled", n->rx_limiter.throttled);
	c->put(c, "tx_throttled", n->tx_limiter.throttled);
}

/*
 * Whether there are many queues is for the tap to say; as long as there is
 * none, it is as it was.
 */
static bool net_resize(struct virtio *v, unsigned queues)
{
	struct net *n = net_of(v);
	const unsigned pairs = queues / 2;

	if (!n->is_tapless || !(queues % 2) || !pairs || pairs > n->pair_count)
		return false;
	n->pair_count = pairs;
	if (pairs == 1)
		v->offered &= ~NET_F_MQ;
	return true;
}

static void net_free(struct virtio *v)
{
	struct net *n = net_of(v);
	const struct device_host *host = v->device.host;
	unsigned i;

	n->change.is_hurried = true;
	worker_stop(&n->worker);
	limiter_stop(&n->rx_limiter);
	limiter_stop(&n->tx_limiter);
	limiter_stop(&n->ctrl_limiter);
	for (i = 0; i < n->pair_count; i++) {
		if (host)
			loop_delete(host->loop, &n->pairs[i].watch);
		tap_close(&n->pairs[i].tap);
	}
	free(n->id);
	free(n);
}

static const struct virtio_ops net_ops = {
	.name = "network interface",
	.id = DEVICE_ID_NET,
	.config_read = net_config_read,
	.activate = net_activate,
	.quiesce = net_quiesce,
	.reset = net_reset,
	.settle = net_settle,
	.visit = net_visit,
	.kick_all = net_kick_all,
	.resize = net_resize,
	.count = net_count,
	.free = net_free,
};

static uint64_t features_of(const struct net *n, bool has_mac)
{
	const uint32_t can = n->pairs[0].tap.offloads;
	uint64_t features = NET_F_MRG_RXBUF | NET_F_STATUS | NET_F_CTRL_VQ |
			    NET_F_CTRL_RX | NET_F_CTRL_MAC_ADDR |
			    net_offload_features(can);

	if (can)
		features |= NET_F_CTRL_GUEST_OFFLOADS;
	if (has_mac)
		features |= NET_F_MAC;
	if (n->mtu)
		features |= NET_F_MTU;
	if (n->pair_count > 1)
		features |= NET_F_MQ;
	return features;
}

/* Opens the taps of all pairs; n->pair_count is what is wanted and then is. */
static int open_taps(struct net *n, const struct net_config *config,
		     struct err *e)
{
	struct tap *first = &n->pairs[0].tap;
	const unsigned wanted = n->pair_count;
	int rc;

	if (n->is_tapless) {
		first->offloads = TAP_ALL;
		return 0;
	}
	n->pair_count = 1;
	if (config->tap_fd >= 0)
		return tap_adopt(first, config->tap_fd, config->tap_name, e);
	rc = tap_open(first, config->tap_name, wanted > 1, e);
	while (!rc && first->is_multi && n->pair_count < wanted)
		rc = tap_reserve(&n->pairs[n->pair_count++].tap, first, e);
	return rc;
}

static unsigned pairs_of(const struct net_config *config)
{
	if (config->queue_pairs < 1 || config->tap_fd >= 0)
		return 1;
	return config->queue_pairs < NET_PAIRS_MAX ? config->queue_pairs
						   : NET_PAIRS_MAX;
}

static int check(const struct net_config *config, struct err *e)
{
	if (config->has_mac && config->mac[0] & 1)
		return err_set(e, -EINVAL,
			       "the guest's MAC address is one of a group; "
			       "make its first byte even");
	if (config->mtu && config->mtu < NET_MTU_MIN)
		return err_set(e, -EINVAL,
			       "an MTU of %u is too small; the least is %d",
			       config->mtu, NET_MTU_MIN);
	return 0;
}

int net_new(struct device **out, const struct net_config *config, struct err *e)
{
	const unsigned pairs = pairs_of(config);
	struct net *n;
	unsigned i;
	int rc = check(config, e);

	if (rc)
		return rc;
	n = lazy_calloc(sizeof(*n) + pairs * sizeof(n->pairs[0]));
	if (!n)
		return err_set(e, -ENOMEM, "no memory for a network interface");
	for (i = 0; i < pairs; i++) {
		n->pairs[i].net = n;
		n->pairs[i].index = i;
		n->pairs[i].tap.fd = -1;
		n->pairs[i].watch.fd = -1;
	}
	net_ctrl_init(n);
	n->pairs[0].is_enabled = true;
	n->pair_count = pairs;
	n->is_tapless = !config->tap_name && config->tap_fd < 0;
	n->id = strdup(config->id);
	rc = n->id ? open_taps(n, config, e)
		   : err_set(e, -ENOMEM, "no memory for a network interface");
	if (rc) {
		net_free(&n->virtio);
		return rc;
	}
	n->mtu = config->mtu;
	n->wanted_pairs = 1;
	if (config->has_mac)
		memcpy(n->mac, config->mac, sizeof(n->mac));
	memcpy(n->guest_mac, n->mac, sizeof(n->mac));
	n->rx_limiter.ready = rx_limiter_ready;
	n->tx_limiter.ready = tx_limiter_ready;
	limiter_set(&n->rx_limiter, &config->rx);
	limiter_set(&n->tx_limiter, &config->tx);
	n->ctrl_limiter.ready = serve_ctrl;
	limiter_set(&n->ctrl_limiter, &net_ctrl_limit);
	virtio_init(&n->virtio, &net_ops, &mmio_transport, n->id,
		    features_of(n, config->has_mac), 2 * n->pair_count + 1,
		    VQ_SIZE_MAX);
	/* What the tap may leave undone, it need not. */
	n->virtio.bearable = NET_F_CTRL_GUEST_OFFLOADS | NET_F_GUEST_OFFLOADS;
	*out = &n->virtio.device;
	return 0;
}

int net_set_tap(struct device *d, const char *tap_name, int tap_fd,
		struct err *e)
{
	const struct net_config config = {.tap_name = tap_name,
					  .tap_fd = tap_fd};
	struct net *n = (struct net *)d;
	const unsigned pairs = n->pair_count;
	int rc;

	n->is_tapless = false;
	rc = open_taps(n, &config, e);
	if (!rc && n->pair_count < pairs)
		rc = err_set(e, -EINVAL,
			     "the tap %s has one queue, and the one before had "
			     "more; make it with multi_queue",
			     n->pairs[0].tap.name);
	n->pair_count = pairs;
	if (rc)
		return rc;
	mutex_lock(&d->lock);
	n->offloads = 0;
	n->virtio.offered &= ~net_offload_features(TAP_ALL);
	n->virtio.offered |= net_offload_features(n->pairs[0].tap.offloads);
	mutex_unlock(&d->lock);
	return 0;
}

void net_set_limiters(struct device *d, const struct limiter_config *rx,
		      const struct limiter_config *tx)
{
	struct net *n = (struct net *)d;

	if (rx)
		limiter_set(&n->rx_limiter, rx);
	if (tx)
		limiter_set(&n->tx_limiter, tx);
}
