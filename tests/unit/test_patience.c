/*
 * How long a device waits for a row of requests before it interrupts: a disk,
 * a driver that takes its time from one request to the next, and a clock that
 * goes on when it is looked at, so that each run is the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/virtio/patience.h"
#include "tests/unit/block_bench.h"
#include "tests/unit/fake_kvm.h"
#include "vmm/base/clock.h"

enum { DEPTH_MAX = 64, LOOK_NS = 200, ROUNDS_MAX = 100000 };

/* The driver, and what it saw. */
static struct {
	uint64_t gap_ns;     /* from one offer to the next */
	uint64_t offered_ns; /* when the last one was */
	bool is_running;     /* it offers while the device waits */
	bool is_lying;	     /* it never says what it has looked at */
	bool has_events;     /* EVENT_IDX */
	uint16_t ahead;	     /* so many answers more it needs no word of */
	uint16_t spare[DEPTH_MAX]; /* heads */
	unsigned spare_count;
	unsigned count; /* so many in all */
	unsigned offered, done, interrupts, kicks;
} driver;

static uint64_t now_ns;

static bool may_offer(void)
{
	return driver.spare_count && driver.offered < driver.count;
}

static void offer(void)
{
	const uint16_t head = driver.spare[--driver.spare_count];
	const uint16_t old = ring.avail_idx;
	const uint16_t tail = head + 1;
	const uint32_t type = GET_ID;

	memcpy(sent + head * 8U, &type, sizeof(type));
	fake_ring_desc(&ring, head, SENT_GPA + head * 8U, 16, FAKE_NEXT, tail);
	fake_ring_desc(&ring, tail, GOT_GPA + head * 16U, 21, FAKE_WRITE, 0);
	fake_ring_offer(&ring, head);
	driver.offered++;
	driver.offered_ns = now_ns;
	if (driver.has_events ? *ring.avail_event != old
			      : ring.used_head[0] & 1)
		return;
	driver.kicks++;
	fake_write32(&host, MMIO_NOTIFY, 0);
}

/* Stands for the one of clock.c: each look takes a moment. */
uint64_t clock_now_ns(void)
{
	now_ns += LOOK_NS;
	if (driver.is_running && may_offer() &&
	    now_ns - driver.offered_ns >= driver.gap_ns)
		offer();
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

/* The interrupt's handler: takes all there is, and asks for the next. */
static void take(void)
{
	uint32_t id, len;

	while (fake_ring_take(&ring, &id, &len)) {
		assert_int_equal(len, 21);
		assert_int_equal(got[id * 16 + 20], OK);
		driver.spare[driver.spare_count++] = (uint16_t)id;
		driver.done++;
	}
	if (driver.has_events && !driver.is_lying)
		ring.avail[2 + ring.size] = ring.used_idx + driver.ahead;
}

static void start(unsigned depth, uint64_t gap_ns, unsigned count)
{
	unsigned i;

	driver.count = count;
	driver.gap_ns = gap_ns;
	driver.spare_count = 0;
	for (i = 0; i < depth; i++)
		driver.spare[driver.spare_count++] = (uint16_t)(2 * i);
	driver.offered = driver.done = driver.interrupts = driver.kicks = 0;
	(void)fake_kvm_take_edges();
}

/* Has count requests answered, at most depth of them under way at once. */
static void run(unsigned depth, uint64_t gap_ns, unsigned count)
{
	unsigned rounds;

	start(depth, gap_ns, count);
	for (rounds = 0; driver.done < count; rounds++) {
		assert_in_range(rounds, 0, ROUNDS_MAX);
		if (may_offer())
			offer();
		driver.is_running = true;
		assert_in_range(fake_host_turn(&host, 8), 0, 7);
		driver.is_running = false;
		/* It comes while the driver is busy with the next one. */
		if (fake_kvm_take_edges()) {
			driver.interrupts++;
			if (may_offer())
				offer();
			take();
		}
		now_ns += driver.gap_ns;
	}
}

static void up_with(uint64_t features)
{
	struct err e;

	memset(&driver, 0, sizeof(driver));
	assert_int_equal(open_disk("rootfs", false, true, &e), 0);
	up(features);
	driver.has_events = features & FAKE_F_EVENT_IDX;
	fake_host_turn(&host, 8);
}

static void who_waits_for_each_answer_has_it_at_once(void **state)
{
	uint64_t begin;

	(void)state;
	up_with(FAKE_F_EVENT_IDX);
	begin = now_ns;
	run(1, 3000, 500);
	assert_int_equal(driver.interrupts, 500);
	assert_int_equal(driver.kicks, 500);
	/* Besides the driver's own time a few looks at the clock each. */
	assert_in_range(now_ns - begin, 0, 500 * (3000 + 5 * LOOK_NS));
}

static void a_row_is_answered_by_one_interrupt(void **state)
{
	static const uint64_t gaps[] = {500, 3000, 20000, 100000};
	unsigned i;

	(void)state;
	up_with(FAKE_F_EVENT_IDX);
	for (i = 0; i < 4; i++) {
		run(32, gaps[i], 500); /* it learns */
		run(32, gaps[i], 2000);
		/* The slowest uses a turn up before its row is full. */
		assert_in_range(driver.interrupts, 1, driver.done / 6);
		assert_in_range(driver.kicks, 0, driver.done / 6);
	}
}

static void few_under_way_are_not_waited_for_in_vain(void **state)
{
	uint64_t begin;
	unsigned depth;

	(void)state;
	up_with(FAKE_F_EVENT_IDX);
	for (depth = 2; depth <= 8; depth *= 2) {
		run(depth, 3000, 1000);
		begin = now_ns;
		run(depth, 3000, 2000);
		assert_in_range(driver.interrupts, 1, driver.done);
		/* Less than a tenth of it more than the driver takes. */
		assert_in_range(now_ns - begin, 0, driver.done * 3300ULL);
	}
}

static void who_becomes_slow_is_given_up_soon(void **state)
{
	uint64_t begin;

	(void)state;
	up_with(FAKE_F_EVENT_IDX);
	run(32, 3000, 2000);
	begin = now_ns;
	run(1, 3000, 100);
	assert_int_equal(driver.interrupts, 100);
	/* One wait in vain, of a few times what the driver took before. */
	assert_in_range(now_ns - begin, 0,
			100 * (3000 + 5 * LOOK_NS) + 5 * 3000);
}

/* One request each time just before the device gives up, without end. */
static void a_turn_ends_whatever_the_driver_does(void **state)
{
	uint64_t begin, longest = 0;
	unsigned i;

	(void)state;
	up_with(FAKE_F_EVENT_IDX);
	driver.is_lying = true;
	start(DEPTH_MAX, PATIENCE_NS_MAX - 2 * LOOK_NS, ROUNDS_MAX);
	for (i = 0; i < 500; i++) {
		if (may_offer())
			offer();
		begin = now_ns;
		driver.is_running = true;
		fake_host_turn(&host, 1);
		driver.is_running = false;
		if (now_ns - begin > longest)
			longest = now_ns - begin;
		take();
	}
	assert_true(longest > 0);
	assert_in_range(longest, 1, 3 * PATIENCE_NS_MAX);
}

/* Indices have 16 bits, and rows lie across their end. */
static void a_row_across_the_end_of_indices_is_told(void **state)
{
	(void)state;
	up_with(FAKE_F_EVENT_IDX);
	run(32, 500, ROUNDS_MAX);
	run(32, 500, ROUNDS_MAX);
	assert_in_range(driver.interrupts, 1, driver.done / 6);
}

/*
 * A driver that asks for the last of its requests' answers makes no more before
 * that: however long a row was hoped for, it is told.
 */
static void who_asks_for_a_later_answer_has_it(void **state)
{
	unsigned i, ahead;

	(void)state;
	up_with(FAKE_F_EVENT_IDX);
	run(32, 3000, 2000);
	for (ahead = 0; ahead < DEPTH_MAX; ahead++) {
		driver.ahead = (uint16_t)ahead;
		ring.avail[2 + ring.size] = ring.used_idx + driver.ahead;
		start(ahead + 1, 3000, 50 * (ahead + 1));
		for (i = 0; i < 50; i++) {
			while (driver.spare_count)
				offer();
			fake_host_turn(&host, 8);
			assert_int_equal(fake_kvm_take_edges(), 1);
			take();
			assert_int_equal(driver.done, (i + 1) * (ahead + 1));
		}
	}
}

/* One that asks for what is behind it, or for all of a round more, lies. */
static void any_used_event_leaves_the_device_at_work(void **state)
{
	uint64_t begin;
	unsigned i;

	(void)state;
	up_with(FAKE_F_EVENT_IDX);
	run(32, 3000, 2000);
	driver.is_lying = true;
	begin = now_ns;
	for (i = 0; i < 0x10000; i += 0x101) {
		start(8, 3000, 8);
		while (driver.spare_count)
			offer();
		ring.avail[2 + ring.size] = (uint16_t)i;
		fake_host_turn(&host, 8);
		take();
		assert_int_equal(driver.done, 8);
	}
	assert_in_range(now_ns - begin, 0, 0x100 * PATIENCE_NS_MAX);
}

static void without_event_idx_there_is_no_wait(void **state)
{
	uint64_t begin;

	(void)state;
	up_with(0);
	begin = now_ns;
	run(32, 3000, 500);
	/* One more is made while the first one's interrupt comes. */
	assert_in_range(driver.interrupts, driver.done / 2, driver.done);
	assert_in_range(now_ns - begin, 0, driver.done * (3000 + 5 * LOOK_NS));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(who_waits_for_each_answer_has_it_at_once),
		TEST(a_row_is_answered_by_one_interrupt),
		TEST(few_under_way_are_not_waited_for_in_vain),
		TEST(who_becomes_slow_is_given_up_soon),
		TEST(a_turn_ends_whatever_the_driver_does),
		TEST(a_row_across_the_end_of_indices_is_told),
		TEST(who_asks_for_a_later_answer_has_it),
		TEST(any_used_event_leaves_the_device_at_work),
		TEST(without_event_idx_there_is_no_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
