#pragma once

#include "api/controller.h"
#include "api/snapshot.h"
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

/* Notes which drives have an overlay by what the snapshot says. */
void snapshot_overlays_note(const struct vm_config *config,
			    bool had[CONFIG_DRIVES_MAX]);

/*
 * Gives drives what the state says of them, before the machine runs; had are
 * those that must be in it.
 */
int snapshot_overlays_load(const struct controller *c, struct state *s,
			   const struct snapshot_load *body,
			   const bool had[CONFIG_DRIVES_MAX], struct err *e);
