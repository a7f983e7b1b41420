/* One queue on a bench: the device's struct vq here, its driver there. */
#include "tests/unit/ring_bench.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmm/base/log.h"

struct fake_host host;
struct fake_ring q;
struct vq vq;
struct vq_chain chain;
unsigned faults;

void set_avail_idx(uint16_t idx)
{
	__atomic_store_n(&q.avail[1], idx, __ATOMIC_RELEASE);
}

void set_avail_flags(uint16_t flags)
{
	__atomic_store_n(&q.avail[0], flags, __ATOMIC_RELAXED);
}

void set_used_event(uint16_t event)
{
	__atomic_store_n(&q.avail[2 + q.size], event, __ATOMIC_RELAXED);
}

uint16_t used_idx(void)
{
	return __atomic_load_n(&q.used_head[1], __ATOMIC_ACQUIRE);
}

uint16_t used_flags(void)
{
	return __atomic_load_n(&q.used_head[0], __ATOMIC_RELAXED);
}

uint16_t avail_event(void)
{
	return __atomic_load_n(q.avail_event, __ATOMIC_RELAXED);
}

bool must_kick(uint16_t old, bool event_idx)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!event_idx)
		return !(used_flags() & 1);
	return (uint16_t)(q.avail_idx - avail_event() - 1) <
	       (uint16_t)(q.avail_idx - old);
}

void desc_at(uint64_t table, uint16_t i, uint64_t addr, uint32_t len,
	     uint16_t flags, uint16_t next)
{
	struct fake_desc *d =
		guest_mem_at(&host.mem, table + i * sizeof(*d), sizeof(*d));

	assert_non_null(d);
	*d = (struct fake_desc){addr, len, flags, next};
}

void count_fault(struct vq *which)
{
	assert_ptr_equal(which, &vq);
	assert_ptr_equal(which->device, &host);
	faults++;
}

int bench_setup(void **state)
{
	const struct log_config quiet = {.level = LOG_OFF};

	(void)state;
	fake_host_open(&host);
	return log_configure(&quiet, NULL);
}

int bench_teardown(void **state)
{
	(void)state;
	fake_host_close(&host);
	return 0;
}

void begin_with(uint16_t size, bool event_idx, bool indirect)
{
	fake_ring_init(&q, &host.mem, RING, size);
	vq_init(&vq, 3, VQ_SIZE_MAX, "test", count_fault, &host);
	vq.size = size;
	vq.desc_gpa = q.desc_gpa;
	vq.avail_gpa = q.avail_gpa;
	vq.used_gpa = q.used_gpa;
	assert_int_equal(vq_enable(&vq, &host.mem, event_idx, indirect), 0);
	assert_true(vq.ready);
	assert_false(vq.live);
	vq.live = true;
	faults = 0;
}

void begin(void)
{
	begin_with(SIZE, false, true);
}

void begin_apart(void)
{
	begin();
	vq.desc_gpa = q.desc_gpa = APART;
	q.desc = guest_mem_at(&host.mem, APART, 16 * (SIZE + 1));
	assert_int_equal(vq_enable(&vq, &host.mem, false, true), 0);
	vq.live = true;
	for (uint16_t i = 0; i <= SIZE; i++)
		fake_ring_desc(&q, i, BUFFERS, 1, 0, 0);
}

void expect_fault(void)
{
	uint16_t used = used_idx();

	assert_int_equal(vq_pop(&vq, &chain), -EPROTO);
	assert_int_equal(faults, 1);
	assert_int_equal(vq.faults, 1);
	assert_false(vq.live);
	assert_int_equal(vq_pop(&vq, &chain), 0);
	assert_false(vq_has_work(&vq));
	vq_push(&vq, 0, 0);
	assert_int_equal(used_idx(), used);
	assert_false(vq_must_notify(&vq));
	assert_false(vq_enable_kicks(&vq));
	assert_int_equal(faults, 1);
}

void offer_one(uint64_t addr, uint32_t len, uint16_t flags)
{
	fake_ring_desc(&q, 0, addr, len, flags, 0);
	fake_ring_offer(&q, 0);
}
