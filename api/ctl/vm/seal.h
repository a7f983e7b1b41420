#pragma once

#include <stdbool.h>

#include "vmm/base/err.h"
#include "vmm/state/key.h"

/*
 * A tag of a snapshot's folder: HMAC-SHA256 of machine.json and of the state,
 * by a key that whoever saves shares with whoever restores. It is mayctl that
 * has the key: a monitor that a guest has taken over could do with it whatever
 * it likes.
 */
#define SEAL_FILE "tag"

/* What a microVM is made of, as it was checked. */
struct sealed {
	int manifest_fd; /* owned, as state_fd; 0 for none */
	int state_fd;
};

/*
 * The key in the file that an option names, or, where that is NULL, in the one
 * that MAYFLY_SNAPSHOT_KEY does. Without either there is none.
 */
int seal_key(const char *named, struct state_key *key, struct err *e);

/* Writes the tag of a folder in which all else is written. */
int seal_write(int dir, const struct state_key *key, bool is_synced,
	       struct err *e);

/*
 * Opens both files. With a key they are copies, which nobody can change any
 * more, and the folder's tag is theirs. A tag without a key is refused, and so
 * is a key without a tag: -EKEYREJECTED.
 */
int seal_open(int dir, const struct state_key *key, struct sealed *s,
	      struct err *e);

/* Accepts a zeroed struct. */
void seal_close(struct sealed *s);
