#pragma once

#include "guest/proto.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Payloads on their way in and out. A reader that has once found something
 * wrong stays wrong, so callers ask at the end, with reader_done().
 */
struct reader {
	const uint8_t *at;
	size_t left;
	bool is_bad;
};

/* Counted bytes inside a payload; nothing is copied. */
struct bytes {
	const char *at;
	size_t len;
};

/* Points to the next @len bytes; NULL, and the reader is bad, without them. */
const void *reader_take(struct reader *r, size_t len);

/* A string; bytes without a NUL in them. */
struct bytes reader_string(struct reader *r);

/* Any bytes. */
struct bytes reader_bytes(struct reader *r);

/* The number of items in a list, bounded by PROTO_LIST_MAX; 0 if it is bad. */
uint32_t reader_count(struct reader *r);

/* A list of strings as a NULL-ended array with its strings in one allocation,
 * which the caller frees; NULL if it is bad. */
char **reader_strings(struct reader *r);

/* A copy with a NUL, which the caller frees; NULL if it is bad. */
char *reader_copy(struct reader *r);

/* Whether all was there and nothing is left. */
bool reader_done(const struct reader *r);

/* A growing buffer of frames to be sent: [from, to) waits. */
struct writer {
	uint8_t *buf; /* owned */
	size_t from, to, size;
	bool is_bad; /* memory ran out */
};

static inline size_t writer_len(const struct writer *w)
{
	return w->to - w->from;
}

/* Room for @len more bytes at buf + to; NULL without memory. */
uint8_t *writer_room(struct writer *w, size_t len);

void writer_add(struct writer *w, const void *data, size_t len);
void writer_string(struct writer *w, const char *s, size_t len);

/* Opens a frame; frame_end() writes its length. Returns where it begins,
 * counted from `from`. */
size_t frame_begin(struct writer *w, uint8_t type, uint8_t stream);
void frame_end(struct writer *w, size_t begin);

/* A frame in one go. */
void frame_put(struct writer *w, uint8_t type, uint8_t stream, const void *data,
	       size_t len);

void writer_fini(struct writer *w);
