#pragma once

#include <stdint.h>

#include "api/ctl/agent/dial.h"
#include "vmm/base/err.h"
#include "vmm/event/loop.h"

/*
 * -p: a listener of the host's TCP whose connections go on to a port in the
 * guest, through the agent. Bounded: at most FORWARD_MAX connections at a time,
 * FORWARD_BUFFER bytes each way. The agent has room for more, which is left to
 * exec, cp, kill and stop.
 */
enum { FORWARD_MAX = DIAL_MAX, FORWARD_BUFFER = 64 << 10 };

/* What is published: a port of the host, and the one it leads to. */
struct forward_rule {
	char address[48]; /* "127.0.0.1", "::1"; "": all, of both families */
	uint16_t host;	  /* 0: any that is free */
	uint16_t guest;	  /* 0: the one that was dialled */
};

struct forward {
	struct loop *loop;	    /* borrowed */
	const char *socket;	    /* borrowed; the guest's ports */
	struct forward_port *ports; /* owned */
	unsigned port_count;
	struct forward_pair *pairs; /* owned, linked */
	unsigned pair_count;
};

/*
 * Listens at a port of the host; where port->host is 0 it becomes the one that
 * was free, where port->address is "" it becomes what was found to be all.
 * Returns a descriptor, or a negative errno with a sentence.
 */
int forward_listen(struct forward_rule *port, struct err *e);

/* Serves count listeners; the descriptors become the forward's. */
int forward_start(struct forward *f, struct loop *loop, const char *socket,
		  const struct forward_rule *ports, int *fds, unsigned count,
		  struct err *e);

/* Ends all connections. Accepts a zeroed struct. */
void forward_stop(struct forward *f);
