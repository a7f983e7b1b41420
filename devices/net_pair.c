/* A pair of queues and its queue of the tap: watched, attached, detached. */
#include <sys/epoll.h>

#include "devices/net_device.h"
#include "vmm/base/container.h"
#include "vmm/base/log.h"

static void tap_ready(struct loop_watch *w, uint32_t events)
{
	struct net_pair *p = container_of(w, struct net_pair, watch);
	struct virtio *v = &p->net->virtio;
	struct loop *loop = v->device.host->loop;

	mutex_lock(&v->device.lock);
	if (p->watches_out && events & ~(uint32_t)EPOLLIN) {
		loop_change(loop, w, EPOLLIN | EPOLLET);
		p->watches_out = false;
		p->tx.is_blocked = false;
		net_tx_turn(p);
	}
	if (events & ~(uint32_t)EPOLLOUT) {
		p->rx.may_have_frames = true;
		net_rx_turn(p);
	}
	mutex_unlock(&v->device.lock);
}

void net_watch_tap(struct net_pair *p)
{
	struct net *n = p->net;
	struct err e;

	p->watch.ready = tap_ready;
	if (p->watch.fd < 0 && loop_add(n->virtio.device.host->loop, &p->watch,
					p->tap.fd, EPOLLIN | EPOLLET, &e))
		log_warn_limited("network interface %s: %s; nothing will come "
				 "from it",
				 n->id, e.text);
	p->watches_out = false;
}

/* Both wait for a grace period of the host's kernel, at the host's expense. */
static int enable(struct net_pair *p)
{
	int rc = tap_attach(&p->tap, true);

	limiter_charge(&p->net->ctrl_limiter, 0);
	if (rc)
		return rc;
	net_watch_tap(p);
	p->tx.is_blocked = false;
	p->rx.may_have_frames = true;
	return 0;
}

static void disable(struct net_pair *p)
{
	if (!net_is_enabled(p))
		return;
	limiter_charge(&p->net->ctrl_limiter, 0);
	net_rx_quiesce(p);
	/* One that is not attached is never silent. */
	loop_delete(p->net->virtio.device.host->loop, &p->watch);
	(void)tap_attach(&p->tap, false);
}

int net_enable_pairs(struct net *n, unsigned count)
{
	unsigned before = 1;
	unsigned i;
	int rc = 0;

	while (before < n->pair_count && net_is_enabled(&n->pairs[before]))
		before++;
	for (i = before; i < count && !rc; i++)
		rc = enable(&n->pairs[i]);
	if (rc)
		count = before;
	for (i = count; i < n->pair_count; i++)
		disable(&n->pairs[i]);
	n->wanted_pairs = count;
	/* Their queues are filled already. */
	virtio_kick_again(&n->virtio);
	return rc;
}
