#pragma once

#include <stddef.h>

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

/* One half each of wire_ask(). body may be NULL. */
int wire_send(int fd, const char *method, const char *path, const char *body,
	      struct err *e);

/* The body, NUL-terminated, in answer where that is not NULL. */
int wire_hear(int fd, char *answer, size_t size, struct err *e);

/* Asks and waits: 0 for a status of 2xx, else -EREMOTEIO and the sentence. */
int wire_ask(int fd, const char *method, const char *path, const char *body,
	     char *answer, size_t size, struct err *e);
