#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/state/part.h"
#include "vmm/state/state.h"

/*
 * Files of saved states: what is written is whole or not there, whenever the
 * writer is killed, and with want_sync whenever the host loses its power.
 * docs/snapshot.md has the reasons. Thread: one that may wait for a disk.
 */

/* Writes a file, or replaces it. */
int state_file_write(const char *path, const void *bytes, size_t len,
		     bool want_sync, struct err *e);

/*
 * Reads the whole of a state file, STATE_BYTES_MAX at most, or of one that has
 * memory behind it the state; *out is to be freed. A descriptor that was passed
 * (passed.h) is one, too. Unless it is NULL *fd becomes the open file, to be
 * closed.
 */
int state_file_read(const char *path, uint8_t **out, size_t *len, int *fd,
		    struct err *e);

/*
 * The same for a state that has its memory behind it, which was written to
 * p->fd: puts the state before it, and gives the file its name.
 */
int state_file_commit(struct part *p, const void *state, size_t len,
		      bool want_sync, struct err *e);

/*
 * A state and its memory, of which a reader sees both as they were before or
 * both as they are after. Write the memory to mem.fd, put mem.id into the state
 * (state_id()), then commit.
 */
struct state_pair {
	struct part state;
	struct part mem;
};

/*
 * Nothing is there under these names yet, or an older pair, which stays whole
 * until the commit. On failure *p needs no state_pair_fini().
 */
int state_pair_begin(struct state_pair *p, const char *state_path,
		     const char *mem_path, struct err *e);

/*
 * Where it fails the older pair is there, or the new one, as
 * state_pair_memory() finds it; never one file of each.
 */
int state_pair_commit(struct state_pair *p, const void *state, size_t len,
		      bool want_sync, struct err *e);

/* Removes what was not committed. Accepts a zeroed struct. */
void state_pair_fini(struct state_pair *p);

/*
 * Opens the memory at mem_path that belongs to the state with this id: where a
 * save was killed before its last step, under the name that it has since.
 * flags are open()'s. Returns the descriptor or a negative errno.
 */
int state_pair_memory(const char *mem_path, const uint8_t id[STATE_ID_LEN],
		      int flags, struct err *e);

/*
 * Another file that belongs to a state, with the state's id: made beside its
 * name, synced before the commit of the state at state_path and named after it.
 * From the attempt to commit on, keep it (part_keep()): the state may ask for
 * it, and the next save sweeps. what is its name in sentences.
 */
int state_beside_begin(struct part *p, const char *path, const char *state_path,
		       const uint8_t id[STATE_ID_LEN], struct err *e);
int state_beside_sync(struct part *p, struct err *e);
int state_beside_commit(struct part *p, const char *what, bool want_sync,
			struct err *e);

/* Opens one, as state_pair_memory(). */
int state_beside_open(const char *path, const uint8_t id[STATE_ID_LEN],
		      int flags, const char *what, struct err *e);
