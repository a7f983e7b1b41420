#pragma once

#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

enum { STATE_KEY_MIN = 16, STATE_KEY_MAX = 64 };

/* A secret that whoever writes a state shares with whoever reads it. */
struct state_key {
	uint8_t bytes[STATE_KEY_MAX];
	size_t len; /* 0: no key, as no pointer to one */
};

/*
 * Reads a key, the 16 to STATE_KEY_MAX bytes of a file, or of a descriptor that
 * was passed. Returns 0 or a negative errno.
 */
int state_key_read(const char *path, struct state_key *key, struct err *e);
