#pragma once

#include "api/ctl/bench/rounds.h"
#include "api/ctl/bench/spawn.h"

/* A program whose whole life is measured, from exec to its end with 0. */
struct program {
	const char *argv[SPAWN_WORDS_MAX];
	const char *says; /* what its stdout must have; NULL: nobody looks */
};

/* The lane of it. Both are borrowed. */
void program_lane(struct lane *lane, const char *name, const struct program *p);
