#pragma once

#include "guest/agent/wire.h"

/* The next interface of a CONFIGURE. 0, or -errno with what failed in @what. */
int network_interface(struct reader *r, char what[static 80]);

/* Brings lo up. */
void network_loopback(void);
