#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "vmm/base/err.h"

/*
 * File descriptors that close themselves:
 *
 *	CLEAN_FD int fd = open(…);
 *	if (fd < 0 || check(fd))
 *		return -EINVAL;          // closed here
 *	d->fd = fd_steal(&fd);           // no longer ours to close
 */
#define CLEAN_FD __attribute__((cleanup(fd_close)))

/*
 * Closes *fd if it is open and sets it to -1. errno survives. 0 counts as not
 * open, so that zeroed structs can be torn down: the mains see to it that
 * descriptor 0 is always taken.
 */
void fd_close(int *fd);

/* Hands the descriptor to the caller; *fd becomes -1. */
int fd_steal(int *fd);

/* What a name given by somebody else may lead to. */
enum fd_kind { FD_REGULAR, FD_REGULAR_OR_BLOCK, FD_REGULAR_OR_FIFO };

/*
 * Opens a file that somebody else names, and never waits for it: a FIFO, a
 * terminal, a device or a directory in its place is a sentence, and isn't even
 * opened, which by itself does things to some devices. flags are open()'s;
 * close-on-exec is added. A descriptor that was passed is one, too (passed.h).
 * what is its name in sentences: "kernel". Returns the descriptor, or a
 * negative errno. FD_REGULAR_OR_FIFO: a FIFO's does not block.
 */
int fd_open(const char *path, int flags, enum fd_kind kind, const char *what,
	    struct err *e);

/* The same, and what fstat() says of it, in *st. */
int fd_open_stat(const char *path, int flags, enum fd_kind kind,
		 const char *what, struct stat *st, struct err *e);

/*
 * Whether a descriptor that somebody else opened is a Unix stream socket that
 * listens; it is then non-blocking and close-on-exec. what follows its number
 * in sentences: "for the API". Returns 0 or a negative errno.
 */
int fd_check_listener(int fd, const char *what, struct err *e);

/*
 * Reads exactly len bytes at offset, however many calls it takes.
 * Returns 0, -ENODATA where the file ends before, or a negative errno.
 */
int fd_pread(int fd, void *buf, size_t len, uint64_t offset);

/* Writes exactly len bytes at offset. Returns 0 or a negative errno. */
int fd_pwrite(int fd, const void *buf, size_t len, uint64_t offset);

/* Writes exactly len bytes where fd stands. Returns 0 or a negative errno. */
int fd_write(int fd, const void *buf, size_t len);

/*
 * Writes to a descriptor that somebody else also holds (a terminal, a pipe),
 * whose flags are therefore not ours to change, without ever blocking: asks
 * poll() first and writes at most PIPE_BUF bytes, which a ready pipe takes
 * whole. Returns the bytes written (at least 1), -EAGAIN where the reader is
 * slow, or another negative errno.
 */
ssize_t fd_write_ready(int fd, const void *buf, size_t len);

/* Whether both are of one file. */
bool fd_is_same(int a, int b);

/*
 * Whether it is a terminal. Not isatty(), which asks in another way in each C
 * library: filters name the ioctls.
 */
bool fd_is_terminal(int fd);

/* Adds one to an eventfd; its counter can't overflow in practice. */
void fd_event_raise(int fd);

/* Reads an eventfd back to 0. Returns the count, 0 where none was pending. */
uint64_t fd_event_take(int fd);
