/*
 * Interrupts that can wait for others: a device whose first queue is for what
 * the driver sends, and the second for what it gets. The clock stands still
 * unless it is moved.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "devices/virtio/later.h"
#include "tests/unit/fake_kvm.h"
#include "tests/unit/toy.h"
#include "vmm/base/clock.h"

enum { SEND = 0, GET = 1 };

static struct fake_ring rings[TOY_QUEUES];
static uint64_t now_ns;

/* These stand for those of clock.c. */
uint64_t clock_now_ns(void)
{
	return now_ns;
}

uint64_t clock_cpu_ns(void)
{
	return now_ns;
}

void clock_rest(void)
{
	now_ns += 1000000;
}

/* Time passes, and timers that are due fire as they do in the loop. */
static void pass(uint64_t ns)
{
	struct loop_timer *t;

	now_ns += ns;
	while ((t = toy_host.loop.timers) && t->due_ns <= now_ns) {
		loop_disarm(&toy_host.loop, t);
		t->fire(t);
	}
}

static int setup(void **state)
{
	unsigned i;

	toy_setup(state);
	now_ns = 1000000000;
	toy->later = 1U << SEND;
	assert_int_equal(fake_driver_negotiate(&toy_host, TOY_FEATURES),
			 ST_FEATURES_OK);
	for (i = 0; i < TOY_QUEUES; i++) {
		fake_ring_init(&rings[i], &toy_host.mem, 0x1000 + i * 0x2000U,
			       TOY_QUEUE_MAX);
		fake_driver_queue(&toy_host, i, &rings[i]);
	}
	fake_write32(&toy_host, MMIO_STATUS, ST_DRIVER_OK);
	fake_host_turn(&toy_host, 8);
	(void)fake_kvm_take_edges();
	return 0;
}

/* One chain, served. How often the driver is interrupted for it. */
static unsigned use(unsigned queue)
{
	struct fake_ring *r = &rings[queue];

	fake_ring_desc(r, 0, 0x8000, 1, FAKE_WRITE, 0);
	fake_ring_offer(r, 0);
	toy_notify(queue);
	return fake_kvm_take_edges();
}

/* The interrupt's handler looks at all queues, and asks for the next. */
static void handle(void)
{
	uint32_t id, len;
	unsigned i;

	for (i = 0; i < TOY_QUEUES; i++) {
		while (fake_ring_take(&rings[i], &id, &len))
			;
		rings[i].avail[2 + rings[i].size] = rings[i].used_idx;
	}
}

static void what_was_sent_is_told_with_what_comes(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 100; i++) {
		assert_int_equal(use(SEND), 0);
		assert_int_equal(rings[SEND].used_head[1], i + 1);
		pass(50000);
		assert_int_equal(use(GET), 1);
		handle();
		pass(50000);
		assert_int_equal(fake_kvm_take_edges(), 0);
	}
	pass(10 * LATER_NS_MAX);
	assert_int_equal(fake_kvm_take_edges(), 0);
}

static void or_after_a_while(void **state)
{
	(void)state;
	assert_int_equal(use(SEND), 0);
	pass(LATER_NS_MAX);
	assert_int_equal(fake_kvm_take_edges(), 1);
	handle();
	pass(10 * LATER_NS_MAX);
	assert_int_equal(fake_kvm_take_edges(), 0);
}

/* Nothing ever comes: it sends again when it has its buffer back. */
static void who_waits_for_buffers_has_them_soon(void **state)
{
	const uint64_t begin = now_ns;
	unsigned i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		if (!use(SEND)) {
			pass(LATER_NS_MAX);
			assert_int_equal(fake_kvm_take_edges(), 1);
		}
		handle();
	}
	/* Waits of some length before which 2, 4, ..., 64 were told at once. */
	assert_in_range(now_ns - begin, LATER_NS_MAX, 24 * LATER_NS_MAX);
}

static void a_long_row_is_told_at_once(void **state)
{
	unsigned i;

	(void)state;
	for (i = 1; i < LATER_ROW_MAX; i++)
		assert_int_equal(use(SEND), 0);
	assert_int_equal(use(SEND), 1);
	pass(10 * LATER_NS_MAX);
	assert_int_equal(fake_kvm_take_edges(), 0);
}

static void who_does_not_ask_is_never_told(void **state)
{
	(void)state;
	rings[SEND].avail[2 + rings[SEND].size] = 1000;
	assert_int_equal(use(SEND), 0);
	assert_null(toy_host.loop.timers);
	assert_int_equal(use(GET), 1);
}

static void a_reset_ends_it(void **state)
{
	(void)state;
	assert_int_equal(use(SEND), 0);
	fake_write32(&toy_host, MMIO_STATUS, 0);
	pass(10 * LATER_NS_MAX);
	assert_int_equal(fake_kvm_take_edges(), 0);
}

/* What is owed when a machine is saved is told when it goes on. */
static void a_hold_keeps_it(void **state)
{
	(void)state;
	assert_int_equal(use(SEND), 0);
	assert_true(virtio_hold(&toy->virtio));
	virtio_release(&toy->virtio);
	/* And the cause, which was never acknowledged, once more. */
	assert_in_range(fake_kvm_take_edges(), 1, 2);
	pass(10 * LATER_NS_MAX);
	assert_int_equal(fake_kvm_take_edges(), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, toy_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(what_was_sent_is_told_with_what_comes),
		TEST(or_after_a_while),
		TEST(who_waits_for_buffers_has_them_soon),
		TEST(a_long_row_is_told_at_once),
		TEST(who_does_not_ask_is_never_told),
		TEST(a_reset_ends_it),
		TEST(a_hold_keeps_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
