#pragma once

#include <stdbool.h>

#include "api/ctl/agent/ask.h"
#include "api/ctl/containerd/host.h"
#include "api/ctl/containerd/machine.h"
#include "api/ctl/containerd/process.h"
#include "api/ctl/ttrpc/client.h"
#include "api/ctl/ttrpc/server.h"
#include "vmm/event/loop.h"

/* A container: its own process, and execs beside it. */
struct task {
	char *id, *bundle; /* owned */
	struct process init;
	struct process *execs; /* owned */
	struct rootfs rootfs;
	struct ttrpc_call *creating; /* waits for the machine */
	struct question *questions;  /* owned: see usage.h */
	struct ask kills; /* for want of memory; kills_seen are told */
	uint64_t kills_seen;
	bool is_paused;
};

/* What a shim is: one loop, one microVM, and who asks for things. */
struct service {
	struct loop loop;
	const struct host *host; /* borrowed */
	struct host_config config;
	struct ttrpc_server server;
	struct ttrpc_client events;
	struct machine machine;
	struct task *task; /* owned; NULL for none */
	struct loop_watch signals;
	int signal_fd; /* owned */
	bool is_over;  /* Shutdown: when events are delivered */
	struct loop_timer last;
};

/*
 * Serves at listen_fd until Shutdown. Then all is unmade, the socket's name
 * first: whoever comes after that finds no shim, or a new one.
 */
int service_run(const struct host *h, int listen_fd, struct err *e);
