#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * ttrpc's frames: ten bytes (length and stream big-endian, type, flags) and a
 * message. Here is what both ends have in common: bytes in, bytes out.
 */
enum {
	WIRE_HEADER = 10,
	WIRE_DATA_MAX = 4 << 20, /* the protocol's bound of a message */
	WIRE_OUT_MAX = 16 << 20, /* that wait for a reader who does not read */
};

enum wire_type { WIRE_REQUEST = 1, WIRE_RESPONSE = 2, WIRE_STREAM_DATA = 3 };

struct wire_frame {
	uint32_t stream;
	uint8_t type;
	uint8_t flags;
	const uint8_t *bytes; /* until the next wire_next() */
	size_t len;
};

struct wire {
	int fd;	     /* owned; -1 while there is none */
	uint8_t *in; /* owned */
	size_t in_at, in_len, in_max;
	uint8_t *out; /* owned */
	size_t out_at, out_len, out_max;
};

/* Takes a connected socket, which is owned from now on. */
void wire_init(struct wire *w, int fd);

/* Accepts a wire whose fd is -1. */
void wire_fini(struct wire *w);

/*
 * The next frame. -EAGAIN where it has not come whole yet; -ECONNRESET where
 * the other has gone; -EMSGSIZE for one over the bound; -ENOMEM.
 */
int wire_next(struct wire *w, struct wire_frame *f);

/* Whether a whole frame waits in memory. */
bool wire_has_more(const struct wire *w);

/* Puts one behind what waits. -EMSGSIZE, -ENOBUFS or -ENOMEM. */
int wire_put(struct wire *w, const struct wire_frame *f);

/* Sends what waits. 0, -EAGAIN where some still does, or an error. */
int wire_flush(struct wire *w);
