#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * A token bucket: it holds up to size tokens, starts full, and fills at the
 * rate of size tokens in refill_ns. A burst is a second bucket above it that is
 * emptied first and never filled again. Time is an argument, so that nothing
 * here waits or asks for it.
 */
struct bucket {
	uint64_t size;	     /* tokens; 0: no limit */
	uint64_t refill_ns;  /* from empty to full; 0: no limit */
	uint64_t burst_size; /* tokens of the burst at first */
	uint64_t burst;	     /* tokens left of it */
	/*
	 * The moment when the bucket is full again, and beyond it a fraction
	 * of a nanosecond in units of 1/size. Up to refill_ns in the future
	 * there are tokens left; further, what was taken is owed.
	 */
	uint64_t full_ns;
	uint64_t fraction;
};

/*
 * What a bucket tells of itself without saying what time it is: for whoever
 * goes on with it at another time, or elsewhere.
 */
struct bucket_rest {
	uint64_t burst;
	uint64_t ahead_ns; /* until it is full */
	uint64_t fraction;
};

/*
 * Fills b anew. A size or a refill time of 0 means no limit; times too long
 * for 64 bits of nanoseconds are cut to a century.
 */
void bucket_init(struct bucket *b, uint64_t size, uint64_t burst,
		 uint64_t refill_ms);

bool bucket_is_limited(const struct bucket *b);

/*
 * In how many nanoseconds n tokens can be taken: 0 for now. More than fit into
 * the bucket can be taken when nothing is owed, which then is owed.
 */
uint64_t bucket_wait_ns(const struct bucket *b, uint64_t n, uint64_t now_ns);

/* Takes n tokens, whether they are there or not. */
void bucket_take(struct bucket *b, uint64_t n, uint64_t now_ns);

/* What is left in b; of one without a limit, zeroes. */
struct bucket_rest bucket_rest(const struct bucket *b, uint64_t now_ns);

/*
 * Leaves in b what r says, as if it had been so until now. r may be anybody's,
 * and b of another size: what can't be of b is cut to what can.
 */
void bucket_set_rest(struct bucket *b, const struct bucket_rest *r,
		     uint64_t now_ns);
