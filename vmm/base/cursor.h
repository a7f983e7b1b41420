#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A bounded cursor over bytes we don't trust or must not overrun. Failure
 * sticks: a reader past the end gets zeroes, a writer past the end writes
 * nothing, and one look at `failed` after a whole structure tells.
 */
struct cursor {
	uint8_t *base; /* borrowed; never written by the cursor_get family */
	size_t len;    /* bytes at base */
	size_t at;     /* bytes read or written so far, at most len */
	bool failed;
};

static inline struct cursor cursor_over(void *base, size_t len)
{
	return (struct cursor){.base = base, .len = len};
}

/* Advances by len bytes and returns where they start, NULL past the end. */
void *cursor_take(struct cursor *c, size_t len);

/* Little-endian integers. A failed read gives 0. */
uint8_t cursor_get8(struct cursor *c);
uint16_t cursor_get16(struct cursor *c);
uint32_t cursor_get32(struct cursor *c);
uint64_t cursor_get64(struct cursor *c);

void cursor_put8(struct cursor *c, uint8_t v);
void cursor_put16(struct cursor *c, uint16_t v);
void cursor_put32(struct cursor *c, uint32_t v);
void cursor_put64(struct cursor *c, uint64_t v);
void cursor_put(struct cursor *c, const void *bytes, size_t len);

/* Text without its NUL. */
void cursor_put_text(struct cursor *c, const char *text);

/* Skips to the next multiple of align (a power of two), writing nothing. */
void cursor_align(struct cursor *c, size_t align);
