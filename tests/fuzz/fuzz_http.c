/*
 * The HTTP parser, against itself: the same bytes whole and in pieces have to
 * give the same requests, the same verdict, and leave the same bytes over.
 * Input: the first byte seeds the pieces, the rest is what a client sent.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_MAX = 300, REQUESTS_MAX = 16 };

/* What came out of a stream of bytes. */
struct outcome {
	uint64_t hash; /* of all requests */
	unsigned requests;
	enum http_result last;
};

static void add(struct outcome *o, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	size_t i;

	for (i = 0; i < len; i++)
		o->hash = (o->hash ^ p[i]) * 0x100000001b3ULL;
	o->hash = (o->hash ^ len) * 0x100000001b3ULL;
}

static void check(const struct http_parser *p, const char *buf, size_t len)
{
	const struct http_request *r = &p->request;

	if (http_parser_used(p) > len || r->body_len > BODY_MAX ||
	    r->path[0] != '/' || !r->method[0] || r->body < buf ||
	    r->body + r->body_len > buf + http_parser_used(p))
		abort();
}

/* Feeds at most `piece` bytes at a time, in a buffer of exactly that size. */
static struct outcome run(const uint8_t *data, size_t size, unsigned seed)
{
	struct outcome o = {.last = HTTP_MORE};
	struct http_parser p;
	char *buf = NULL;
	size_t len = 0;
	struct err e;

	http_parser_init(&p, BODY_MAX);
	for (;;) {
		size_t piece = size, used;

		if (seed) {
			seed = seed * 1103515245 + 12345;
			piece = 1 + (seed >> 16) % 7;
		}
		if (piece > size)
			piece = size;
		/* A buffer of its own each time: what is kept must be offsets.
		 */
		char *moved = malloc(len + piece + 1);

		if (len)
			memcpy(moved, buf, len);
		if (piece)
			memcpy(moved + len, data, piece);
		free(buf);
		buf = moved;
		data += piece;
		size -= piece;
		len += piece;
		while (len && o.requests < REQUESTS_MAX) {
			o.last = http_parse(&p, buf, &len, &e);
			if (o.last != HTTP_DONE)
				break;
			check(&p, buf, len);
			add(&o, p.request.method, strlen(p.request.method));
			add(&o, p.request.path, strlen(p.request.path));
			add(&o, p.request.body, p.request.body_len);
			add(&o, &p.request.keep_alive, 1);
			o.requests++;
			used = http_parser_used(&p);
			memmove(buf, buf + used, len - used);
			len -= used;
			http_parser_init(&p, BODY_MAX);
			o.last = HTTP_MORE;
		}
		if (!size || o.last != HTTP_MORE || o.requests == REQUESTS_MAX)
			break;
		if (http_parser_room(&p) <= len && len > HTTP_HEAD_MAX)
			abort(); /* it waits, and has no room for more */
	}
	free(buf);
	return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole, pieces;

	if (!size)
		return 0;
	whole = run(data + 1, size - 1, 0);
	pieces = run(data + 1, size - 1, data[0] + 1U);
	if (whole.hash != pieces.hash || whole.requests != pieces.requests ||
	    whole.last != pieces.last)
		abort();
	return 0;
}
