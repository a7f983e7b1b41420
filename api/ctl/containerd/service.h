#pragma once

#include <stdbool.h>

#include "api/ctl/agent/ask.h"
#include "api/ctl/containerd/host.h"
#include "api/ctl/containerd/machine.h"
#include "api/ctl/containerd/packer.h"
#include "api/ctl/containerd/process.h"
#include "api/ctl/containerd/share.h"
#include "api/ctl/ttrpc/client.h"
#include "api/ctl/ttrpc/server.h"
#include "vmm/event/loop.h"

struct service;

/* A container: its own process, and execs beside it. */
struct task {
	struct task *next;	 /* the service's */
	struct service *service; /* borrowed */
	char *id, *bundle;	 /* owned */
	char guest_id[16];	 /* what the guest calls it; "": as usual */
	char pids_of[16];	 /* likewise, of whose processes it has */
	int disk; /* the machine's, with its image; -1 for none */
	struct process init;
	struct process *execs; /* owned */
	struct rootfs rootfs;
	struct packer packer;
	struct ttrpc_call *creating; /* waits for its image, and the machine */
	struct ttrpc_call *deleting; /* waits until the guest has removed it */
	struct ask removal;
	struct question *questions; /* owned: see usage.h */
	struct ask kills; /* for want of memory; kills_seen are told */
	uint64_t kills_seen;
	struct loop_timer kills_due; /* until they are asked for again */
	struct loop_timer deadline;  /* the machine is killed then */
	bool has_begun;		     /* Start was asked for */
	bool is_paused;
};

/*
 * It is paused, and so is its guest: nobody there can be asked, or end. A pod's
 * other containers run on, so there it is paused in its guest.
 */
static inline bool task_is_at_rest(const struct task *t)
{
	return t->is_paused && !t->init.spec.sandbox;
}

/*
 * What a shim is: one loop, who asks for things, and one microVM with the
 * containers of a group in it.
 */
struct service {
	struct loop loop;
	const struct host *host; /* borrowed */
	struct host_config config;
	struct ttrpc_server server;
	struct ttrpc_client events;
	struct machine machine;
	struct shares shares;
	struct task *tasks;	 /* owned; the first is the last in the list */
	unsigned made;		 /* how many containers came after the first */
	bool is_configured;	 /* the guest, by its first container */
	struct loop_timer retry; /* the microVM boots: the guest at rest is of
				  * no use; */
	char why[256];		 /* for that */
	char hostname[72];	 /* the first one's, and of all that say none */
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
