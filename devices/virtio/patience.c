/* See patience.h. */
#include "devices/virtio/patience.h"

#include "vmm/arch/host/host.h"
#include "vmm/base/clock.h"

enum { NEEDED_MIN = 4, NEEDED_MAX = 64, GAPS = 4 };

/* Before anything was seen: a request of a guest on good hardware. */
#define GAP_NS_FIRST 5000U

/*
 * The longest row that the driver has not looked at, of the queues whose next
 * interrupt it waits for; 0 where it waits for none.
 */
static unsigned longest_row(const struct virtio *v)
{
	unsigned longest = 0, n, i;

	for (i = 0; i < v->queue_count; i++) {
		n = vq_unseen(&v->queues[i]);
		if (n > longest)
			longest = n;
	}
	return longest;
}

static bool has_work(struct virtio *v)
{
	unsigned i;

	for (i = 0; i < v->queue_count; i++)
		if (vq_has_work(&v->queues[i]))
			return true;
	return false;
}

/* How long the driver took for one request more. */
static void learn(struct patience *p, uint64_t ns)
{
	if (ns <= PATIENCE_NS_MAX)
		p->gap_ns = (p->gap_ns * 3 + ns) / 4;
}

void patience_begin(struct patience *p, const struct virtio *v)
{
	const uint64_t idle = p->idle_ns;
	unsigned i;

	p->idle_ns = 0;
	for (i = 0; idle && i < v->queue_count; i++) {
		if (vq_under_way(&v->queues[i]) < 2)
			continue;
		learn(p, clock_now_ns() - idle);
		return;
	}
}

/* The row is as long as was hoped, or longer. */
static void succeed(struct patience *p, unsigned n)
{
	if (n > p->row) {
		p->row = n;
		p->successes = 0;
	} else if (p->row > 1 && ++p->successes >= p->needed) {
		p->row *= 2;
		p->successes = 0;
	}
	if (p->row > PATIENCE_ROW_MAX)
		p->row = PATIENCE_ROW_MAX;
}

/* The driver has stopped before. */
static void fail(struct patience *p, unsigned n)
{
	p->row = n;
	p->successes = 0;
	p->needed *= 2;
	if (p->needed > NEEDED_MAX)
		p->needed = NEEDED_MAX;
}

bool patience_for_more(struct patience *p, struct virtio *v, uint64_t *spent_ns)
{
	const unsigned n = longest_row(v);
	uint64_t begin, now, limit;
	bool has_more;

	if (!p->row)
		*p = (struct patience){
			.row = 1, .needed = NEEDED_MIN, .gap_ns = GAP_NS_FIRST};
	if (!n)
		return false;
	if (n >= p->row) {
		succeed(p, n);
		p->idle_ns = clock_now_ns();
		return false;
	}
	limit = p->gap_ns * GAPS;
	if (limit > PATIENCE_NS_MAX)
		limit = PATIENCE_NS_MAX;
	begin = now = clock_now_ns();
	while (!(has_more = has_work(v)) && now - begin < limit) {
		host_relax();
		now = clock_now_ns();
	}
	*spent_ns += now - begin;
	if (has_more)
		learn(p, now - begin);
	else
		fail(p, n);
	p->idle_ns = has_more ? 0 : now;
	return has_more;
}
