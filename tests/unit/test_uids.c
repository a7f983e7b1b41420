/* The range of uids for monitors, as subuid(5) writes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/ctl/vm/uids.h"

static void takes(const char *text, uid_t first, uid_t count)
{
	uid_t f = 0, c = 0;

	if (!uids_parse_range(text, &f, &c))
		fail_msg("'%s' is refused", text);
	assert_int_equal(f, first);
	assert_int_equal(c, count);
}

static void refuses(const char *text)
{
	uid_t f = 7, c = 8;

	if (uids_parse_range(text, &f, &c))
		fail_msg("'%s' is taken", text);
	assert_int_equal(f, 7);
	assert_int_equal(c, 8);
}

static void our_line_is_found(void **state)
{
	(void)state;
	takes("mayfly:100000:65536", 100000, 65536);
	takes("mayfly:100000:65536\n", 100000, 65536);
	takes("a:1:2\n\nmayfly:1:1\nmayfly:5:5\n", 1, 1);
	takes("mayfly:1:4294967294", 1, 4294967294);
}

static void others_are_not(void **state)
{
	(void)state;
	refuses("");
	refuses("other:100000:65536\n");
	refuses("xmayfly:100000:65536\n");
	refuses("mayfly2:100000:65536\n");
}

/* Root is never one of them, nor what setresuid() takes for "as it is". */
static void what_is_no_range_is_refused(void **state)
{
	(void)state;
	refuses("mayfly:0:65536");
	refuses("mayfly:100000:0");
	refuses("mayfly:100000");
	refuses("mayfly::65536");
	refuses("mayfly:1:4294967295");
	refuses("mayfly:4294967295:1");
	refuses("mayfly:-1:5");
	refuses("mayfly:1:-5");
	refuses("mayfly:1:5x");
	refuses("mayfly:99999999999:5");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_line_is_found),
		cmocka_unit_test(others_are_not),
		cmocka_unit_test(what_is_no_range_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
