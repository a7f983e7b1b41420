#pragma once

#include "api/ctl/bench/parts.h"
#include "api/ctl/bench/rounds.h"
#include "api/ctl/bench/spawn.h"

/* A program whose whole life is measured, from exec to its end with 0. */
struct program {
	const char *argv[SPAWN_WORDS_MAX];
	const char *says; /* what it must print; NULL: nobody looks */
};

/* The lane of it. Both are borrowed. */
void program_lane(struct lane *lane, const char *name, const struct program *p);

/* Its command for the record, as far as there is room. */
void program_words(const char *const *argv, char *out, size_t size);

struct program_peer {
	enum peer who;
	struct program program;
};

/*
 * Lanes of those among all that are here; how many. programs holds copies, as
 * many as lanes, that live as long as these do.
 */
unsigned program_peers(struct lane *lanes, struct program *programs,
		       const struct parts *p, const struct program_peer *all,
		       unsigned count);
