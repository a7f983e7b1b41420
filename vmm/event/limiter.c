/* Two buckets and the timer that is armed for the moment both can give. */
#include "vmm/event/limiter.h"

#include <stddef.h>

static void timer_fired(struct loop_timer *t)
{
	struct limiter *l =
		(void *)((char *)t - offsetof(struct limiter, timer));

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
		loop_arm(l->loop, &l->timer, loop_now_ns());
}

bool limiter_is_limited(const struct limiter *l)
{
	return bucket_is_limited(&l->bytes) || bucket_is_limited(&l->ops);
}

bool limiter_take(struct limiter *l, uint64_t bytes)
{
	uint64_t now, wait, wait_ops;

	if (!l->loop || !limiter_is_limited(l))
		return true;
	if (l->timer.due_ns)
		return false;
	now = loop_now_ns();
	wait = bucket_wait_ns(&l->bytes, bytes, now);
	wait_ops = bucket_wait_ns(&l->ops, 1, now);
	if (wait_ops > wait)
		wait = wait_ops;
	if (wait) {
		l->throttled++;
		loop_arm(l->loop, &l->timer, now + wait);
		return false;
	}
	bucket_take(&l->bytes, bytes, now);
	bucket_take(&l->ops, 1, now);
	return true;
}
