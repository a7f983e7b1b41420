/* Limiters and the loop's timers, in real time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "tests/unit/late.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/event/limiter.h"

#define MS 1000000ULL

static struct loop loop;
static struct limiter l;
static uint64_t taken, goal, request;

static int setup(void **state)
{
	(void)state;
	memset(&l, 0, sizeof(l));
	taken = 0;
	return loop_open(&loop, NULL);
}

static int teardown(void **state)
{
	(void)state;
	limiter_stop(&l);
	assert_null(loop.timers);
	loop_close(&loop);
	return 0;
}

static void work(struct limiter *limiter)
{
	while (taken < goal && limiter_take(limiter, request))
		taken += request;
	if (taken >= goal)
		loop_stop(&loop);
}

/* How long the loop takes to get the goal through, in nanoseconds. */
static uint64_t run_for(uint64_t bytes, uint64_t each)
{
	const uint64_t begin = clock_now_ns();

	goal = bytes;
	request = each;
	work(&l);
	if (taken < goal)
		assert_int_equal(loop_run(&loop, NULL), 0);
	return clock_now_ns() - begin;
}

static void set(uint64_t bytes, uint64_t ops, uint64_t burst, uint64_t ms)
{
	const struct limiter_config config = {
		.bytes = {bytes, burst, ms, true},
		.ops = {ops, burst, ms, true},
	};

	l.ready = work;
	limiter_set(&l, &config);
}

static void without_limits_all_passes(void **state)
{
	(void)state;
	limiter_start(&l, &loop);
	assert_false(limiter_is_limited(&l));
	assert_true(limiter_take(&l, UINT64_MAX));
	assert_int_equal(l.throttled, 0);
}

static void bytes_are_held_to_the_rate(void **state)
{
	uint64_t ns;

	(void)state;
	set(10000, 0, 0, 10);
	limiter_start(&l, &loop);
	/* The first 10,000 are there; the rest flows at 1,000 a millisecond. */
	ns = run_for(210000, 1000);
	assert_in_range(ns, 199 * MS, LATE_NS);
	assert_true(l.throttled > 0);
}

static void operations_are_held_to_the_rate(void **state)
{
	(void)state;
	set(0, 10, 0, 10);
	limiter_start(&l, &loop);
	assert_in_range(run_for(110, 1), 99 * MS, LATE_NS);
}

static void the_scarcer_bucket_counts_and_neither_is_robbed(void **state)
{
	(void)state;
	set(1000000, 1, 0, 1000);
	limiter_start(&l, &loop);
	assert_true(limiter_take(&l, 10));
	assert_false(limiter_take(&l, 10));
	assert_false(limiter_take(&l, 10));
	assert_int_equal(l.throttled, 1);
	/* Of the bytes only those of the first were taken. */
	assert_int_equal(bucket_wait_ns(&l.bytes, 999990, clock_now_ns()), 0);
}

static void charge(struct limiter *limiter)
{
	while (taken < goal && limiter_may(limiter)) {
		limiter_charge(limiter, request);
		taken += request;
	}
	if (taken >= goal)
		loop_stop(&loop);
}

static void what_is_charged_later_keeps_the_rate(void **state)
{
	const uint64_t begin = clock_now_ns();

	(void)state;
	/* Pieces of 30,000 through a bucket of 10,000, 1,000 a ms. */
	set(10000, 0, 0, 10);
	l.ready = charge;
	limiter_start(&l, &loop);
	goal = 220000;
	request = 30000;
	charge(&l);
	assert_int_equal(taken, 30000);
	assert_true(limiter_is_waiting(&l));
	assert_int_equal(loop_run(&loop, NULL), 0);
	/* The eighth passes when all but the last byte of seven is paid. */
	assert_in_range(clock_now_ns() - begin, 199 * MS, LATE_NS);
	assert_false(limiter_is_waiting(&l));
}

static void what_is_charged_later_counts_operations_too(void **state)
{
	(void)state;
	set(0, 10, 20, 100);
	limiter_start(&l, &loop);
	while (limiter_may(&l)) {
		limiter_charge(&l, 1000000);
		taken++;
	}
	/* The burst, the bucket, and no more. */
	assert_int_equal(taken, 30);
	assert_int_equal(l.throttled, 1);
}

static void new_limits_wake_who_waits(void **state)
{
	const struct limiter_config none = {.bytes = {0, 0, 0, true}};

	(void)state;
	set(1, 0, 0, 3600000);
	limiter_start(&l, &loop);
	goal = 100;
	request = 1;
	work(&l);
	assert_int_equal(taken, 1);
	limiter_set(&l, &none);
	assert_int_equal(loop_run(&loop, NULL), 0);
	assert_int_equal(taken, 100);
}

static void a_bucket_not_given_stays(void **state)
{
	const struct limiter_config ops = {.ops = {5, 0, 1000, true}};

	(void)state;
	set(1000, 0, 0, 1000);
	limiter_set(&l, &ops);
	assert_int_equal(l.bytes.size, 1000);
	assert_int_equal(l.ops.size, 5);
}

static void a_stopped_limiter_wakes_nobody(void **state)
{
	(void)state;
	set(1, 0, 0, 5);
	limiter_start(&l, &loop);
	assert_true(limiter_take(&l, 1));
	assert_false(limiter_take(&l, 1));
	assert_non_null(loop.timers);
	limiter_stop(&l);
	assert_null(loop.timers);
}

static void what_is_left_goes_on_elsewhere(void **state)
{
	struct limiter other = {.ready = work};
	struct limiter_rest rest;

	(void)state;
	set(1000, 3, 0, 3600000);
	limiter_start(&l, &loop);
	assert_true(limiter_take(&l, 400));
	assert_true(limiter_take(&l, 400));
	rest = limiter_rest(&l);
	/* One that waits for what is no more is asked anew. */
	limiter_set(&other,
		    &(struct limiter_config){.bytes = {1000, 0, 3600000, true},
					     .ops = {3, 0, 3600000, true}});
	limiter_start(&other, &loop);
	assert_true(limiter_take(&other, 1000));
	assert_false(limiter_take(&other, 1));
	limiter_set_rest(&other, &rest);
	assert_false(limiter_is_waiting(&other));
	assert_true(limiter_take(&other, 200));
	assert_false(limiter_take(&other, 1));
	/* And of operations, which are all gone. */
	rest.bytes = (struct bucket_rest){0};
	limiter_set_rest(&other, &rest);
	assert_true(limiter_take(&other, 1));
	assert_false(limiter_take(&other, 1));
	limiter_stop(&other);
}

/* ---- the loop's timers ----------------------------------------------------
 */

enum { TIMERS = 5 };

static struct loop_timer timers[TIMERS];
static unsigned order[16], fired;

static void note(struct loop_timer *t)
{
	assert_int_equal(t->due_ns, 0);
	order[fired++] = (unsigned)(t - timers);
	if (fired == TIMERS)
		loop_stop(&loop);
}

static void timers_fire_in_order_and_not_early(void **state)
{
	static const uint64_t after[TIMERS] = {9, 3, 12, 3, 0};
	static const unsigned want[TIMERS] = {4, 1, 3, 0, 2};
	const uint64_t now = clock_now_ns();
	unsigned i;

	(void)state;
	fired = 0;
	for (i = 0; i < TIMERS; i++) {
		timers[i] = (struct loop_timer){.fire = note};
		loop_arm(&loop, &timers[i], now + after[i] * MS);
	}
	assert_int_equal(loop_run(&loop, NULL), 0);
	assert_memory_equal(order, want, sizeof(want));
	assert_in_range(clock_now_ns() - now, 12 * MS, LATE_NS);
}

static void a_timer_is_armed_anew_or_not_at_all(void **state)
{
	const uint64_t now = clock_now_ns();
	unsigned i;

	(void)state;
	fired = 0;
	for (i = 0; i < TIMERS; i++) {
		timers[i] = (struct loop_timer){.fire = note};
		loop_arm(&loop, &timers[i], now + (i + 1) * MS);
	}
	loop_arm(&loop, &timers[0], now + 10 * MS);
	loop_disarm(&loop, &timers[2]);
	loop_disarm(&loop, &timers[2]);
	fired = 1;
	assert_int_equal(loop_run(&loop, NULL), 0);
	assert_int_equal(order[1], 1);
	assert_int_equal(order[2], 3);
	assert_int_equal(order[3], 4);
	assert_int_equal(order[4], 0);
}

static unsigned watched;

static void again_at_once(struct loop_timer *t)
{
	loop_arm(&loop, t, 1);
}

static void on_watch(struct loop_watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	if (++watched == 3)
		loop_stop(&loop);
}

static void a_timer_that_always_fires_keeps_no_watch_out(void **state)
{
	struct loop_timer t = {.fire = again_at_once};
	struct loop_watch w = {.ready = on_watch};
	int fd = eventfd(1, EFD_CLOEXEC);

	(void)state;
	watched = 0;
	assert_int_equal(loop_add(&loop, &w, fd, EPOLLIN, NULL), 0);
	loop_arm(&loop, &t, 1);
	assert_int_equal(loop_run(&loop, NULL), 0);
	assert_int_equal(watched, 3);
	loop_disarm(&loop, &t);
	loop_delete(&loop, &w);
	fd_close(&fd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(without_limits_all_passes),
		TEST(bytes_are_held_to_the_rate),
		TEST(operations_are_held_to_the_rate),
		TEST(the_scarcer_bucket_counts_and_neither_is_robbed),
		TEST(what_is_charged_later_keeps_the_rate),
		TEST(what_is_charged_later_counts_operations_too),
		TEST(new_limits_wake_who_waits),
		TEST(a_bucket_not_given_stays),
		TEST(a_stopped_limiter_wakes_nobody),
		TEST(what_is_left_goes_on_elsewhere),
		TEST(timers_fire_in_order_and_not_early),
		TEST(a_timer_is_armed_anew_or_not_at_all),
		TEST(a_timer_that_always_fires_keeps_no_watch_out),
	};

	return cmocka_run_group_tests_name("limiter", tests, NULL, NULL);
}
