#pragma once

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/event/loop.h"

/*
 * An io_uring that can do a few things to one file and nothing else: whoever
 * got hold of its memory could not open, connect or map with it. Its owner
 * fills and reads the ring by liburing's functions; operations name the file as
 * fixed file 0.
 *
 * Calls on one ring are made one at a time, in whatever thread: the owner's
 * lock sees to that.
 */
struct uring {
	struct io_uring ring;
	bool is_open;
	struct loop_watch watch; /* readable while completions wait */
};

/*
 * Makes a ring of so many entries for fd, which may be closed once the ring is.
 * ops are the IORING_OP_* it may carry out. Costs about ten system calls, so
 * make it when there is work. Returns 0 or a negative errno: -ENOSYS or -EPERM
 * where the host has no io_uring for us.
 */
int uring_open(struct uring *u, unsigned entries, int fd, const uint8_t *ops,
	       unsigned op_count, struct err *e);

/*
 * Accepts a zeroed or closed ring. Nothing may be in flight, nothing watched:
 * the kernel finishes what is, after we return.
 */
void uring_close(struct uring *u);
