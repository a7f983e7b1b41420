#pragma once

#include "guest/agent/wire.h"

/* The next interface of a CONFIGURE. 0, or -errno with what failed in @what. */
int network_interface(struct reader *r, char what[static 80]);

/*
 * The next interface of a RENEW: it goes down, and comes up with what it is
 * given and nothing else. Whoever is on its link is told of its addresses.
 */
int network_renew(struct reader *r, char what[static 80]);

/* What docker's containers may in the network they have: ports below 1024, and
 * ping, for every user. */
void network_permit(void);

/* Brings lo up. */
void network_loopback(void);
