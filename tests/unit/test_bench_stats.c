/* Medians, bootstrap intervals and ratios of the benches. */
#include "api/ctl/bench/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void near(double is, double should)
{
	assert_true(is > should - 1e-9 && is < should + 1e-9);
}

static void medians(void **state)
{
	const double odd[] = {5, 1, 9}, even[] = {4, 1, 3, 2}, one[] = {7};

	(void)state;
	near(stats_median(odd, 3), 5);
	near(stats_median(even, 4), 2.5);
	near(stats_median(one, 1), 7);
	near(stats_median(odd, 0), 0);
	near(odd[0], 5); /* as they were */
	near(stats_quantile(odd, 3, 0), 1);
	near(stats_quantile(odd, 3, 1), 9);
	near(stats_quantile(even, 4, 0.99), 3.97);
}

/* 1 to 100: the interval of the median by order statistics is 40 to 61. */
static void an_interval_is_where_theory_has_it(void **state)
{
	struct stats_interval i, again;
	double v[100];
	unsigned k;

	(void)state;
	for (k = 0; k < 100; k++)
		v[k] = (k * 37) % 100 + 1;
	i = stats_bootstrap(v, 100);
	assert_true(i.low >= 37 && i.low <= 44);
	assert_true(i.high >= 57 && i.high <= 64);
	assert_true(i.low < stats_median(v, 100));
	assert_true(i.high > stats_median(v, 100));
	again = stats_bootstrap(v, 100);
	assert_true(again.low == i.low && again.high == i.high);
}

static void what_does_not_vary_has_no_width(void **state)
{
	const double same[] = {3, 3, 3, 3}, one[] = {7};
	struct stats_estimate e = stats_estimate(same, 4);

	(void)state;
	near(e.interval.low, 3);
	near(e.interval.high, 3);
	near(stats_spread(&e), 0);
	e = stats_estimate(one, 1);
	near(e.interval.low, 7);
	near(e.interval.high, 7);
	e = stats_estimate(one, 0);
	near(e.median, 0);
	near(e.interval.high, 0);
	near(stats_spread(&e), 0);
}

/* The machine slows down tenfold half way; pairs see nothing of it. */
static void ratios_are_of_pairs(void **state)
{
	const double ours[] = {2, 2, 2, 20, 20, 20};
	const double theirs[] = {1, 1, 1, 10, 10, 10};
	const struct stats_estimate e = stats_ratio(ours, theirs, 6);

	(void)state;
	near(e.median, 2);
	near(e.interval.low, 2);
	near(e.interval.high, 2);
}

static void pairs_without_a_value_do_not_count(void **state)
{
	const double ours[] = {4, -1, 6, 9}, theirs[] = {2, 1, 2, 0};
	struct stats_estimate e = stats_ratio(ours, theirs, 4);

	(void)state;
	near(e.median, 2.5); /* of 2 and 3 */
	e = stats_ratio(ours, theirs, 0);
	near(e.median, 0);
}

static void the_spread_is_half_the_width(void **state)
{
	const struct stats_estimate e = {
		.median = 10,
		.interval = {9, 12},
	};

	(void)state;
	near(stats_spread(&e), 0.15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(medians),
		cmocka_unit_test(an_interval_is_where_theory_has_it),
		cmocka_unit_test(what_does_not_vary_has_no_width),
		cmocka_unit_test(ratios_are_of_pairs),
		cmocka_unit_test(pairs_without_a_value_do_not_count),
		cmocka_unit_test(the_spread_is_half_the_width),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
