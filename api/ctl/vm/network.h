#pragma once

#include <stdint.h>

#include "api/ctl/agent/session.h"
#include "vmm/base/err.h"

/*
 * --net nat: a tap with a /30 of its own out of 10.201.0.0/16, forwarding and
 * masquerade. The address of a tap follows from its name, its name from a free
 * /30, so that making one needs no lock: the kernel gives a name once.
 */
struct network {
	char tap[16];
	char mac[18];
	/* The gateway is the host's end, dns its first name server. */
	struct session_network guest;
};

/* An interface of the user's, and what the guest calls itself there. */
struct network_tap {
	char name[16];
	uint8_t ip[4];
	uint8_t gateway[4]; /* 0.0.0.0 for none */
	uint8_t prefix;	    /* 0: no address */
};

/*
 * Makes the tap, owned by us, and its rules. -EPERM with a sentence where we
 * are not root. What a failure left is removed.
 */
int network_make(struct network *n, struct err *e);

/*
 * For a tap of the user's: its name and a MAC address that follows from it, and
 * the guest's address, route and name server where they were said. -ENODEV
 * where there is no such interface.
 */
int network_use(struct network *n, const struct network_tap *tap,
		struct err *e);

/* Removes a tap of network_make() and its rules, whoever made it. */
void network_remove(const char *tap);
