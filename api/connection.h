#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/http.h"
#include "api/routes.h"
#include "api/server.h"
#include "vmm/base/rights.h"
#include "vmm/event/loop.h"

/*
 * One client of the API: its requests and answers, and how long it may take
 * over each. Thread: the loop's.
 */

/* What a connection is in, and for how long it may be. */
enum phase {
	PHASE_SILENT,	/* between requests: as long as it likes */
	PHASE_REQUEST,	/* a request has begun */
	PHASE_ANSWER,	/* an answer waits for the client to read */
	PHASE_DRAINING, /* after an error */
};

struct connection {
	struct loop_watch watch;
	struct server *server; /* borrowed */
	int fd;		       /* owned */
	uint64_t turn;	       /* of the last read */
	uint32_t events;       /* what the watch waits for */
	enum phase phase;
	uint64_t due_ns; /* end of the phase, CLOCK_MONOTONIC; 0 for never */
	struct http_parser parser;
	char *in; /* owned; in_len of in_size bytes are filled */
	size_t in_len;
	size_t in_size;
	char *out; /* owned; [out_at, out_len) is to be written */
	size_t out_at;
	size_t out_len;
	size_t out_size;
	size_t drained;	     /* bytes */
	int fds[RIGHTS_MAX]; /* owned; go with the next byte of out */
	bool is_waiting;     /* for an answer that comes later */
	bool is_last;	     /* close once the answer is written */
	bool is_broken;	     /* no requests any more: drain */
	bool is_ended;	     /* the client sends no more */
};

/*
 * A client at *fd, taken over, in a place of the server's that is empty; it may
 * be over already. -ENOMEM.
 */
int connection_new(struct connection **place, struct server *s, int *fd);

/* The answer that it waits for; descriptors may be taken out of fds. */
void connection_answer(struct connection *c, const struct reply *reply,
		       int fds[RIGHTS_MAX]);

/* Closes it and empties its place. */
void connection_free(struct connection *c);

/* Sends what can be sent. 1: that was all, 0: the client has to read first. */
int connection_flush(struct connection *c);

/*
 * The phase's time is over: says what went wrong where that is of use, and ends
 * what is ended.
 */
void connection_expire(struct connection *c);
