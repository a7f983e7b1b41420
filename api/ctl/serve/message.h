#pragma once

#include <http_parser.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/ctl/serve/lane.h"
#include "vmm/base/err.h"

/*
 * One HTTP/1 message (RFC 9112), a client's request or a function's answer,
 * both of which are hostile. libhttp-parser says where things are; this keeps
 * the head, judges it, and lets the body through into a lane, framed anew: what
 * goes on is what was understood, never what came.
 */
enum {
	MESSAGE_HEAD_MAX = 16 << 10,
	MESSAGE_FIELDS_MAX = 100,
	MESSAGE_FRAMING_MAX = 64, /* of what is fed at once, beside its bytes */
};

/* Both are NUL-terminated. */
struct message_field {
	const char *name;
	const char *value;
};

enum message_stage {
	MESSAGE_HEAD,	/* it has not come whole */
	MESSAGE_JUDGED, /* it has; message_open() lets the body through */
	MESSAGE_BODY,
	MESSAGE_DONE,
};

struct message {
	struct http_parser parser;
	enum message_stage stage;
	int status; /* for a client, where message_feed() failed: 400 … */
	/* Once it is judged: */
	const char *target; /* of a request */
	struct message_field fields[MESSAGE_FIELDS_MAX];
	unsigned field_count;
	bool has_length;
	bool is_chunked;
	bool has_upgrade;   /* to WebSocket, and nothing else */
	bool expects;	    /* 100-continue */
	bool is_kept_alive; /* as far as this side is concerned */
	/* The body's way, of message_open(). */
	struct lane *sink; /* borrowed; NULL: it is dropped */
	bool is_sunk_chunked;
	bool has_no_body; /* an answer to HEAD */
	bool has_begun;	  /* a byte of its head has come */
	uint64_t body_bytes;
	/* Of the head while it comes; all of it is bounded. */
	char text[MESSAGE_HEAD_MAX];
	size_t len;
	int last; /* what the last byte was of */
};

/* type is HTTP_REQUEST or HTTP_RESPONSE. */
void message_init(struct message *m, enum http_parser_type type);

/*
 * Looks at bytes, and stops behind the head, and behind the message. Where a
 * body goes through, the sink has to have room for len + MESSAGE_FRAMING_MAX.
 * Returns how many were used; or a negative errno with a sentence, and the
 * message is of no use any more.
 */
ssize_t message_feed(struct message *m, const void *bytes, size_t len,
		     struct err *e);

/*
 * How much of from message_feed() may be given, so that there is room in to for
 * it, however it is framed.
 */
size_t message_may_feed(const struct lane *from, const struct lane *to);

/* The body may come: into sink, in chunks or as it is. */
void message_open(struct message *m, struct lane *sink, bool is_chunked);

/* The connection ended, which is the end of some answers. 0 or an error. */
int message_end(struct message *m, struct err *e);

/*
 * An answer that ends with its head, whatever that says of a length (RFC 9112,
 * 6.3).
 */
bool message_is_bodiless(const struct message *m);

/* The first field of that name; NULL where there is none. */
const char *message_find(const struct message *m, const char *name);

/* Whether a list of words, such as Connection's, has that one. */
bool message_has_word(const char *list, const char *word);
