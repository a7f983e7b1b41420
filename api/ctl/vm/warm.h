#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/ctl/vm/monitor.h"
#include "vmm/base/err.h"

/*
 * Guests at rest: booted, with the agent up and told nothing, and saved then.
 * `mayctl run` goes on from one of them where there is one for what it wants,
 * and so does containerd's shim.
 *
 * They lie beside their image in the store, for the guest has mounted it and
 * could be what it likes since then; it serves containers of that image alone.
 * One that is bare has seen no image: all its disks are but places. It serves
 * containers of any, and lies where who makes it says.
 *
 *	images/HEX/warm/KEY/state, memory   what the monitor has sent
 *	                    about           what it was made of, in lines
 *
 * KEY is a digest of about: of the files, by what the file system says of them,
 * the host, vCPUs, memory, and what devices there are. So one that does not fit
 * is not found, and whoever makes the next one removes it.
 */
enum { WARM_KEY_SIZE = 65 };

struct warm {
	char folder[PATH_MAX]; /* images/HEX/warm, or a bare one's */
	char key[WARM_KEY_SIZE];
	char *about; /* owned */
	uint64_t memory_bytes;
	bool is_bare;
	int state_fd, memory_fd; /* owned; 0 or -1: not open */
};

/*
 * What a microVM of that plan and image would go on from. The paths of drives
 * and tap do not count, but what there is of them.
 */
int warm_name(struct warm *w, const struct monitor_plan *plan,
	      const char *image_path, const char *digest, struct err *e);

/* The same of a bare one, which is kept in that folder. */
int warm_name_bare(struct warm *w, const struct monitor_plan *plan,
		   const char *folder, struct err *e);

/* Opens it. -ENOENT where there is none; after other errors it is of no use. */
int warm_open(struct warm *w, struct err *e);

/* Removes it, whoever has it open. */
void warm_remove(const struct warm *w);

/*
 * Makes it: boots the guest and saves it. The drives behind the first (of a
 * bare one all) and the tap are none of the plan's. Whoever comes second waits,
 * or with is_waiting false is told -EBUSY. 0 where it is there.
 */
int warm_make(const struct warm *w, const struct monitor_plan *plan,
	      bool has_jail, bool is_waiting, struct err *e);

/*
 * For a process of its own that makes one: it has a session and that name, is
 * of low priority, holds nothing but those descriptors (or -1), and says
 * nothing.
 */
void warm_let_go(const char *name, int fd, int other);

/*
 * Removes those of an image that do not fit any more, and what was begun by who
 * is dead. count and bytes are added to.
 */
struct warm_report {
	unsigned count;
	uint64_t bytes;
};
void warm_sweep(const char *image_path, struct warm_report *report);
void warm_sweep_folder(const char *folder, struct warm_report *report);

/*
 * Removes those of a folder that were used longest ago, until there are no more
 * than most; at 0 the folder, too.
 */
void warm_trim(const char *folder, unsigned most, struct warm_report *report);

/* What those of an image take of the disk. */
uint64_t warm_bytes(const char *image_path);

/* Accepts a zeroed struct. */
void warm_fini(struct warm *w);
