#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * One line on a terminal that says what an import does and how far it is.
 * Where stderr is no terminal, nothing.
 */
struct image_progress {
	bool is_shown;
	const char *phase; /* "unpacking"; NULL before the first */
	uint64_t total;	   /* bytes; 0 where it isn't known */
	uint64_t before;   /* bytes of the phase's earlier tools */
};

void image_progress_begin(struct image_progress *p, bool is_quiet);

/* phase is a constant. */
void image_progress_phase(struct image_progress *p, const char *phase,
			  uint64_t total);

/* So many bytes of the phase are done. */
void image_progress_show(const struct image_progress *p, uint64_t done);

/* Takes the line away. */
void image_progress_end(const struct image_progress *p);
