#pragma once

#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * How many the agent serves at a time (PROTO_FORWARDS): fewer than it has
 * sessions, so that clients of a port can't lock out who controls it.
 */
enum { DIAL_MAX = 96 };

/*
 * A connection to a TCP port in the guest, made without ever waiting: for -p.
 */
struct dial {
	uint8_t said[256]; /* by the monitor and the agent, until it is open */
	size_t len;
};

/*
 * Begins it. Returns its descriptor, whose reads are to be non-blocking. Call
 * dial_go_on() whenever it is readable.
 */
int dial_begin(struct dial *d, const char *socket, uint16_t port,
	       struct err *e);

/* 0: from now on, bytes are bytes. -EAGAIN: not yet. Else it came to nothing.
 */
int dial_go_on(struct dial *d, int fd);
