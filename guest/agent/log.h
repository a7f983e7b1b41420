#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The last bytes of a container's output, as records. */
struct log {
	uint8_t *buf;	   /* owned */
	uint64_t from, to; /* since the beginning; from is a record's */
	uint32_t size;
};

void log_add(struct log *log, uint8_t stream, const void *data, size_t len);
/* Takes at most @max bytes of what is at *@at into @data, all of one stream;
 * 0 at the end. */
size_t log_read(const struct log *log, uint64_t *at, uint8_t *stream,
		size_t max, void *data);
/* The stream of what is at *@at, moved to what is left; false at the end. */
bool log_peek(const struct log *log, uint64_t *at, uint8_t *stream);
/* Where the last @lines lines begin. */
uint64_t log_tail(const struct log *log, uint32_t lines);
