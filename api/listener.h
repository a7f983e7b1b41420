#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/socket_file.h"
#include "vmm/base/err.h"
#include "vmm/event/loop.h"

/*
 * A listening Unix socket in the loop. Where there is no descriptor for a
 * client the client is sent away, and where not even that can be done nobody is
 * looked at for a tenth of a second: a listener that stays ready must not spin.
 * Thread: the loop's.
 */
struct listener {
	struct loop *loop; /* borrowed: main */
	struct loop_watch watch;
	struct loop_timer timer; /* while it rests */
	int fd;			 /* owned; listening */
	int spare_fd;		 /* owned; given up to send a client away */
	struct socket_file file;
	/* Takes *fd, a client; false where it can take no more for now. */
	bool (*accepted)(struct listener *l, int *fd);
};

/*
 * Listens at path. A socket file that nobody listens at any more is replaced;
 * one with a listener is an error, and so is any other kind of file. l has loop
 * and accepted, and is zeroed otherwise.
 */
int listener_open(struct listener *l, const char *path, struct err *e);

/*
 * The same with a socket that somebody else made and listens at; takes it over
 * on success only. Its file, if it has one, is not ours to remove.
 */
int listener_adopt(struct listener *l, int fd, struct err *e);

/* Closes it and removes the socket's file. */
void listener_close(struct listener *l);
