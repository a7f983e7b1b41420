/* Work on frames that the guest and the tap leave to one another. */
#include "devices/net_device.h"

/*
 * What the tap can leave undone and what feature says so, the other direction
 * beside it: Linux takes from us what it would leave to us.
 */
static const struct {
	uint32_t tap;
	uint64_t guest;
	uint64_t host;
} offloads[] = {
	{TAP_CSUM, NET_F_GUEST_CSUM, NET_F_CSUM},
	{TAP_TSO4, NET_F_GUEST_TSO4, NET_F_HOST_TSO4},
	{TAP_TSO6, NET_F_GUEST_TSO6, NET_F_HOST_TSO6},
	{TAP_ECN, NET_F_GUEST_ECN, NET_F_HOST_ECN},
	{TAP_UFO, NET_F_GUEST_UFO, NET_F_HOST_UFO},
	{TAP_USO4, NET_F_GUEST_USO4, NET_F_HOST_USO},
	{TAP_USO6, NET_F_GUEST_USO6, NET_F_HOST_USO},
};

enum { OFFLOADS = sizeof(offloads) / sizeof(offloads[0]) };

uint64_t net_offload_features(uint32_t tap)
{
	uint64_t features = 0;
	unsigned i;

	for (i = 0; i < OFFLOADS; i++)
		if (tap & offloads[i].tap)
			features |= offloads[i].guest | offloads[i].host;
	return features;
}

uint64_t net_guest_offloads(const struct net *n)
{
	return n->virtio.accepted & NET_F_GUEST_OFFLOADS;
}

uint32_t net_tap_offloads(uint64_t features)
{
	uint32_t tap = 0;
	unsigned i;

	/* 5.1.3.1: everything else needs checksums, and ECN segments. */
	if (!(features & NET_F_GUEST_CSUM))
		features = 0;
	if (!(features & (NET_F_GUEST_TSO4 | NET_F_GUEST_TSO6)))
		features &= ~NET_F_GUEST_ECN;
	/* Linux has the two of UDP together only. */
	if (!(features & NET_F_GUEST_USO4) || !(features & NET_F_GUEST_USO6))
		features &= ~(NET_F_GUEST_USO4 | NET_F_GUEST_USO6);
	for (i = 0; i < OFFLOADS; i++)
		if (features & offloads[i].guest)
			tap |= offloads[i].tap;
	return tap;
}

int net_apply_offloads(struct net *n, uint32_t wanted)
{
	int rc;

	if (wanted == n->offloads)
		return 0;
	rc = tap_set_offloads(&n->pairs[0].tap, wanted);
	if (!rc)
		n->offloads = wanted;
	return rc;
}
