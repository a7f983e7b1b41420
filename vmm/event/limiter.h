#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/event/bucket.h"
#include "vmm/event/loop.h"

/*
 * Holds a device's back end to so many bytes and operations a second. The owner
 * asks before each piece of work; refused, it leaves the work where it is and
 * goes on when ready() is called, at the very moment the tokens are there.
 * Thread: the loop's.
 */
struct limiter {
	struct bucket bytes;
	struct bucket ops;
	struct loop *loop; /* borrowed: main; NULL while not started */
	struct loop_timer timer;
	/* The owner's, set before limiter_start(). In the loop thread. */
	void (*ready)(struct limiter *l);
	uint64_t throttled; /* how often work was refused */
};

/* What a limiter is set to; a bucket that is not given stays as it is. */
struct limiter_bucket {
	uint64_t size;
	uint64_t burst;
	uint64_t refill_ms;
	bool is_given;
};

struct limiter_config {
	struct limiter_bucket bytes;
	struct limiter_bucket ops;
};

/* From now on l can wait. Accepts a zeroed limiter but for ready: no limit. */
void limiter_start(struct limiter *l, struct loop *loop);

/* Waits no more. Accepts a limiter that was not started. */
void limiter_stop(struct limiter *l);

/*
 * Sets the buckets that are given, full; one of size 0 is no limit. Whoever is
 * waiting is called, soon, to ask again.
 */
void limiter_set(struct limiter *l, const struct limiter_config *config);

bool limiter_is_limited(const struct limiter *l);

/*
 * Takes one operation of so many bytes from both buckets, or from none: then
 * ready() will be called. While it waits, whatever is asked is refused.
 */
bool limiter_take(struct limiter *l, uint64_t bytes);

/*
 * For work whose size shows only when it is done: limiter_may() asks whether
 * anything may be taken now, and refuses as limiter_take() does; then
 * limiter_charge() takes one operation of so many bytes, and what was not there
 * is owed, so that the rate holds all the same.
 */
bool limiter_may(struct limiter *l);
void limiter_charge(struct limiter *l, uint64_t bytes);

/*
 * Takes as limiter_take() does, or refuses, and that is all: who is refused
 * asks again by itself. Thread: any, under the owner's lock.
 */
bool limiter_try(struct limiter *l, uint64_t bytes);

/* Whether it refused and has not called ready() yet: no use in asking. */
bool limiter_is_waiting(const struct limiter *l);

/* What is left in a limiter's buckets, as bucket_rest(). */
struct limiter_rest {
	struct bucket_rest bytes;
	struct bucket_rest ops;
};

struct limiter_rest limiter_rest(const struct limiter *l);

/*
 * As bucket_set_rest(). Whoever was refused before is forgotten, and has to ask
 * again by itself.
 */
void limiter_set_rest(struct limiter *l, const struct limiter_rest *r);
