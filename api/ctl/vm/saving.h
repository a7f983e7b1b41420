#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/ctl/vm/folder.h"
#include "vmm/base/err.h"
#include "vmm/state/key.h"

/*
 * Saving a microVM of `mayctl run`: a folder of its state, its memory, its
 * disks and what mayctl knows of it (manifest.h). All programs in the guest
 * stand still from before it is saved, so that a copy can be made another
 * machine before one of them goes on; the original goes on when state and disks
 * are saved, whatever becomes of us.
 */
struct saving_how {
	bool is_ended;	  /* the original does not go on */
	bool is_unsynced; /* a loss of power may undo it */
	bool is_part;	  /* the folder is not committed */
	/*
	 * Memory is copied while its programs run (PUT /snapshot/fork), and
	 * they stand still for what they wrote meanwhile.
	 */
	bool is_fork;
	const struct state_key *key; /* borrowed; len 0: no tag is written */
};

/*
 * Saves the microVM of that name into f, which the caller has begun, and
 * commits it. Returns 0 or a negative errno.
 */
int saving_make(const char *name, const struct saving_how *how,
		struct folder *f, struct err *e);

/*
 * Copies what a monitor has sent of a fork into a new file of a folder, where
 * it is what it should be. Returns the copy, or a negative errno.
 */
int saving_take_sent(int from, int dir, const char *name, uint64_t least,
		     uint64_t most, struct err *e);
