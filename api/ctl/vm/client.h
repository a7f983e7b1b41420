#pragma once

#include <stddef.h>

#include "vmm/base/err.h"

/* One request to a monitor's socket, and its answer. */
struct client_answer {
	int status; /* 200, 204, 400 … */
	char *body; /* owned, NUL-terminated; "" for none */
};

/*
 * Connects to socket, sends one request and waits for the answer, at most 30
 * seconds. body may be NULL. -ENOTCONN where nobody listens.
 */
int client_request(const char *socket, const char *method, const char *path,
		   const char *body, struct client_answer *answer,
		   struct err *e);

/* Accepts a zeroed struct. */
void client_answer_fini(struct client_answer *answer);
