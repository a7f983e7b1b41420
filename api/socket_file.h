#pragma once

#include <sys/types.h>

#include "vmm/base/err.h"

/* The name of a listening Unix socket in the file system. Thread: the loop's.
 */
struct socket_file {
	char *path; /* owned; NULL while there is none */
	dev_t dev;  /* of the file, so that only ours is removed */
	ino_t ino;
};

/*
 * Makes fd listen at path, with mode 0660 less the umask. A socket file that
 * nobody listens at any more is replaced, with a warning; one with a listener
 * is an error, and so is any other kind of file. *f is zeroed before.
 */
int socket_file_listen(struct socket_file *f, int fd, const char *path,
		       int backlog, struct err *e);

/*
 * Connects to who listens at path; what is the field that names it, for the
 * sentence. flags are socket()'s, close-on-exec is added; with SOCK_NONBLOCK
 * one whose queue is full is refused. Returns the descriptor or a negative
 * errno.
 */
int socket_file_connect(const char *path, const char *what, int flags,
			struct err *e);

/* Removes the file if it is still ours. Accepts a zeroed struct. */
void socket_file_remove(struct socket_file *f);
