#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"

enum { PART_ID_LEN = 16 };

/*
 * A file that is being written, beside the name it is to have and in the same
 * folder: NAME.mayfly-ID. It is locked for as long as its writer lives, so what
 * a killed one has left is told from what is under way.
 */
struct part {
	int folder; /* owned */
	int fd;	    /* owned; open for reading and writing */
	uint8_t id[PART_ID_LEN];
	char name[NAME_MAX + 1];
	char temporary[NAME_MAX + 1]; /* "": there is none of ours */
};

/*
 * Makes the file, with a random id and for us alone (0600). Where path leads to
 * something else than a file, or to where none can be made, a sentence. What
 * killed writers have left goes, save for the one with the id keep (which may
 * be NULL): that is given its name. On failure *p needs no part_fini().
 */
int part_make(struct part *p, const char *path, const uint8_t *keep,
	      struct err *e);

/* The same, with an id that was made for another of its kind. */
int part_make_as(struct part *p, const char *path, const uint8_t *keep,
		 const uint8_t *id, struct err *e);

/* Whether both are to have the same name in the same folder. */
bool part_is_same(const struct part *a, const struct part *b);

/* Waits until its bytes are on the disk. */
int part_sync(struct part *p, struct err *e);

/* Gives it its name, and so replaces what had it. */
int part_rename(struct part *p, struct err *e);

/* Waits until names of the folder are on the disk. */
int part_sync_names(struct part *p, struct err *e);

/* Leaves the file under the name it has, whatever comes. */
void part_keep(struct part *p);

/* Closes it; removes it if it has no name yet. Accepts a zeroed struct. */
void part_fini(struct part *p);

/*
 * The name of what is to become path, with that id, into out of PATH_MAX bytes.
 * -ENAMETOOLONG where there can be none.
 */
int part_path(const char *path, const uint8_t id[PART_ID_LEN], char *out);
