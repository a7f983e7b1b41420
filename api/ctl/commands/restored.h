#pragma once

#include <stdint.h>

#include "api/ctl/commands/run_options.h"
#include "vmm/state/key.h"

/* A microVM out of a snapshot's folder, as `restore` and `clone` make it. */
struct restored_order {
	const struct run_options *options; /* name, ports, net … */
	bool has_net;			   /* --net was there */
	int folder_fd;			   /* of the snapshot */
	const struct state_key *key;	   /* borrowed; len 0 for none */
};

/* Makes one, and prints its name. A status; what failed has been said. */
uint32_t restored_make(const struct restored_order *o);
