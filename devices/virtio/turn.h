#pragma once

#include <stdbool.h>

/*
 * Whose turn it is among queues that share something which can run out: a
 * limiter's tokens, room for requests in flight, the loop thread's patience.
 * Served in the order of their numbers the first would have it all. So each
 * gets a share in its turn, and where the round ended it goes on the next time:
 * with the queue that was refused, since what it waits for was counted out for
 * it, or behind it where it had some of its share.
 *
 *	for (i = 0; i < count && !is_over; i++) {
 *		at = turn_at(&t, i, count);
 *		…
 *	}
 *	turn_ends(&t, at, took_some, count);
 */
struct turn {
	unsigned first;
};

/* Who is the i-th of this round. */
static inline unsigned turn_at(const struct turn *t, unsigned i, unsigned count)
{
	return (t->first + i) % count;
}

static inline void turn_ends(struct turn *t, unsigned at, bool took_some,
			     unsigned count)
{
	t->first = (at + took_some) % count;
}
