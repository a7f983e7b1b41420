#pragma once

#include <stdint.h>

#include "api/samples.h"
#include "api/snapshot.h"
#include "vmm/base/err.h"
#include "vmm/mem/guest_mem.h"
#include "vmm/state/state.h"

/*
 * The working set of a load: recorded into the file that the request names, or
 * read ahead as that says. What can't be recorded fails the load, for it was
 * asked for; what can't be used is said in the log, and the load goes on
 * without: the file is a hint, and a host that has lost it has lost time.
 * Thread: the loop's.
 */
struct working_run;

/*
 * Of a load by body, from the state with this id; c->working is NULL where body
 * has none. Nothing is begun yet.
 */
int working_set_open(struct controller *c, struct snapshot_load *body,
		     const uint8_t id[STATE_ID_LEN], struct err *e);

/* The memory is mapped, and nobody has touched it. */
int working_set_mapped(struct working_run *w, const struct guest_mem *m,
		       struct err *e);

/* The guest runs: the time of a recording begins. Takes NULL. */
void working_set_resumed(struct working_run *w);

/*
 * Ends a recording and writes its file; from here on the memory is mapped as
 * without. Before anybody saves, marks or resets. Takes NULL; idempotent.
 */
void working_set_end(struct working_run *w);

/* Ends all of it, before the memory goes. Takes NULL. */
void working_set_free(struct working_run *w);

/* Takes NULL: all are 0. */
void working_set_count(const struct working_run *w, struct samples *s);
