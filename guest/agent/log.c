/*
 * A container's log: a ring of records, each a stream, a length and bytes. What
 * is the oldest gives way to what is new.
 */
#include "guest/agent/agent.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD = 5, STEP = 64 << 10 };

static void ring_put(struct log *log, uint64_t at, const void *data, size_t len)
{
	const size_t place = (size_t)(at % log->size);
	const size_t first = len < log->size - place ? len : log->size - place;

	memcpy(log->buf + place, data, first);
	memcpy(log->buf, (const uint8_t *)data + first, len - first);
}

static void ring_get(const struct log *log, uint64_t at, void *data, size_t len)
{
	const size_t place = (size_t)(at % log->size);
	const size_t first = len < log->size - place ? len : log->size - place;

	memcpy(data, log->buf + place, first);
	memcpy((uint8_t *)data + first, log->buf, len - first);
}

static uint32_t record_at(const struct log *log, uint64_t at, uint8_t *stream)
{
	uint8_t head[HEAD];

	ring_get(log, at, head, sizeof(head));
	*stream = head[0];
	return (uint32_t)head[1] | (uint32_t)head[2] << 8 |
	       (uint32_t)head[3] << 16 | (uint32_t)head[4] << 24;
}

void log_add(struct log *log, uint8_t stream, const void *data, size_t len)
{
	const uint8_t head[HEAD] = {stream, (uint8_t)len, (uint8_t)(len >> 8),
				    (uint8_t)(len >> 16), (uint8_t)(len >> 24)};
	uint8_t ignored;

	if (!log->buf && log->size)
		log->buf = malloc(log->size);
	if (!log->buf)
		return;
	/* Of a piece larger than the whole log the end is kept. */
	if (len > log->size / 2) {
		const size_t half = log->size / 2;

		for (size_t done = 0; done < len;) {
			const size_t n = len - done < half ? len - done : half;

			log_add(log, stream, (const uint8_t *)data + done, n);
			done += n;
		}
		return;
	}
	while (log->to - log->from + HEAD + len > log->size)
		log->from += HEAD + record_at(log, log->from, &ignored);
	ring_put(log, log->to, head, sizeof(head));
	ring_put(log, log->to + HEAD, data, len);
	log->to += HEAD + len;
}

/*
 * A reader's place is that of a record, and how much of it has been read in the
 * upper bits: positions stay below 2^40, a terabyte of output.
 */
enum { PART_SHIFT = 40 };

static uint64_t place_of(uint64_t at)
{
	return at & ((1ULL << PART_SHIFT) - 1);
}

size_t log_read(const struct log *log, uint64_t *at, uint8_t *stream,
		size_t max, void *data)
{
	uint64_t place = place_of(*at), part = *at >> PART_SHIFT;
	uint32_t len;
	size_t n;

	if (place < log->from) {
		place = log->from;
		part = 0;
	}
	*at = place | part << PART_SHIFT;
	if (place == log->to)
		return 0;
	len = record_at(log, place, stream);
	n = len - part < max ? (size_t)(len - part) : max;
	ring_get(log, place + HEAD + part, data, n);
	part += n;
	if (part == len) {
		place += HEAD + len;
		part = 0;
	}
	*at = place | part << PART_SHIFT;
	return n;
}

bool log_peek(const struct log *log, uint64_t *at, uint8_t *stream)
{
	uint64_t place = place_of(*at);

	if (place < log->from)
		*at = place = log->from;
	if (place == log->to)
		return false;
	record_at(log, place, stream);
	return true;
}

/* Lines of both streams are counted as they came. */
uint64_t log_tail(const struct log *log, uint32_t lines)
{
	uint64_t total = 0, skip, at = log->from;
	uint8_t stream, last = '\n', *text = malloc(STEP);
	size_t n;

	if (lines == UINT32_MAX || !text) {
		free(text);
		return log->from;
	}
	while ((n = log_read(log, &at, &stream, STEP, text))) {
		for (size_t i = 0; i < n; i++)
			total += text[i] == '\n';
		last = text[n - 1];
	}
	total += last != '\n';
	skip = total > lines ? total - lines : 0;
	at = log->from;
	while (skip) {
		const uint64_t before = at;
		const uint8_t *nl = NULL;
		size_t used = 0;

		n = log_read(log, &at, &stream, STEP, text);
		if (!n)
			break;
		while (skip && (nl = memchr(text + used, '\n', n - used))) {
			used = (size_t)(nl - text) + 1;
			skip--;
		}
		if (!skip) {
			at = before;
			log_read(log, &at, &stream, used, text);
		}
	}
	free(text);
	return at;
}
