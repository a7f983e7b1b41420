/* The kernel command line: where parameters go, and what it refuses. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/boot/cmdline.h"

enum { SIZE = 2048 }; /* of the x86 kernel's buffer, NUL included */

static char buf[SIZE + 64];
static struct cmdline line;
static struct err err;

static int init(const char *text, size_t size)
{
	int rc;

	memset(buf, 0x5a, sizeof(buf));
	memset(&err, 0, sizeof(err));
	rc = cmdline_init(&line, buf, size, text, &err);
	assert_int_equal(rc, err.code);
	assert_int_equal((unsigned char)buf[size], 0x5a);
	return rc;
}

/* The text with "a=1" and "b=2" added comes to this. */
static void becomes(const char *text, const char *want)
{
	assert_int_equal(init(text, SIZE), 0);
	assert_int_equal(cmdline_add(&line, &err, "a=%d", 1), 0);
	assert_int_equal(cmdline_add(&line, &err, "%s", "b=2"), 0);
	assert_string_equal(buf, want);
	assert_int_equal(line.len, strlen(want));
}

static void a_line_is_taken_as_it_is(void **state)
{
	(void)state;
	assert_int_equal(init("console=ttyS0 quiet", SIZE), 0);
	assert_string_equal(buf, "console=ttyS0 quiet");
	assert_int_equal(line.len, 19);
	assert_int_equal(line.tail, 19);
	assert_ptr_equal(line.text, buf);
	assert_int_equal(line.size, SIZE);
	assert_int_equal(init("", SIZE), 0);
	assert_string_equal(buf, "");
	assert_int_equal(line.len, 0);
}

static void parameters_go_to_the_end(void **state)
{
	(void)state;
	becomes("quiet", "quiet a=1 b=2");
	becomes("", "a=1 b=2");
	becomes("quiet ", "quiet  a=1 b=2");
}

static void parameters_go_before_what_is_for_init(void **state)
{
	(void)state;
	becomes("quiet -- x y", "quiet a=1 b=2 -- x y");
	becomes("quiet --", "quiet a=1 b=2 --");
	becomes("quiet -- ", "quiet a=1 b=2 -- ");
	becomes("a -- b -- c", "a a=1 b=2 -- b -- c");
}

static void a_line_of_nothing_but_init_s_works(void **state)
{
	(void)state;
	becomes("--", "a=1 b=2 --");
	becomes("-- x", "a=1 b=2 -- x");
	becomes(" -- x", "a=1 b=2 -- x");
}

static void words_that_begin_with_dashes_separate_nothing(void **state)
{
	(void)state;
	becomes("--foo", "--foo a=1 b=2");
	becomes("x --foo", "x --foo a=1 b=2");
	becomes("x --- y", "x --- y a=1 b=2");
	becomes("x -- --foo", "x a=1 b=2 -- --foo");
	becomes("x --foo -- y", "x --foo a=1 b=2 -- y");
	becomes("x-- y", "x-- y a=1 b=2");
	becomes("x - y", "x - y a=1 b=2");
	becomes("x=-- y", "x=-- y a=1 b=2");
}

static void dashes_in_quotes_separate_nothing(void **state)
{
	(void)state;
	becomes("x=\"p -- q\" y", "x=\"p -- q\" y a=1 b=2");
	becomes("x=\"p -- q\" -- y", "x=\"p -- q\" a=1 b=2 -- y");
}

static void a_full_line_is_taken_and_one_byte_more_is_not(void **state)
{
	static char text[SIZE + 1];

	(void)state;
	memset(text, 'x', SIZE);
	text[SIZE - 1] = 0;
	assert_int_equal(init(text, SIZE), 0);
	assert_int_equal(line.len, 2047);
	assert_string_equal(buf, text);
	assert_int_equal(cmdline_add(&line, &err, "%s", ""), -E2BIG);
	text[SIZE - 1] = 'x';
	assert_int_equal(init(text, SIZE), -E2BIG);
	assert_string_equal(err.text, "the kernel command line has 2048 bytes; "
				      "the kernel takes at most 2047");
	assert_int_equal((unsigned char)buf[0], 0x5a);
}

/* The blank put before a leading "--" counts too. */
static void a_full_line_of_init_s_is_one_byte_longer(void **state)
{
	static char text[SIZE];

	(void)state;
	memset(text, 'x', SIZE - 1);
	memcpy(text, "-- ", 3);
	assert_int_equal(init(text, SIZE), -E2BIG);
	text[SIZE - 2] = 0;
	assert_int_equal(init(text, SIZE), 0);
	assert_int_equal(line.len, 2047);
}

static void an_addition_that_does_not_fit_changes_nothing(void **state)
{
	static char text[SIZE], before[SIZE];

	(void)state;
	memset(text, 'x', SIZE - 1);
	text[SIZE - 1 - 10] = 0;
	assert_int_equal(init(text, SIZE), 0);
	memcpy(before, buf, SIZE);
	/* Ten bytes are free: nine and a blank, then ten and a blank. */
	assert_int_equal(cmdline_add(&line, &err, "0123456789"), -E2BIG);
	assert_non_null(strstr(err.text, "2048 bytes with \"0123456789\""));
	assert_memory_equal(buf, before, SIZE);
	assert_int_equal(cmdline_add(&line, &err, "012345678"), 0);
	assert_int_equal(line.len, 2047);
	assert_int_equal(strlen(buf), 2047);
	assert_int_equal((unsigned char)buf[SIZE], 0x5a);
}

static void an_addition_before_a_tail_fits_to_the_byte(void **state)
{
	(void)state;
	assert_int_equal(init("x -- y", 16), 0);
	assert_int_equal(cmdline_add(&line, &err, "12345678 "), -E2BIG);
	assert_int_equal(cmdline_add(&line, &err, "12345678"), 0);
	assert_string_equal(buf, "x 12345678 -- y");
	assert_int_equal(cmdline_add(&line, &err, "%s", ""), -E2BIG);
	assert_string_equal(buf, "x 12345678 -- y");
	assert_int_equal((unsigned char)buf[16], 0x5a);
}

static void one_parameter_is_bounded(void **state)
{
	char word[300];

	(void)state;
	memset(word, 'w', sizeof(word) - 1);
	word[sizeof(word) - 1] = 0;
	assert_int_equal(init("x", SIZE), 0);
	assert_int_equal(cmdline_add(&line, &err, "%.256s", word), -E2BIG);
	assert_string_equal(buf, "x");
	assert_int_equal(cmdline_add(&line, &err, "%.255s", word), 0);
	assert_int_equal(line.len, 257);
}

static void control_characters_are_refused(void **state)
{
	static const char bad[] = "\n\r\t\x01\x1b\x1f\x7f";
	char text[8] = "ab?c", want[64];
	size_t i;

	(void)state;
	for (i = 0; bad[i]; i++) {
		text[2] = bad[i];
		assert_int_equal(init(text, SIZE), -EINVAL);
		snprintf(want, sizeof(want), "(0x%02x) at byte 2",
			 (unsigned char)bad[i]);
		assert_non_null(strstr(err.text, want));
		assert_int_equal(init("x", SIZE), 0);
		assert_int_equal(cmdline_add(&line, &err, "%s", text), -EINVAL);
		assert_string_equal(buf, "x");
	}
	/* Bytes above ASCII are text: a path may have them. */
	becomes("root=/d\xc3\xa9j\xc3\xa0", "root=/d\xc3\xa9j\xc3\xa0 a=1 b=2");
}

static void a_tiny_buffer_is_enough_for_nothing(void **state)
{
	(void)state;
	assert_int_equal(init("", 1), 0);
	assert_int_equal(cmdline_add(&line, &err, "x"), -E2BIG);
	assert_int_equal(init("x", 1), -E2BIG);
	assert_int_equal(init("--", 3), -E2BIG);
	assert_int_equal(init("--", 4), 0);
	assert_string_equal(buf, " --");
}

static void a_word_is_found_whole(void **state)
{
	(void)state;
	assert_int_equal(init("quiet acpi=off  ro", SIZE), 0);
	assert_true(cmdline_has(&line, "acpi=off"));
	assert_true(cmdline_has(&line, "quiet"));
	assert_true(cmdline_has(&line, "ro"));
	assert_false(cmdline_has(&line, "acpi"));
	assert_false(cmdline_has(&line, "acpi=of"));
	assert_false(cmdline_has(&line, "acpi=off2"));
	assert_false(cmdline_has(&line, "off"));
	assert_false(cmdline_has(&line, "r"));
	assert_int_equal(init(" acpi=off", SIZE), 0);
	assert_true(cmdline_has(&line, "acpi=off"));
	assert_int_equal(init("acpi=off", SIZE), 0);
	assert_true(cmdline_has(&line, "acpi=off"));
	assert_int_equal(init("", SIZE), 0);
	assert_false(cmdline_has(&line, "acpi=off"));
}

/* next_arg() and parameq() of the kernel. */
static void a_name_is_found_with_any_value(void **state)
{
	(void)state;
	assert_int_equal(
		init("a=b no-lapic_timer noapic=0 xnosmp nosmpx", SIZE), 0);
	assert_true(cmdline_names(&line, "a"));
	assert_false(cmdline_names(&line, "a=b"));
	assert_true(cmdline_names(&line, "no_lapic_timer"));
	assert_true(cmdline_has(&line, "no_lapic_timer"));
	assert_true(cmdline_names(&line, "noapic"));
	assert_false(cmdline_has(&line, "noapic"));
	assert_false(cmdline_names(&line, "nosmp"));
	assert_int_equal(init("quiet -- noapic", SIZE), 0);
	assert_false(cmdline_names(&line, "noapic"));
}

static void a_word_for_init_is_not_the_kernel_s(void **state)
{
	(void)state;
	assert_int_equal(init("quiet -- acpi=off", SIZE), 0);
	assert_false(cmdline_has(&line, "acpi=off"));
	assert_true(cmdline_has(&line, "quiet"));
	assert_false(cmdline_has(&line, "--"));
	assert_int_equal(init("-- acpi=off", SIZE), 0);
	assert_false(cmdline_has(&line, "acpi=off"));
	assert_int_equal(cmdline_add(&line, &err, "acpi=off"), 0);
	assert_true(cmdline_has(&line, "acpi=off"));
}

static void nineteen_devices_keep_their_order(void **state)
{
	char word[64];
	const char *p = buf;
	unsigned i;

	(void)state;
	assert_int_equal(init("console=ttyS0 -- single", SIZE), 0);
	for (i = 0; i < 19; i++)
		assert_int_equal(cmdline_add(&line, &err,
					     "virtio_mmio.device=4K@0x%x:%u",
					     0xc0001000 + i * 0x1000, 5 + i),
				 0);
	for (i = 0; i < 19; i++) {
		snprintf(word, sizeof(word), " virtio_mmio.device=4K@0x%x:%u ",
			 0xc0001000 + i * 0x1000, 5 + i);
		p = strstr(p, word);
		assert_non_null(p);
	}
	assert_string_equal(buf + line.tail, " -- single");
}

static void a_quoted_blank_ends_no_parameter(void **state)
{
	(void)state;
	assert_int_equal(cmdline_init(&line, buf, SIZE,
				      "x=\"a acpi=off b\" quiet", NULL),
			 0);
	assert_false(cmdline_has(&line, "acpi=off"));
	assert_true(cmdline_has(&line, "quiet"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quoted_blank_ends_no_parameter),
		cmocka_unit_test(a_line_is_taken_as_it_is),
		cmocka_unit_test(parameters_go_to_the_end),
		cmocka_unit_test(parameters_go_before_what_is_for_init),
		cmocka_unit_test(a_line_of_nothing_but_init_s_works),
		cmocka_unit_test(words_that_begin_with_dashes_separate_nothing),
		cmocka_unit_test(dashes_in_quotes_separate_nothing),
		cmocka_unit_test(a_full_line_is_taken_and_one_byte_more_is_not),
		cmocka_unit_test(a_full_line_of_init_s_is_one_byte_longer),
		cmocka_unit_test(an_addition_that_does_not_fit_changes_nothing),
		cmocka_unit_test(an_addition_before_a_tail_fits_to_the_byte),
		cmocka_unit_test(one_parameter_is_bounded),
		cmocka_unit_test(control_characters_are_refused),
		cmocka_unit_test(a_tiny_buffer_is_enough_for_nothing),
		cmocka_unit_test(a_word_is_found_whole),
		cmocka_unit_test(a_name_is_found_with_any_value),
		cmocka_unit_test(a_word_for_init_is_not_the_kernel_s),
		cmocka_unit_test(nineteen_devices_keep_their_order),
	};

	return cmocka_run_group_tests_name("cmdline", tests, NULL, NULL);
}
