#pragma once

#include "guest/agent/loop.h"
#include "guest/agent/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A session is one connection. It stands below all that is served over it: what
 * serves a request leaves a table here, and is called by it.
 */
struct session;

/* What a served request does with what comes; NULL: nothing. */
struct session_ops {
	/* There may be room for DATA again. */
	void (*pump)(struct session *s);
	/* DATA and EOF of stream 0, never more than its window. */
	void (*data)(struct session *s, const void *data, size_t len);
	void (*data_end)(struct session *s);
	void (*signal)(struct session *s, int signal);
	void (*resize)(struct session *s, unsigned rows, unsigned columns);
	/* SESSION_RAW: the connection is ready. */
	void (*ready)(struct session *s, uint32_t events);
	/* The connection has gone. */
	void (*lost)(struct session *s);
};

enum session_mode {
	SESSION_IDLE,
	SESSION_PROCESS, /* RUN, EXEC, ATTACH, COPY, and what blocks */
	SESSION_LOGS,
	SESSION_WAIT,
	SESSION_RAW, /* FORWARD */
};

/* Serves a request, whole: see guest/proto.h. */
typedef void session_serve(struct session *s, uint8_t type, struct reader *r);

struct session {
	struct watch io;
	enum session_mode mode;
	session_serve *serve;
	const struct session_ops *ops; /* NULL while nothing is served */
	bool is_greeted;
	bool is_ending; /* sends what is left and closes */
	uint8_t *rx;	/* owned */
	size_t rx_from, rx_to, rx_size;
	struct writer tx;
	uint32_t window[3]; /* 1, 2: what may still be sent; 0: come in */
	uint32_t used;	    /* of stream 0, not yet given back */
	/* Of what is served; whoever does knows which. */
	struct process *process;     /* borrowed, knows us as well */
	struct container *container; /* borrowed: LOGS, WAIT */
	struct forward *forward;     /* owned */
	struct group *group;	     /* borrowed: OOM, more than seen */
	uint64_t log_at, seen;
	bool log_follows, removes, wants_progress;
	struct session *next;
};

/* Takes @fd, which is non-blocking. */
void session_accept(int fd, session_serve *serve);
/* Whether what there still is of them is PROTO_RESERVED's. */
bool sessions_are_scarce(void);

/* Answers ERROR and ends; @error is positive. */
void session_error(struct session *s, int error, int status, const char *fmt,
		   ...) __attribute__((format(printf, 4, 5)));

/* Answers, and takes up the next request. */
void session_done(struct session *s);
void session_answer(struct session *s, uint8_t type, const void *data,
		    size_t len);
void session_idle(struct session *s);

/* Whether there is room for more DATA, and how much of @stream. */
size_t session_room(const struct session *s, int stream);
/* What was put into tx leaves as far as it can; may end nothing. */
void session_flush(struct session *s);
/* What came in of stream 0 has been used: its window is given back. */
void session_used(struct session *s, size_t bytes);

/* For each session; @fn may not end them. */
void sessions_each(void (*fn)(struct session *s, void *arg), void *arg);
/* Serves what had to wait, then frees what has ended; once a turn, in order. */
void sessions_resume(void);
void sessions_sweep(void);
