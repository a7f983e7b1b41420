#pragma once

#include "api/controller.h"
#include "api/snapshot.h"
#include "devices/block_overlay.h"
#include "vmm/base/err.h"
#include "vmm/state/part.h"
#include "vmm/state/state.h"

/*
 * Overlays of drives, in snapshots and resets. A state has the section
 * "overlays" where drives have any, of maps; what the clusters hold is in a
 * file that belongs to the state. Thread: the loop's; nothing is in flight.
 */

/* Marks them all, or takes them all back to their mark. */
void snapshot_overlays_mark(const struct controller *c);
void snapshot_overlays_reset(const struct controller *c);

/*
 * Makes the file, by the id of the state that is to have it, where there are
 * overlays; else *p is zeroed, and nothing follows. others are the snapshot's
 * other files, NULL at the end.
 */
int snapshot_overlays_begin(const struct controller *c, struct part *p,
			    const struct snapshot_create *body,
			    const struct part *const *others, struct err *e);

/* Writes the file, and the section. */
int snapshot_overlays_save(const struct controller *c, struct state *s,
			   const struct part *p, struct err *e);

/* Before and after the state is committed; rc is how the commit went. */
int snapshot_overlays_sync(struct part *p, bool want_sync, struct err *e);
int snapshot_overlays_commit(struct part *p, bool want_sync, int rc,
			     struct err *e);

/*
 * For a fork: what all of them hold goes to a file in memory, *fd, which is -1
 * where there are none, in steps of about for_ns; 1 where the rest can be
 * copied in a moment (devices/block_overlay.h). snapshot_overlays_fork_save()
 * does that while nothing is in flight, and snapshot_overlays_fork_end() is for
 * whoever has begun.
 */
int snapshot_overlays_fork_begin(const struct controller *c, int *fd,
				 struct err *e);
int snapshot_overlays_fork_step(const struct controller *c, uint64_t for_ns,
				struct overlay_fork_look *look, struct err *e);
void snapshot_overlays_fork_again(const struct controller *c);
int snapshot_overlays_fork_save(const struct controller *c, struct state *s,
				int fd, struct err *e);
void snapshot_overlays_fork_end(const struct controller *c);

/* Of a state that is loaded. */
struct saved_overlays {
	bool had[CONFIG_DRIVES_MAX]; /* drives that must be in it */
	int fd;			     /* owned; -1 where there are none */
};

/*
 * Opens the file, before anything is overridden of what the state says, and
 * while descriptors that were passed may still be asked what they are.
 */
int snapshot_overlays_open(const struct controller *c, struct state *s,
			   const struct snapshot_load *body,
			   struct saved_overlays *o, struct err *e);

/* Gives drives what the state says of them, before the machine runs. */
int snapshot_overlays_load(const struct controller *c, struct state *s,
			   struct saved_overlays *from, struct err *e);
