#pragma once

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "api/ctl/containerd/host.h"
#include "api/ctl/containerd/netns.h"
#include "api/ctl/containerd/resources.h"
#include "api/ctl/containerd/warming.h"
#include "api/ctl/containerd/wishes.h"
#include "api/ctl/vm/cell.h"
#include "api/ctl/vm/forward.h"
#include "api/ctl/vm/monitor.h"
#include "api/ctl/vm/monitor_log.h"
#include "api/ctl/vm/vm.h"
#include "vmm/event/loop.h"

/*
 * The microVM of a shim: made, started, watched, ended. As any of mayctl's it
 * has a state, an owner, which is the shim, and a cell, so that `mayctl ps`
 * lists it and what a killed shim leaves is found.
 *
 * Each container has a disk with its image. There is no hot plug, so a pod's
 * has slots: disks that are only a place (SESSION_SPARE_BYTES) until an image
 * is written into their file, of which the monitor is told then.
 */
enum { MACHINE_SLOTS = 12, MACHINE_DISKS = 1 + MACHINE_SLOTS };

struct machine_disk {
	char path[PATH_MAX];
	char serial[12];
	struct handed_name name; /* the monitor's */
	int fd; /* owned: of another file, which path then names; or -1 */
	bool is_taken;
};

struct machine {
	struct loop *loop; /* borrowed */
	/* The owner's: its monitor has ended, unasked; why, as it said. */
	void (*lost)(struct machine *m, const char *why);
	const struct host_config *config; /* borrowed */
	const char *id;			  /* borrowed; for the log */
	struct wishes wishes;
	struct warming warming;
	/* It goes on from a guest at rest, of which nobody has heard yet. */
	bool is_warm;
	int kept_tap_fd; /* owned: the tap's, for another monitor; or -1 */
	uint32_t vcpus;
	uint64_t memory_mib;
	struct netns net;
	struct machine_disk disks[MACHINE_DISKS];
	unsigned disk_count;
	struct monitor_files files;
	struct monitor_plan plan;
	struct cell cell;
	struct vm vm;
	char vsock[VM_PATH_MAX];
	struct forward forward; /* what comes to the pod's localhost */
	struct loop_watch monitor, words;
	struct monitor_log log; /* what it complains of */
	pid_t pid;
	int monitor_fd; /* owned */
	int ready_fd;	/* owned; the agent calls there */
	bool is_made;	/* there is something to unmake */
};

/*
 * How many vCPUs and how much memory it is to have: what is wished for, or
 * where its container may use more than that, so much, as far as the host has.
 */
void machine_size(struct machine *m, const struct resources *r);

/*
 * Makes it, for one container or a pod of them, with the network of a namespace
 * (NULL for none); it does not run yet.
 */
int machine_make(struct machine *m, const struct host *h, bool is_pod,
		 const char *netns, struct err *e);

/*
 * Before it is started: its first disk is another file, which is open to be
 * read, and held (fd, owned from here on) for as long as the machine is there.
 */
void machine_lend(struct machine *m, const char *path, int fd);

/*
 * Once there is an image on its first disk. Where it is to be warm, and there
 * is a guest at rest, it goes on from that.
 */
int machine_start(struct machine *m, struct err *e);

/*
 * Of one that is_warm, which ends: it boots instead, with all that it has but
 * another monitor. The guest at rest is removed; why is for the log.
 */
int machine_boot_instead(struct machine *m, const char *why, struct err *e);

/* Its guest works for us; a guest at rest that is lacking is made. */
void machine_settle(struct machine *m);

/*
 * Makes the guest at rest that pods with a network go on from where neither
 * limits nor annotations say otherwise.
 */
int machine_make_warm(const struct host_config *c, struct err *e);

/*
 * A disk for a container's image: its number; or -ENOSPC. Once the image is
 * written, a machine that runs is told by machine_fill().
 */
int machine_take_disk(struct machine *m, struct err *e);
int machine_fill(struct machine *m, unsigned disk, struct err *e);

/* Nothing in the guest uses it any more. */
void machine_give_disk(struct machine *m, unsigned disk);

/* Ends its monitor; lost() tells of it, as of any end. */
void machine_kill(struct machine *m);

/* Ends it and removes all of it. Accepts one that was never made. */
void machine_end(struct machine *m);
