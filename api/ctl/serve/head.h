#pragma once

#include <stdbool.h>

#include "api/ctl/serve/lane.h"
#include "api/ctl/serve/message.h"

/*
 * Heads as they go on: with what concerns one connection alone left out (RFC
 * 9110, 7.6.1), and framing of ours.
 */

/*
 * A client's request for the function, whose target is from path on. peer is
 * the client's address, "" for none.
 */
bool head_put_request(struct lane *out, const struct message *m,
		      const char *path, const char *peer);

/* A function's answer for the client. */
struct head_answer {
	bool is_chunked; /* our framing; else its length, or the end */
	bool is_kept_alive;
};

/* All of it or, where there is no room, nothing. */
bool head_put_answer(struct lane *out, const struct message *m,
		     const struct head_answer *how);

/* Instead of a body's length: it comes in chunks, or ends with all. */
#define HEAD_CHUNKED	((size_t)-1)
#define HEAD_OPEN_ENDED ((size_t)-2)

/*
 * An answer of ours; type "text/plain", say. retry_s 0: nothing of that. All of
 * it or, where there is no room, nothing.
 */
bool head_put_own(struct lane *out, int status, const char *type,
		  size_t body_len, unsigned retry_s, bool is_kept_alive);

/* Whether a field of m concerns one connection alone, or is said by us. */
bool head_is_dropped(const struct message *m, const char *name);

/* "Not Found" */
const char *head_reason(int status);
