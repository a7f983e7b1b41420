#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Bytes on their way in one direction, in a buffer that does not grow: where it
 * is full nothing more is read, so a reader that is slow stops the writer and
 * nobody else.
 */
enum { LANE_SIZE = 32 << 10 };

struct lane {
	uint8_t *bytes; /* owned; NULL until the first byte */
	size_t at, len;
};

/* How many bytes lane_put() would take. */
size_t lane_room(const struct lane *l);

/* Takes all of it or, where there is no room or no memory, nothing. */
bool lane_put(struct lane *l, const void *bytes, size_t len);

/* The first len bytes have been used. */
void lane_take(struct lane *l, size_t len);

/* Brings what there is room for from one to the other; whether it was any. */
bool lane_pass(struct lane *from, struct lane *to);

/* Reads what there is room for. 0 at the end, -EAGAIN, or another error. */
ssize_t lane_read(struct lane *l, int fd);

/* Sends what is there. 0, -EAGAIN where some still is, or another error. */
int lane_write(struct lane *l, int fd);

/* Accepts a zeroed one. */
void lane_fini(struct lane *l);
