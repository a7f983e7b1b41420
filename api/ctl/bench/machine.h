#pragma once

#include "api/ctl/bench/bench.h"
#include "api/ctl/bench/spawn.h"
#include "vmm/base/err.h"

/* mayfly's microVMs in a bench. */

enum { MACHINE_FLAG = 0x180000, MACHINE_MIB = 128 };

struct bench_machine {
	struct spawned process;
	int api; /* a connection; 0 for none */
};

/* A config file with the bench's guest; guest is its path for the monitor. */
int machine_write_config(const char *path, const char *guest,
			 const char *letter, unsigned mib, struct err *e);

/*
 * Starts one whose guest does what letter says (guest/bench/guest.S) and waits
 * for its first word.
 */
int machine_begin(struct bench_machine *m, const struct bench *b,
		  const char *letter, unsigned mib, struct err *e);

/* Ends it. Accepts a zeroed struct. */
void machine_end(struct bench_machine *m);

/*
 * A snapshot of a guest that waits, and goes on when it is loaded: place.state
 * and place.mem. act is 1: it ends, 2: it speaks, and sleeps.
 */
int machine_saved(const struct bench *b, const char *place, unsigned mib,
		  char act, struct err *e);
