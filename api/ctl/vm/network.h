#pragma once

#include <stdint.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/vm/resolver.h"
#include "vmm/base/err.h"

enum { NETWORK_SERVERS_MAX = 32 };

/*
 * --net nat: a tap with a /30 of its own out of 10.201.0.0/16, forwarding and
 * masquerade. The address of a tap follows from its name, its name from a free
 * /30, so that making one needs no lock: the kernel gives a name once. Names
 * come back, so the id of the microVM says whose a tap is (its alias) and whose
 * the rules.
 */
struct network {
	char tap[16];
	char mac[18];
	/* The gateway is the host's end, dns its first name server. */
	struct session_network guest;
	struct resolver resolver; /* of the host; owned */
	/* Whom the guest asks for names, of IPv4, the host itself included. */
	uint8_t servers[NETWORK_SERVERS_MAX][4];
	unsigned server_count;
};

/* Keeps a name before anything has it, as a state does. 0 or an error. */
struct network_claim {
	int (*keep)(void *context, const char *tap, struct err *e);
	void *context;
};

/* An interface of the user's, and what the guest calls itself there. */
struct network_tap {
	char name[16];
	uint8_t ip[4];
	uint8_t gateway[4]; /* 0.0.0.0 for none */
	uint8_t prefix;	    /* 0: no address */
};

/*
 * Makes the tap, owned by us, and its rules, for the microVM of that id, whose
 * name servers are those of dns (ends with NULL), or the host's where it is
 * NULL. -EPERM with a sentence where we are not root. What a failure leaves
 * network_remove() removes by the name that the claim was told.
 */
int network_make(struct network *n, const char *id, const char *const *dns,
		 const struct network_claim *claim, struct err *e);

/*
 * For a tap of the user's: its name and a MAC address that follows from it, and
 * the guest's address, route and name server where they were said. -ENODEV
 * where there is no such interface.
 */
int network_use(struct network *n, const struct network_tap *tap,
		struct err *e);

/*
 * Removes a tap of network_make() and its rules, whoever made it; what has the
 * name and another id is left alone.
 */
void network_remove(const char *tap, const char *id);

/* Accepts a zeroed struct. */
void network_fini(struct network *n);
