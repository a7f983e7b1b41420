#pragma once

#include <stddef.h>
#include <stdint.h>

#include "vmm/state/state.h"

/* Of the format, written down a second time: state.c's word is not taken. */
enum {
	HEAD_FORMAT = 8,
	HEAD_ARCH = 10,
	HEAD_FLAGS = 12,
	HEAD_LEN = 16,
	HEAD_COUNT = 40,
	HEAD_SUM = 44,
	SECTION_NAME_LEN = 4,
	SECTION_ZERO = 6,
	SECTION_VERSION = 8,
	SECTION_LEN = 12,
	SECTION_HEAD = 16,
	TAG_LEN = 32,
};

/* CRC-32 (IEEE 802.3), a bit at a time, going on from sum. */
uint32_t state_bytes_sum(uint32_t sum, const uint8_t *data, size_t len);

void state_bytes_put(uint8_t *at, uint64_t value, unsigned bytes);

/*
 * Makes all sums of a file right that has been changed, as far as its sections
 * can be told apart: sums are no hurdle for who means ill. With a key its tag.
 */
void state_bytes_mend(uint8_t *data, size_t len, const struct state_key *key);

/* Adds a section of len bytes, which count up. */
void state_bytes_add(struct state *s, const char *name, uint32_t version,
		     size_t len);

/* A state with sections "config", "vcpu 0" and "block rootfs", as a file. */
uint8_t *state_bytes_file(const struct state_key *key, size_t *len);
