/*
 * virtio-net as saved state. The tap, the MAC and the MTU are configuration;
 * what the driver has said of them by its control queue is not. Frames are on
 * their way, not state: a tap of another machine has others.
 *
 * What the taps are to do is only noted here, since it takes long; net_settle()
 * brings it about. Its budget is the host's protection from the guest, and is
 * not saved: a guest that is loaded again and again has no more of it.
 */
#include <string.h>

#include "devices/limiter_state.h"
#include "devices/net_device.h"

/*
 * An address that the driver has set is saved. One that it has not is the
 * configuration's, which may have another for a clone.
 */
static void visit_address(struct net *n, struct visitor *w)
{
	static const uint8_t none[6];
	bool is_set = memcmp(n->guest_mac, n->mac, sizeof(n->mac)) != 0;
	uint8_t mac[6];

	memcpy(mac, n->guest_mac, sizeof(mac));
	visit_bool(w, &is_set);
	if (!is_set)
		return;
	visit_bytes(w, mac, sizeof(mac));
	if (visit_check(w, !(mac[0] & 1) && memcmp(mac, none, sizeof(mac)) != 0,
			"the address that the driver set is one of a group, or "
			"zero"))
		memcpy(n->guest_mac, mac, sizeof(mac));
}

/* 5.1.6.5.5, 5.1.6.5.6: no more than what was agreed on. */
static void visit_taps(struct net *n, struct visitor *w)
{
	uint32_t offloads = n->is_settled ? n->offloads : n->wanted_offloads;
	const uint32_t agreed = net_tap_offloads(net_guest_offloads(n));
	uint32_t pairs = n->wanted_pairs;

	visit_u32(w, &pairs);
	visit_u32(w, &offloads);
	visit_check(w, pairs && pairs <= n->pair_count,
		    "%u pairs of queues are on, and there are %u", pairs,
		    n->pair_count);
	visit_check(w, pairs == 1 || virtio_has(&n->virtio, NET_F_MQ),
		    "%u pairs of queues are on without MQ", pairs);
	visit_check(w, !(offloads & ~agreed),
		    "the tap gives %#x, of which %#x was not agreed on",
		    offloads, offloads & ~agreed);
	if (!w->is_loading || w->rc)
		return;
	n->wanted_pairs = pairs;
	n->wanted_offloads = offloads & n->pairs[0].tap.offloads;
}

void net_visit(struct virtio *v, struct visitor *w)
{
	struct net *n = (struct net *)v;

	visit_address(n, w);
	limiter_visit(w, &n->rx_limiter);
	limiter_visit(w, &n->tx_limiter);
	if (!w->rc && virtio_is_up(v))
		visit_taps(n, w);
}
