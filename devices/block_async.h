#pragma once

#include "devices/block_request.h"
#include "vmm/event/uring.h"

/*
 * Carries out requests by io_uring (io_engine Async): many are in flight, the
 * loop thread waits for none, and a batch costs one system call.
 *
 * All functions: with the device's lock held.
 */
struct block_async {
	struct uring uring;
	bool is_inline;	    /* what does not block is done on submission */
	unsigned in_flight; /* begun and not yet told as done */
	unsigned unsent;    /* of those, not yet given to the kernel */
	/* r was done: 0 or a negative errno. May begin r again. */
	void (*done)(void *owner, struct block_request *r, int rc);
	void *owner; /* borrowed: the device */
};

/*
 * Makes the ring for at most depth requests in flight; a->done and a->owner are
 * set. Errors as uring_open(). The owner watches a->uring.
 */
int block_async_open(struct block_async *a, const struct block_file *f,
		     unsigned depth, struct err *e);

/* Nothing may be in flight. Accepts a zeroed or closed engine. */
void block_async_close(struct block_async *a);

/* Begins r->op, one of read, write and flush, at the next block_async_send() at
 * the latest. */
void block_async_begin(struct block_async *a, struct block_request *r);

/*
 * Gives what was begun to the kernel and tells what is done by now. False
 * where the kernel could not take all of it: try again soon.
 */
bool block_async_send(struct block_async *a);

/* Tells what is done by now. */
void block_async_reap(struct block_async *a);
