/* See later.h. */
#include "devices/virtio/later.h"

#include "vmm/base/clock.h"

enum { USUALS = 4, FAILURES_MAX = 6 };

/* Before one was seen. */
#define USUAL_NS_FIRST 100000U

static uint64_t patience_of(const struct later *l)
{
	const uint64_t ns = l->usual_ns * USUALS;

	return ns < LATER_NS_MAX ? ns : LATER_NS_MAX;
}

bool later_put_off(struct later *l, struct loop *loop, const struct vq *vq)
{
	const uint16_t n = vq_unseen(vq);

	if (!n || n >= LATER_ROW_MAX)
		return false;
	if (l->skips) {
		l->skips--;
		return false;
	}
	if (!l->usual_ns)
		l->usual_ns = USUAL_NS_FIRST;
	if (!l->queues)
		l->begin_ns = clock_now_ns();
	l->queues |= 1U << vq->index;
	/* One that is armed is left alone, and looks again when it fires. */
	if (!l->timer.due_ns)
		loop_arm(loop, &l->timer, l->begin_ns + patience_of(l));
	return true;
}

bool later_is_due(struct later *l, struct loop *loop)
{
	const uint64_t due = l->begin_ns + patience_of(l);

	if (!l->queues)
		return false;
	/* It was armed for one before. */
	if (due > clock_now_ns()) {
		loop_arm(loop, &l->timer, due);
		return false;
	}
	if (l->failures < FAILURES_MAX)
		l->failures++;
	l->skips = 1U << l->failures;
	return true;
}

void later_told(struct later *l, struct vq *queues)
{
	unsigned i;

	if (!l->queues)
		return;
	for (i = 0; l->queues; i++) {
		if (l->queues & 1U << i)
			(void)vq_must_notify(&queues[i]);
		l->queues &= ~(1U << i);
	}
	l->failures = 0;
	l->usual_ns = (l->usual_ns * 7 + clock_now_ns() - l->begin_ns) / 8;
}
