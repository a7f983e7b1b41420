#pragma once

#include <stddef.h>

#include "api/ctl/bench/spawn.h"
#include "vmm/base/err.h"

/*
 * A connection to a monitor that stays open, for times that are not to have a
 * connect in them. Answers are short.
 */

enum { WIRE_TEXT_MAX = 8192 };

/*
 * A listening socket without a file for a monitor that is started now
 * (--api-fd), and a connection to it.
 */
int wire_pair(int *listener, int *connection, struct err *e);

/* Connects to a socket's file; -ENOTCONN while nobody listens. */
int wire_dial(const char *path);

/*
 * Starts the monitor with its socket at sock, where there may be an old one,
 * and connects as soon as it listens. On failure there is no process.
 */
int wire_begin(struct spawned *s, const char *program, const char *sock,
	       bool has_out, int *fd, struct err *e);

/* One half each of wire_ask(). body may be NULL. */
int wire_send(int fd, const char *method, const char *path, const char *body,
	      struct err *e);

/* The body, NUL-terminated, in answer where that is not NULL. */
int wire_hear(int fd, char *answer, size_t size, struct err *e);

/* Asks and waits: 0 for a status of 2xx, else -EREMOTEIO and the sentence. */
int wire_ask(int fd, const char *method, const char *path, const char *body,
	     char *answer, size_t size, struct err *e);
