/* Two buckets and the timer that is armed for the moment both can give. */
#include "vmm/event/limiter.h"

#include "vmm/base/clock.h"
#include "vmm/base/container.h"

static void timer_fired(struct loop_timer *t)
{
	struct limiter *l = container_of(t, struct limiter, timer);

	l->ready(l);
}

void limiter_start(struct limiter *l, struct loop *loop)
{
	l->loop = loop;
	l->timer.fire = timer_fired;
}

void limiter_stop(struct limiter *l)
{
	if (l->loop)
		loop_disarm(l->loop, &l->timer);
	l->loop = NULL;
}

static void set_bucket(struct bucket *b, const struct limiter_bucket *config)
{
	if (config->is_given)
		bucket_init(b, config->size, config->burst, config->refill_ms);
}

void limiter_set(struct limiter *l, const struct limiter_config *config)
{
	set_bucket(&l->bytes, &config->bytes);
	set_bucket(&l->ops, &config->ops);
	if (l->loop && l->timer.due_ns)
		loop_arm(l->loop, &l->timer, clock_now_ns());
}

bool limiter_is_limited(const struct limiter *l)
{
	return bucket_is_limited(&l->bytes) || bucket_is_limited(&l->ops);
}

/*
 * Whether one operation of so many bytes can be taken now; where not, the
 * timer is armed for the moment it can.
 */
static bool may_take(struct limiter *l, uint64_t bytes, uint64_t now)
{
	uint64_t wait, wait_ops;

	wait = bucket_wait_ns(&l->bytes, bytes, now);
	wait_ops = bucket_wait_ns(&l->ops, 1, now);
	if (wait_ops > wait)
		wait = wait_ops;
	if (!wait)
		return true;
	l->throttled++;
	loop_arm(l->loop, &l->timer, now + wait);
	return false;
}

bool limiter_take(struct limiter *l, uint64_t bytes)
{
	uint64_t now;

	if (!l->loop || !limiter_is_limited(l))
		return true;
	if (limiter_is_waiting(l))
		return false;
	now = clock_now_ns();
	if (!may_take(l, bytes, now))
		return false;
	bucket_take(&l->bytes, bytes, now);
	bucket_take(&l->ops, 1, now);
	return true;
}

bool limiter_may(struct limiter *l)
{
	if (!l->loop || !limiter_is_limited(l))
		return true;
	/* A byte: with none of them left, or some owed, it is refused. */
	return !limiter_is_waiting(l) && may_take(l, 1, clock_now_ns());
}

void limiter_charge(struct limiter *l, uint64_t bytes)
{
	uint64_t now;

	if (!l->loop || !limiter_is_limited(l))
		return;
	now = clock_now_ns();
	bucket_take(&l->bytes, bytes, now);
	bucket_take(&l->ops, 1, now);
}

bool limiter_try(struct limiter *l, uint64_t bytes)
{
	const uint64_t now = clock_now_ns();

	if (bucket_wait_ns(&l->bytes, bytes, now) ||
	    bucket_wait_ns(&l->ops, 1, now)) {
		l->throttled++;
		return false;
	}
	bucket_take(&l->bytes, bytes, now);
	bucket_take(&l->ops, 1, now);
	return true;
}

bool limiter_is_waiting(const struct limiter *l)
{
	return l->timer.due_ns;
}

struct limiter_rest limiter_rest(const struct limiter *l)
{
	const uint64_t now = clock_now_ns();

	return (struct limiter_rest){
		.bytes = bucket_rest(&l->bytes, now),
		.ops = bucket_rest(&l->ops, now),
	};
}

void limiter_set_rest(struct limiter *l, const struct limiter_rest *r)
{
	const uint64_t now = clock_now_ns();

	bucket_set_rest(&l->bytes, &r->bytes, now);
	bucket_set_rest(&l->ops, &r->ops, now);
	if (l->loop)
		loop_disarm(l->loop, &l->timer);
}
