#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/ctl/agent/session.h"
#include "vmm/event/loop.h"

/*
 * A request that a program answers which is no server: it is started for it,
 * has its body as stdin, and its stdout is the answer's body.
 */
enum { STDIO_LINE_MAX = 400 };

struct stdio {
	struct session session;
	struct session_frame frame; /* of stdout, what is not passed on yet */
	unsigned turns;		    /* frames that may be looked at now */
	bool is_started;
	bool is_ended;
	uint32_t code; /* what it ended with */
	/* The answer begins when it has ended, or cannot wait any longer. */
	struct loop_timer hold;
	bool is_due;
	enum { STDIO_SIZED, STDIO_CHUNKED, STDIO_OPEN_ENDED } framing;
	uint64_t out_bytes;	   /* of stdout, so far */
	char line[STDIO_LINE_MAX]; /* of stderr, the last one while it comes */
	unsigned line_len, lines;
};

struct client_calls;

/* The half of a client's request that such a program answers. */
extern const struct client_calls stdio_calls;
