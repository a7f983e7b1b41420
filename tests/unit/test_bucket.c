/* The token bucket: rates exact to the token, bursts spent once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmm/event/bucket.h"

#define S  1000000000ULL
#define MS 1000000ULL

static struct bucket b;

/* Takes n whenever it can until the end; returns what was taken. */
static uint64_t take_until(uint64_t n, uint64_t now, uint64_t end)
{
	uint64_t sum = 0, wait;

	while (now < end) {
		wait = bucket_wait_ns(&b, n, now);
		if (wait) {
			now += wait;
			continue;
		}
		bucket_take(&b, n, now);
		sum += n;
	}
	return sum;
}

static void it_starts_full(void **state)
{
	(void)state;
	bucket_init(&b, 1000, 0, 100);
	assert_int_equal(bucket_wait_ns(&b, 1000, S), 0);
	bucket_take(&b, 1000, S);
	assert_int_equal(bucket_wait_ns(&b, 1, S), 100 * MS / 1000);
	assert_int_equal(bucket_wait_ns(&b, 1000, S), 100 * MS);
	assert_int_equal(bucket_wait_ns(&b, 1000, S + 100 * MS), 0);
}

static void it_never_holds_more_than_its_size(void **state)
{
	(void)state;
	bucket_init(&b, 1000, 0, 100);
	bucket_take(&b, 1000, S);
	bucket_take(&b, 1000, 50 * S);
	assert_int_equal(bucket_wait_ns(&b, 1000, 50 * S), 100 * MS);
}

static void the_rate_is_exact(void **state)
{
	static const uint64_t sizes[] = {1, 3, 7, 512, 4096, 65536};
	uint64_t i, sum, want;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		bucket_init(&b, 1000003, 0, 777);
		sum = take_until(sizes[i], 5 * S, 15 * S);
		/* The bucket's fill at first, then ten seconds' flow. */
		want = 1000003 + 1000003ULL * 10000 / 777;
		assert_in_range(sum, want - sizes[i], want + sizes[i]);
	}
}

static void fractions_of_a_nanosecond_are_kept(void **state)
{
	/* 3 tokens a nanosecond, taken one by one. */
	(void)state;
	bucket_init(&b, 3 * MS, 0, 1);
	assert_in_range(take_until(1, S, S + MS), 6 * MS - 6, 6 * MS + 6);
}

static void a_burst_is_spent_once(void **state)
{
	(void)state;
	bucket_init(&b, 100, 5000, 1000);
	assert_in_range(take_until(10, S, 11 * S), 5000 + 100 + 1000 - 10,
			5000 + 100 + 1000 + 10);
	assert_int_equal(b.burst, 0);
	assert_in_range(take_until(10, 20 * S, 30 * S), 1100 - 10, 1100 + 10);
}

static void burst_and_tokens_serve_a_request_together(void **state)
{
	(void)state;
	bucket_init(&b, 100, 50, 1000);
	assert_int_equal(bucket_wait_ns(&b, 150, S), 0);
	bucket_take(&b, 150, S);
	assert_int_equal(bucket_wait_ns(&b, 100, S), S);
}

/* It passes at once, and then all wait for as long as it was worth. */
static void what_is_larger_than_the_bucket_passes_and_is_owed(void **state)
{
	(void)state;
	bucket_init(&b, 1000, 0, 100);
	assert_int_equal(bucket_wait_ns(&b, 5000, S), 0);
	bucket_take(&b, 5000, S);
	assert_int_equal(bucket_wait_ns(&b, 5000, S), 400 * MS);
	assert_int_equal(bucket_wait_ns(&b, 1000, S), 500 * MS);
	bucket_init(&b, 1000, 0, 100);
	assert_in_range(take_until(5000, S, 11 * S), 100000, 106000);
}

static void size_or_time_zero_is_no_limit(void **state)
{
	(void)state;
	bucket_init(&b, 0, 0, 100);
	assert_false(bucket_is_limited(&b));
	bucket_take(&b, UINT64_MAX, S);
	assert_int_equal(bucket_wait_ns(&b, UINT64_MAX, S), 0);
	bucket_init(&b, 100, 7, 0);
	assert_false(bucket_is_limited(&b));
	assert_int_equal(bucket_wait_ns(&b, UINT64_MAX, S), 0);
}

static void the_largest_numbers_do_not_wrap(void **state)
{
	(void)state;
	bucket_init(&b, UINT64_MAX, 0, UINT64_MAX);
	bucket_take(&b, UINT64_MAX, S);
	assert_true(bucket_wait_ns(&b, UINT64_MAX, S) > S);
	bucket_take(&b, UINT64_MAX, S);
	bucket_take(&b, UINT64_MAX, S);
	assert_true(bucket_wait_ns(&b, 1, S) > S);
	bucket_init(&b, 1, UINT64_MAX, UINT64_MAX);
	bucket_take(&b, UINT64_MAX, S);
	assert_int_equal(b.burst, 0);
	bucket_take(&b, UINT64_MAX, S);
	assert_true(bucket_wait_ns(&b, 1, S) > S);
}

static void time_may_stand_still_or_go_back(void **state)
{
	(void)state;
	bucket_init(&b, 10, 0, 10);
	bucket_take(&b, 10, S);
	assert_true(bucket_wait_ns(&b, 1, S - MS) >= MS);
	bucket_take(&b, 1, S - MS);
	assert_int_equal(bucket_wait_ns(&b, 10, S), 11 * MS);
}

/* It goes on at another time as if none had passed. */
static void its_rest_is_another_clocks(void **state)
{
	struct bucket other;
	struct bucket_rest r;

	(void)state;
	bucket_init(&b, 1000, 50, 100);
	bucket_take(&b, 20, S);
	r = bucket_rest(&b, S);
	assert_int_equal(r.burst, 30);
	assert_int_equal(r.ahead_ns, 0);
	bucket_take(&b, 30 + 600, S);
	r = bucket_rest(&b, S + 10 * MS);
	assert_int_equal(r.burst, 0);
	assert_int_equal(r.ahead_ns, 50 * MS);
	bucket_init(&other, 1000, 50, 100);
	bucket_set_rest(&other, &r, 7);
	assert_int_equal(bucket_wait_ns(&other, 500, 7), 0);
	assert_int_equal(bucket_wait_ns(&other, 501, 7), 100 * MS / 1000);
	assert_int_equal(bucket_wait_ns(&other, 1000, 7 + 50 * MS), 0);
	/* Also a fraction of a nanosecond, and what is owed. */
	bucket_init(&b, 7, 0, 100);
	bucket_take(&b, 8, S);
	r = bucket_rest(&b, S);
	bucket_init(&other, 7, 0, 100);
	bucket_set_rest(&other, &r, 50 * S);
	assert_int_equal(bucket_wait_ns(&other, 7, 50 * S),
			 bucket_wait_ns(&b, 7, S));
	assert_int_equal(other.fraction, b.fraction);
	/* Used up, and then what it had before. */
	bucket_init(&b, 10, 5, 100);
	r = bucket_rest(&b, S);
	bucket_take(&b, 15, S);
	bucket_set_rest(&b, &r, S);
	assert_int_equal(bucket_wait_ns(&b, 15, S), 0);
}

static void a_rest_that_can_not_be_is_cut(void **state)
{
	static const struct bucket_rest all = {UINT64_MAX, UINT64_MAX,
					       UINT64_MAX};
	struct bucket_rest r;

	(void)state;
	bucket_init(&b, 10, 5, 100);
	bucket_set_rest(&b, &all, S);
	assert_int_equal(b.burst, 5);
	assert_true(b.fraction < 10);
	assert_int_equal(bucket_wait_ns(&b, 5, S), 0);
	assert_true(bucket_wait_ns(&b, 6, S) > 0);
	/* It is an age, and no overflow of one. */
	r = bucket_rest(&b, S);
	assert_true(r.ahead_ns < UINT64_MAX / 2);
	bucket_take(&b, UINT64_MAX, UINT64_MAX / 4);
	assert_true(bucket_wait_ns(&b, 1, UINT64_MAX / 4) > 0);
	/* Without a limit there is nothing to tell, and nothing to hear. */
	bucket_init(&b, 0, 0, 100);
	bucket_set_rest(&b, &all, S);
	assert_int_equal(bucket_wait_ns(&b, UINT64_MAX, S), 0);
	r = bucket_rest(&b, S);
	assert_int_equal(r.burst | r.ahead_ns | r.fraction, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_starts_full),
		cmocka_unit_test(it_never_holds_more_than_its_size),
		cmocka_unit_test(the_rate_is_exact),
		cmocka_unit_test(fractions_of_a_nanosecond_are_kept),
		cmocka_unit_test(a_burst_is_spent_once),
		cmocka_unit_test(burst_and_tokens_serve_a_request_together),
		cmocka_unit_test(
			what_is_larger_than_the_bucket_passes_and_is_owed),
		cmocka_unit_test(size_or_time_zero_is_no_limit),
		cmocka_unit_test(the_largest_numbers_do_not_wrap),
		cmocka_unit_test(time_may_stand_still_or_go_back),
		cmocka_unit_test(its_rest_is_another_clocks),
		cmocka_unit_test(a_rest_that_can_not_be_is_cut),
	};

	return cmocka_run_group_tests_name("bucket", tests, NULL, NULL);
}
