#pragma once

#include "vmm/machine/machine.h"

/*
 * A machine and devices that only remember what was asked of them, for tests
 * of what stands above.
 */
struct fake_machine {
	char calls[4096]; /* "new 1 134217728; add block rootfs; …" */
	const char *fail; /* the call that fails next, NULL for none */
	int fail_code;	  /* … with that; 0 for -ENOMEM */
	unsigned steps;	  /* of a fork, before it may be held */
	unsigned alive;	  /* machines and devices not yet freed */
	struct machine_hooks hooks; /* of the last machine_new() */
	const struct state *state;  /* the same */
};

extern struct fake_machine fake;

/* For what else is fake: notes a call, and says whether it is to fail. */
void fake_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int fake_fails(const char *call, struct err *e);

/* Forgets calls and failures. */
void fake_reset(void);
