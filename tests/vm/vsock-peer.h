#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What the two ends of tests/vm/vsock-peer.c agree on, and share. */
enum { ECHO = 1, SINK = 2, SOURCE = 3 };
enum { PERIOD = 65521, PIECE = 65536, EVENTS = 64 };

struct request {
	char magic[4];
	uint32_t op;
	uint64_t bytes; /* of SOURCE: how many; of SINK: how many will come */
};

/* What a server answers to SINK, once it has everything. */
struct verdict {
	uint64_t bytes;
	uint64_t wrong; /* pieces that differ */
};

/* Room for bytes that nobody keeps. */
extern uint8_t scratch[PIECE];

/* Says what failed and why, and exits. */
void die(const char *what) __attribute__((noreturn));

/* Whether the call that failed may succeed later. */
bool would_block(void);

/* PIECE bytes of the sequence from there on. */
const uint8_t *bytes_at(uint64_t offset);

/* A listening socket at an address. */
int peer_listen(const char *address);

/* Serves whoever comes, for ever. */
void run_server(const char *address);
