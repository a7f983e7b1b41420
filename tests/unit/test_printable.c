/*
 * Text of somebody else's is shown, and does nothing to a terminal.
 */
#include "vmm/base/printable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void check(const char *from, size_t len, const char *want)
{
	char to[128];

	assert_int_equal(printable_copy(from, len, to, sizeof(to)),
			 strlen(want));
	assert_string_equal(to, want);
}

#define CHECK(from, want) check(from, sizeof(from) - 1, want)

static void shows_what_is_text(void **state)
{
	(void)state;
	CHECK("", "");
	CHECK("no such file", "no such file");
	CHECK("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
	      "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80");
	CHECK("\xc2\xa0", "\xc2\xa0");
}

static void escapes_what_is_obeyed(void **state)
{
	(void)state;
	CHECK("a\033[2Jb\r\n\t", "a\\x1b[2Jb\\x0d\\x0a\\x09");
	CHECK("a\0b\x7f", "a\\x00b\\x7f");
	/* CSI of the second set: one byte, and as UTF-8. */
	CHECK("\x9b"
	      "2J",
	      "\\x9b2J");
	CHECK("\xc2\x9b"
	      "2J\xc2\x80\xc2\x9f",
	      "\\xc2\\x9b2J\\xc2\\x80\\xc2\\x9f");
	CHECK("\xe2\x80\xaetxt\xe2\x80\xac",
	      "\\xe2\\x80\\xaetxt\\xe2\\x80\\xac");
	CHECK("\xe2\x80\xa8", "\\xe2\\x80\\xa8");
}

static void blanks_in_place(void **state)
{
	char text[] = "a\033[2J\xc2\x9b\x9b\xe2\x80\xa8\xc3\xa4\xfc\x7f\xc2";

	(void)state;
	printable_blank(text, sizeof(text) - 1);
	assert_string_equal(text, "a [2J      \xc3\xa4\xfc \xc2");
}

static void escapes_what_is_no_utf8(void **state)
{
	(void)state;
	CHECK("\xc0\x9b", "\\xc0\\x9b"); /* longer than need be */
	CHECK("\xe0\x82\x9b", "\\xe0\\x82\\x9b");
	CHECK("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* a surrogate */
	CHECK("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
	CHECK("\xff\xfe", "\\xff\\xfe");
	CHECK("a\xc3", "a\\xc3");
	CHECK("\xe2\x82", "\\xe2\\x82");
	CHECK("\xc3(", "\\xc3(");
}

/* A bound cuts between characters, never in an escape. */
static void keeps_its_bound(void **state)
{
	static const char from[] = "ab\x1b\xe2\x82\xac";
	char to[32];

	(void)state;
	for (size_t size = 1; size < sizeof(to); size++) {
		memset(to, 'X', sizeof(to));
		printable_copy(from, sizeof(from) - 1, to, size);
		assert_true(to[size] == 'X');
		assert_string_equal(to, size > 9   ? "ab\\x1b\xe2\x82\xac"
					: size > 6 ? "ab\\x1b"
					: size > 2 ? "ab"
					: size > 1 ? "a"
						   : "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shows_what_is_text),
		cmocka_unit_test(escapes_what_is_obeyed),
		cmocka_unit_test(blanks_in_place),
		cmocka_unit_test(escapes_what_is_no_utf8),
		cmocka_unit_test(keeps_its_bound),
	};

	return cmocka_run_group_tests_name("printable", tests, NULL, NULL);
}
