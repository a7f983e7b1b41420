#pragma once

#include <stddef.h>

#include "vmm/base/err.h"

/* One request to a monitor's socket, and its answer. */
struct client_answer {
	int status; /* 200, 204, 400 … */
	char *body; /* owned, NUL-terminated; "" for none */
};

/* Descriptors that come with an answer (SCM_RIGHTS). */
enum { CLIENT_FILES_MAX = 4 };

struct client_files {
	int fds[CLIENT_FILES_MAX]; /* owned */
	unsigned count;
};

/* How long an answer may take, in seconds. */
enum { CLIENT_USUAL_S = 30, CLIENT_SAVE_S = 3600 };

/*
 * Connects to socket, sends one request and waits for the answer, at most
 * CLIENT_USUAL_S. body may be NULL. -ENOTCONN where nobody listens.
 */
int client_request(const char *socket, const char *method, const char *path,
		   const char *body, struct client_answer *answer,
		   struct err *e);

/*
 * Sends the request and waits for nothing; a monitor that is only being started
 * finds it. Returns the connection, which is to stay open until the answer is
 * there, or a negative errno.
 */
int client_begin(const char *socket, const char *method, const char *path,
		 const char *body, struct err *e);

/*
 * client_request() for what has to succeed: an answer that is a refusal is
 * -EREMOTEIO, with the monitor's sentence. seconds is how long it may take.
 */
int client_order(const char *socket, const char *method, const char *path,
		 const char *body, int seconds, struct err *e);

/*
 * client_order() of an answer that descriptors come with; whose they are, and
 * how many, is for the caller to judge. files may be NULL: then none do.
 */
int client_take(const char *socket, const char *method, const char *path,
		const char *body, int seconds, struct client_files *files,
		struct err *e);

/* Accepts a zeroed struct, as client_answer_fini() does. */
void client_files_fini(struct client_files *files);

void client_answer_fini(struct client_answer *answer);
