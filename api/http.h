#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * HTTP/1.1 as a server of small requests needs it (RFC 9112): bytes in, one
 * request out. No I/O and no memory of its own: the connection owns a growing
 * buffer that starts with the first byte of a request, and the parser keeps
 * offsets into it, so that a byte is looked at once however it trickles in.
 *
 * Strict where a mistake could make two readers disagree about where a request
 * ends: a bare LF, a folded header, two lengths, a length beside chunks.
 */
enum {
	HTTP_HEAD_MAX = 8192, /* request line and headers, bytes */
	HTTP_LINE_MAX = 256,  /* a chunk's size line with extensions */
};

enum http_result {
	HTTP_MORE,	/* the request has not ended yet */
	HTTP_DONE,	/* parser->request is valid */
	HTTP_BAD,	/* not HTTP: answer 400 and close */
	HTTP_TOO_LARGE, /* body over the limit: parser->declared bytes */
};

/* Points into the buffer: valid until that changes. */
struct http_request {
	const char *method; /* NUL-terminated token */
	const char *path;   /* NUL-terminated, starts with '/' */
	const char *body;
	size_t body_len;
	bool keep_alive;
};

/* Where the next byte belongs. */
enum http_state {
	HTTP_REQUEST_LINE,
	HTTP_HEADERS,
	HTTP_BODY,
	HTTP_CHUNK_SIZE,
	HTTP_CHUNK_DATA,
	HTTP_CHUNK_END,
	HTTP_TRAILERS,
	HTTP_END,
};

struct http_parser {
	struct http_request request; /* after HTTP_DONE */
	uint64_t declared;	     /* bytes, after HTTP_TOO_LARGE */
	/*
	 * The client waits for a "100 Continue" before it sends the body. The
	 * caller answers and clears it.
	 */
	bool wants_continue;
	enum http_state state;
	size_t body_max; /* bytes */
	size_t line;	 /* where the current line begins */
	size_t scan;	 /* no LF between line and here */
	size_t method;	 /* offsets of what will be the request */
	size_t path;
	size_t body;
	uint64_t left;	    /* bytes of the body or of the chunk to come */
	size_t body_len;    /* bytes decoded so far */
	size_t trailer_len; /* bytes */
	uint32_t minor;	    /* HTTP/1.minor */
	bool has_length;
	bool is_chunked;
	bool has_encoding;
	bool says_close;
	bool says_keep_alive;
	bool expects_continue;
	bool skipped_line; /* an empty line before the request line */
};

/* Ready for the first byte of a request. */
void http_parser_init(struct http_parser *p, size_t body_max);

/*
 * Looks at buf, which holds *len bytes from the first byte of the request on
 * and may have moved since the last call. Chunks are joined in place: then
 * *len shrinks, and what follows moves down. After HTTP_DONE the request is the
 * first http_parser_used() bytes of buf; the next one, or a part of it, is
 * behind them. After an error the parser is of no more use, and *e says why.
 */
enum http_result http_parse(struct http_parser *p, char *buf, size_t *len,
			    struct err *e);

/* Bytes of the buffer that the finished request takes. */
size_t http_parser_used(const struct http_parser *p);

/*
 * The bytes a buffer must have room for so that the request can go on: the
 * most that a request takes, but no more than its declared length.
 */
size_t http_parser_room(const struct http_parser *p);

enum { HTTP_RESPONSE_HEAD_MAX = 256 };

struct http_head {
	int status;
	size_t body_len;
	bool is_text; /* the body is plain text, not JSON */
	bool is_deprecated;
	bool keep_alive;
};

/*
 * Writes a response's head: the field's own form, with nothing after the status
 * and no length for 100 and 204, which have no body. Returns its length, less
 * than HTTP_RESPONSE_HEAD_MAX, which `out` must have room for.
 */
size_t http_response_head(char *out, const struct http_head *head);
