/*
 * A token bucket kept as one moment in time (the "generic cell rate algorithm",
 * ITU-T I.371): a bucket that is full at moment F holds, at now < F, its size
 * less what flows in until F. Taking tokens moves F; time fills the bucket
 * without anyone counting. So the rate is exact whatever the sizes of requests
 * and the moments of calls, and there is no refill to round.
 */
#include "vmm/event/bucket.h"

#define NS_PER_MS  1000000ULL
#define CENTURY_NS (100ULL * 365 * 24 * 3600 * 1000 * NS_PER_MS)
/* More than a bucket takes to fill, and two of it are less than 64 bits. */
#define OWED_MAX_NS (2 * CENTURY_NS)

typedef unsigned __int128 wide;

void bucket_init(struct bucket *b, uint64_t size, uint64_t burst,
		 uint64_t refill_ms)
{
	*b = (struct bucket){
		.size = size,
		.burst_size = burst,
		.burst = burst,
	};
	b->refill_ns = refill_ms < CENTURY_NS / NS_PER_MS
			       ? refill_ms * NS_PER_MS
			       : CENTURY_NS;
}

bool bucket_is_limited(const struct bucket *b)
{
	return b->size && b->refill_ns;
}

uint64_t bucket_wait_ns(const struct bucket *b, uint64_t n, uint64_t now_ns)
{
	uint64_t ahead, room;

	if (!bucket_is_limited(b) || n <= b->burst)
		return 0;
	n -= b->burst;
	if (n > b->size)
		n = 0;
	if (b->full_ns < now_ns)
		return 0;
	ahead = b->full_ns - now_ns + (b->fraction != 0);
	/* F may lie that far ahead with n tokens still in. */
	room = (uint64_t)((wide)(b->size - n) * b->refill_ns / b->size);
	return ahead > room ? ahead - room : 0;
}

void bucket_take(struct bucket *b, uint64_t n, uint64_t now_ns)
{
	wide owed;

	if (!bucket_is_limited(b))
		return;
	if (n <= b->burst) {
		b->burst -= n;
		return;
	}
	n -= b->burst;
	b->burst = 0;
	if (b->full_ns < now_ns) {
		b->full_ns = now_ns;
		b->fraction = 0;
	}
	owed = (wide)n * b->refill_ns + b->fraction;
	b->fraction = (uint64_t)(owed % b->size);
	owed /= b->size;
	if (owed > OWED_MAX_NS)
		owed = OWED_MAX_NS;
	b->full_ns += (uint64_t)owed;
	if (b->full_ns > now_ns + OWED_MAX_NS)
		b->full_ns = now_ns + OWED_MAX_NS;
}

struct bucket_rest bucket_rest(const struct bucket *b, uint64_t now_ns)
{
	struct bucket_rest r = {0};

	if (!bucket_is_limited(b))
		return r;
	r.burst = b->burst;
	if (b->full_ns < now_ns)
		return r;
	r.ahead_ns = b->full_ns - now_ns;
	r.fraction = b->fraction;
	return r;
}

void bucket_set_rest(struct bucket *b, const struct bucket_rest *r,
		     uint64_t now_ns)
{
	if (!bucket_is_limited(b))
		return;
	b->burst = r->burst < b->burst_size ? r->burst : b->burst_size;
	b->fraction = r->fraction < b->size ? r->fraction : 0;
	b->full_ns = now_ns +
		     (r->ahead_ns < OWED_MAX_NS ? r->ahead_ns : OWED_MAX_NS);
}
