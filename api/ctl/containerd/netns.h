#pragma once

#include "api/ctl/agent/session.h"
#include "api/ctl/containerd/loopback.h"
#include "vmm/base/err.h"

enum { NETNS_ADDRESSES = 8 };

/*
 * The network of a pod, as somebody (CNI) has made it: a namespace with an
 * interface in it. What comes to that is led to a tap, and what comes from the
 * tap to that, so that the guest is what the interface was: it has its hardware
 * address, its addresses, its gateways and its MTU, and whoever talks to the
 * pod sees no difference.
 */
struct netns {
	char name[16]; /* the interface's; "": there is none but lo */
	char mac[18];
	char words[NETNS_ADDRESSES + 2][52];
	const char *addresses[NETNS_ADDRESSES + 1];
	struct session_network guest;
	int tap_fd; /* owned; -1 where there is none */
	struct loopback loopback;
};

/*
 * Finds the interface of the namespace at path and makes the tap, which lives
 * as long as its descriptor. Asks ip and makes rules by tc, and waits for them.
 * Where its localhost can't be had a line says so, and all else is there.
 */
int netns_open(struct netns *n, const char *path, struct err *e);

/* Accepts one whose descriptors are -1. */
void netns_close(struct netns *n);
