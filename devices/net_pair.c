/* A pair of queues and its queue of the tap: watched, attached, detached. */
#include <errno.h>
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

unsigned net_enabled_pairs(const struct net *n)
{
	unsigned count = 1;

	while (count < n->pair_count && net_is_enabled(&n->pairs[count]))
		count++;
	return count;
}

/* Before their taps are detached: one that is not attached is never silent. */
void net_disable_pairs(struct net *n, unsigned count)
{
	struct loop *loop = n->virtio.device.host->loop;
	unsigned i;

	for (i = count; i < n->pair_count; i++) {
		net_rx_quiesce(&n->pairs[i]);
		n->pairs[i].is_enabled = false;
		loop_delete(loop, &n->pairs[i].watch);
	}
}

/* Each step waits for the host's kernel, at the host's expense. */
int net_attach_pairs(struct net *n, const struct net_change *c)
{
	unsigned count = c->pairs;
	unsigned i;
	int rc = 0;

	for (i = 1; i < count && !rc; i++)
		rc = c->is_hurried ? -ECANCELED
				   : tap_attach(&n->pairs[i].tap, true);
	if (rc)
		count = c->pairs_before;
	for (i = count; i < n->pair_count && !c->is_hurried; i++)
		(void)tap_attach(&n->pairs[i].tap, false);
	return i < n->pair_count ? -ECANCELED : rc;
}

void net_enable_pairs(struct net *n, unsigned count)
{
	unsigned i;

	for (i = 1; i < count; i++) {
		if (net_is_enabled(&n->pairs[i]))
			continue;
		n->pairs[i].is_enabled = true;
		n->pairs[i].tx.is_blocked = false;
		n->pairs[i].rx.may_have_frames = true;
	}
	n->wanted_pairs = count;
}
