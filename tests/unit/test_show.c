/* What others wrote, on a terminal: nothing that would move its cursor. */
#include "api/ctl/commands/show.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void is_shown(const char *text, const char *shown)
{
	char *out = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&out, &size);

	show_text(text, to);
	fclose(to);
	assert_string_equal(out, shown);
	free(out);
}

static void json_is_ascii(void **state)
{
	json_t *json = json_pack("{s:s}", "a", "\xc2\x9b[31m\xc3\xa9\x1b");
	json_t *back;
	char *out = NULL;
	size_t size = 0, i;
	FILE *to = open_memstream(&out, &size);

	(void)state;
	assert_int_equal(show_json(json, JSON_INDENT(2), to), 0);
	fclose(to);
	for (i = 0; i < size; i++)
		assert_true(out[i] == '\n' || (out[i] >= ' ' && out[i] < 127));
	assert_int_equal(out[size - 1], '\n');
	back = json_loads(out, 0, NULL);
	assert_true(json_equal(json, back));
	json_decref(back);
	json_decref(json);
	free(out);
}

static void text_is_ascii(void **state)
{
	/* Not as a literal, which would turn this line around, too. */
	static const char right_to_left[] = {(char)0xe2, (char)0x80, (char)0xae,
					     '\0'};

	(void)state;
	is_shown("", "\n");
	is_shown("{\"a\":\n\t0.1}", "{\"a\":\n\t0.1}\n");
	is_shown("\x1b[2J\r\x7f", "\\u001b[2J\\u000d\\u007f\n");
	is_shown("\xc2\x9b"
		 "31m\xc3\xa9",
		 "\\u009b31m\\u00e9\n");
	is_shown(right_to_left, "\\u202e\n");
	is_shown("\xf0\x9f\x98\x80", "\\ud83d\\ude00\n");
	/* No UTF-8: cut off, too long a form, a byte of C1. */
	is_shown("\xe2\x80", "\\u00e2\\u0080\n");
	is_shown("\xc0\x80"
		 "a",
		 "\\u00c0\\u0080a\n");
	is_shown("\x9b"
		 "1m",
		 "\\u009b1m\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_is_ascii),
		cmocka_unit_test(text_is_ascii),
	};

	return cmocka_run_group_tests_name("show", tests, NULL, NULL);
}
