#pragma once

#include <stdint.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/commands/run_disks.h"
#include "api/ctl/commands/run_options.h"
#include "api/ctl/image/image.h"
#include "api/ctl/vm/cell.h"
#include "api/ctl/vm/monitor.h"
#include "api/ctl/vm/network.h"
#include "api/ctl/vm/shim.h"
#include "api/ctl/vm/vm.h"

/* One `mayctl run`: what was asked for, and what is made of it. */
struct run {
	struct run_options options;
	struct image image;
	struct monitor_files files;
	struct vm vm;
	unsigned made; /* steps that were taken, and are not the shim's yet */
	char *id;      /* owned: the microVM's, while the shim has it */
	struct cell cell;
	struct run_disks disks;
	char hostname[VM_NAME_MAX + 1]; /* of the name */
	struct network network;
	struct monitor_plan monitor;
	struct session_plan session;
	struct shim_plan shim;
	const char **argv; /* owned */
	const char **env;  /* owned, and its strings are not */
	int control;	   /* owned */
	uint64_t begin_ns, image_ns;
};

/*
 * What is to run in the container, out of the options and the image: argv, env,
 * session. Returns 0 or a negative errno with a sentence.
 */
int run_make_session(struct run *r, struct err *e);

/* The word for what `stop` is to send. */
const char *run_stop_signal(const struct run *r);
