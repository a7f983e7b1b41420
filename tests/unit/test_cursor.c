/* The bounded cursor: what it reads and writes, and that it never leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/base/cursor.h"

static uint8_t counting[] = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
			     0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f};

static void integers_are_read_little_endian(void **state)
{
	struct cursor c = cursor_over(counting, sizeof(counting));

	(void)state;
	assert_int_equal(cursor_get8(&c), 0x01);
	assert_int_equal(cursor_get16(&c), 0x0302);
	assert_int_equal(cursor_get32(&c), 0x07060504);
	assert_int_equal(cursor_get64(&c), 0x0f0e0d0c0b0a0908);
	assert_int_equal(c.at, sizeof(counting));
	assert_false(c.failed);
}

static void integers_are_written_little_endian(void **state)
{
	uint8_t out[sizeof(counting)] = {0};
	struct cursor c = cursor_over(out, sizeof(out));

	(void)state;
	cursor_put8(&c, 0x01);
	cursor_put16(&c, 0x0302);
	cursor_put32(&c, 0x07060504);
	cursor_put64(&c, 0x0f0e0d0c0b0a0908);
	assert_false(c.failed);
	assert_memory_equal(out, counting, sizeof(out));
}

static void a_read_past_the_end_gives_zero_and_sticks(void **state)
{
	struct cursor c = cursor_over(counting, 9);

	(void)state;
	cursor_get64(&c);
	assert_int_equal(cursor_get16(&c), 0);
	assert_true(c.failed);
	/* One byte is left, but nobody may trust what comes after a failure. */
	assert_int_equal(c.at, 8);
	assert_int_equal(cursor_get8(&c), 0);
	assert_int_equal(cursor_get32(&c), 0);
	assert_int_equal(cursor_get64(&c), 0);
	assert_null(cursor_take(&c, 0));
	assert_int_equal(c.at, 8);
}

static void each_width_fails_one_byte_short(void **state)
{
	static const size_t widths[] = {1, 2, 4, 8};
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		/* From the heap, so that a sanitizer sees one byte too many. */
		uint8_t *bytes = malloc(widths[i] - 1 + !i);
		struct cursor r = cursor_over(bytes, widths[i] - 1), w = r;

		assert_non_null(bytes);
		memset(bytes, 0xee, widths[i] - 1 + !i);
		switch (widths[i]) {
		case 1:
			assert_int_equal(cursor_get8(&r), 0);
			cursor_put8(&w, 1);
			break;
		case 2:
			assert_int_equal(cursor_get16(&r), 0);
			cursor_put16(&w, 1);
			break;
		case 4:
			assert_int_equal(cursor_get32(&r), 0);
			cursor_put32(&w, 1);
			break;
		default:
			assert_int_equal(cursor_get64(&r), 0);
			cursor_put64(&w, 1);
			break;
		}
		assert_true(r.failed);
		assert_true(w.failed);
		assert_int_equal(w.at, 0);
		assert_int_equal(bytes[0], 0xee);
		free(bytes);
	}
}

static void a_write_that_does_not_fit_writes_nothing(void **state)
{
	uint8_t out[8];
	struct cursor c = cursor_over(out, 6);

	(void)state;
	memset(out, 0xee, sizeof(out));
	cursor_put_text(&c, "abc");
	cursor_put_text(&c, "defg");
	assert_true(c.failed);
	cursor_put8(&c, 1);
	assert_int_equal(c.at, 3);
	assert_memory_equal(out, "abc\xee\xee\xee\xee\xee", sizeof(out));
}

static void text_goes_without_its_nul(void **state)
{
	uint8_t out[4] = {9, 9, 9, 9};
	struct cursor c = cursor_over(out, 3);

	(void)state;
	cursor_put_text(&c, "");
	cursor_put_text(&c, "abc");
	assert_false(c.failed);
	assert_memory_equal(out, "abc\x09", 4);
}

static void a_huge_length_does_not_wrap(void **state)
{
	uint8_t out[16];
	struct cursor c = cursor_over(out, sizeof(out));

	(void)state;
	assert_non_null(cursor_take(&c, 8));
	assert_null(cursor_take(&c, SIZE_MAX));
	assert_true(c.failed);
	c = cursor_over(out, sizeof(out));
	assert_non_null(cursor_take(&c, 8));
	assert_null(cursor_take(&c, SIZE_MAX - 7));
	assert_true(c.failed);
	assert_int_equal(c.at, 8);
}

static void nothing_can_be_taken_from_nothing_but_nothing(void **state)
{
	uint8_t byte = 0;
	struct cursor c = cursor_over(&byte, 0);

	(void)state;
	assert_ptr_equal(cursor_take(&c, 0), &byte);
	cursor_put(&c, NULL, 0);
	assert_false(c.failed);
	assert_int_equal(cursor_get8(&c), 0);
	assert_true(c.failed);
}

static void taking_gives_the_place_and_moves_on(void **state)
{
	struct cursor c = cursor_over(counting, sizeof(counting));

	(void)state;
	assert_ptr_equal(cursor_take(&c, 3), counting);
	assert_ptr_equal(cursor_take(&c, 12), counting + 3);
	assert_ptr_equal(cursor_take(&c, 0), counting + 15);
	assert_null(cursor_take(&c, 1));
}

static void alignment_skips_to_the_next_multiple(void **state)
{
	uint8_t out[32];
	size_t start, align;

	(void)state;
	memset(out, 0xee, sizeof(out));
	for (align = 1; align <= 16; align *= 2) {
		for (start = 0; start <= 16; start++) {
			struct cursor c = cursor_over(out, sizeof(out));

			cursor_take(&c, start);
			cursor_align(&c, align);
			assert_false(c.failed);
			assert_int_equal(c.at % align, 0);
			assert_true(c.at >= start && c.at < start + align);
		}
	}
	for (start = 0; start < sizeof(out); start++)
		assert_int_equal(out[start], 0xee);
}

static void alignment_past_the_end_fails(void **state)
{
	struct cursor c = cursor_over(counting, 5);

	(void)state;
	cursor_take(&c, 5);
	cursor_align(&c, 4);
	assert_true(c.failed);
	assert_int_equal(c.at, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_read_little_endian),
		cmocka_unit_test(integers_are_written_little_endian),
		cmocka_unit_test(a_read_past_the_end_gives_zero_and_sticks),
		cmocka_unit_test(each_width_fails_one_byte_short),
		cmocka_unit_test(a_write_that_does_not_fit_writes_nothing),
		cmocka_unit_test(text_goes_without_its_nul),
		cmocka_unit_test(a_huge_length_does_not_wrap),
		cmocka_unit_test(nothing_can_be_taken_from_nothing_but_nothing),
		cmocka_unit_test(taking_gives_the_place_and_moves_on),
		cmocka_unit_test(alignment_skips_to_the_next_multiple),
		cmocka_unit_test(alignment_past_the_end_fails),
	};

	return cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
