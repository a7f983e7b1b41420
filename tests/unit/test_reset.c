/* /snapshot/mark and /snapshot/reset, and what a refusal leaves. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/route_bench.h"

static void a_mark_is_made_of_a_microvm_that_goes_on(void **state)
{
	(void)state;
	fault("PUT", "/snapshot/mark", "{}", BEFORE);
	start();
	fake_reset();
	done("PUT", "/snapshot/mark", "{}");
	assert_string_equal(fake.calls,
			    "pause; quiet; save; mark; unquiet; resume");
	assert_int_equal(controller.state, CONTROLLER_RUNNING);
	/* One that is paused stays so. */
	done("PATCH", "/vm", "{\"state\": \"Paused\"}");
	fake_reset();
	done("PUT", "/snapshot/mark", "{}");
	assert_string_equal(fake.calls, "quiet; save; mark; unquiet");
}

static void a_mark_that_fails_leaves_it_running(void **state)
{
	static const char *const steps[] = {"quiet", "save", "mark"};
	unsigned i;

	(void)state;
	start();
	for (i = 0; i < 3; i++) {
		fake_reset();
		fake.fail = steps[i];
		fault("PUT", "/snapshot/mark", "{}", "*");
		assert_int_equal(controller.state, CONTROLLER_RUNNING);
		assert_non_null(strstr(fake.calls, "; resume"));
	}
}

static void a_reset_goes_on_as_it_was_or_as_asked(void **state)
{
	(void)state;
	start();
	fake_reset();
	done("PUT", "/snapshot/reset", "{}");
	assert_string_equal(fake.calls,
			    "pause; reset; generation again; resume");
	fake_reset();
	done("PUT", "/snapshot/reset", "{\"resume_vm\": false}");
	assert_string_equal(fake.calls, "pause; reset; generation again");
	fake_reset();
	done("PUT", "/snapshot/reset", "{}");
	assert_string_equal(fake.calls, "reset; generation again");
	done("PUT", "/snapshot/reset", "{\"resume_vm\": true}");
	assert_int_equal(controller.state, CONTROLLER_RUNNING);
}

/* A refusal changes nothing, and what fails in the middle ends it. */
static void a_reset_that_is_refused_leaves_it_running(void **state)
{
	static const int refusals[] = {-EPERM, -EOPNOTSUPP, -EBUSY};
	unsigned i;

	(void)state;
	done("PUT", "/drives/a", DRIVE_A);
	start();
	fake_reset();
	fault("PUT", "/snapshot/reset", "{}", "the drive a can be written to*");
	assert_string_equal(fake.calls, "");
	for (i = 0; i < 3; i++) {
		fake_reset();
		fake.fail = "reset";
		fake.fail_code = refusals[i];
		fault("PUT", "/snapshot/reset", "{\"keep_drives\": true}", "*");
		assert_string_equal(fake.calls, "pause; reset; resume");
		assert_int_equal(controller.state, CONTROLLER_RUNNING);
		assert_false(loop.stopping);
	}
	fake_reset();
	fake.fail = "reset";
	fault("PUT", "/snapshot/reset", "{\"keep_drives\": true}", "*");
	assert_string_equal(fake.calls, "pause; reset");
	assert_true(loop.stopping);
}

static void a_reset_whose_id_is_not_told_ends_it(void **state)
{
	(void)state;
	start();
	fake_reset();
	fake.fail = "generation again";
	/* Even by what would be a refusal of the reset's. */
	fake.fail_code = -EBUSY;
	fault("PUT", "/snapshot/reset", "{}", "*");
	assert_string_equal(fake.calls, "pause; reset; generation again");
	assert_true(loop.stopping);
}

#define TEST(f)                                               \
	cmocka_unit_test_setup_teardown(f, route_bench_setup, \
					route_bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_mark_is_made_of_a_microvm_that_goes_on),
		TEST(a_mark_that_fails_leaves_it_running),
		TEST(a_reset_goes_on_as_it_was_or_as_asked),
		TEST(a_reset_that_is_refused_leaves_it_running),
		TEST(a_reset_whose_id_is_not_told_ends_it),
	};

	return cmocka_run_group_tests_name("reset", tests, NULL, NULL);
}
