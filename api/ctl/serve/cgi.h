#pragma once

#include <stddef.h>

#include "api/ctl/serve/message.h"

/*
 * A request as a program without HTTP has it: variables of its environment,
 * named as CGI/1.1 names them (RFC 3875, 4.1). Its body is another's.
 */
enum {
	/* Those that we say, one a field at most, and the end. */
	CGI_VARS_MAX = MESSAGE_FIELDS_MAX + 12,
	/* The target is there three times; each name grows by "HTTP_" and =. */
	CGI_TEXT_MAX = 4 * MESSAGE_HEAD_MAX,
};

struct cgi {
	const char *env[CGI_VARS_MAX]; /* "NAME=value"; ends with NULL */
	unsigned count;
	char text[CGI_TEXT_MAX];
	size_t len;
};

/* Whose request it is. */
struct cgi_caller {
	const char *function;
	const char *path; /* the rest of the target, behind its name */
	const char *peer; /* address; "" for none */
};

/*
 * Of a request whose head has come. -EINVAL where its path is not encoded as it
 * has to be, or has a NUL in it.
 */
int cgi_make(struct cgi *c, const struct message *m,
	     const struct cgi_caller *who);
