/* The visitor: what it saves it loads, and a hostile section gets nowhere. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/state/visit.h"

enum { THING_MAX = 6 };

struct thing {
	uint8_t a;
	uint16_t b;
	uint32_t c;
	uint64_t d;
	bool is_up;
	bool is_down;
	uint32_t size;
	uint8_t bytes[THING_MAX];
	uint32_t added_in_2;
};

static const struct thing full = {
	.a = 0x01,
	.b = 0x0302,
	.c = 0x07060504,
	.d = 0x0f0e0d0c0b0a0908,
	.is_up = true,
	.size = 3,
	.bytes = {0x20, 0x21, 0x22},
	.added_in_2 = 0x33323130,
};

static const uint8_t full_bytes[] = {
	0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a,
	0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 1,    0,	  3,	0,    0,
	0,    0x20, 0x21, 0x22, 0x30, 0x31, 0x32, 0x33,
};

enum { SIZE_AT = 17, BYTES_OF_2 = 4, BYTES_OF_1 = sizeof(full_bytes) - 4 };

static void visit_thing(struct visitor *v, struct thing *t)
{
	visit_u8(v, &t->a);
	visit_u16(v, &t->b);
	visit_u32(v, &t->c);
	visit_u64(v, &t->d);
	visit_bool(v, &t->is_up);
	visit_bool(v, &t->is_down);
	visit_u32(v, &t->size);
	if (visit_check(v, t->size <= THING_MAX, "a thing of %u bytes",
			t->size))
		visit_bytes(v, t->bytes, t->size);
	if (v->version >= 2)
		visit_u32(v, &t->added_in_2);
}

static int load(const void *data, size_t len, uint32_t version, struct thing *t,
		struct err *e)
{
	struct visitor v;
	int rc;

	memset(t, 0xee, sizeof(*t));
	visitor_load(&v, data, len, version, e);
	visit_thing(&v, t);
	rc = visitor_end(&v);
	visitor_fini(&v);
	return rc;
}

static void a_thing_is_saved_little_endian_without_gaps(void **state)
{
	struct thing t = full;
	struct err e = {0};
	struct visitor v;

	(void)state;
	visitor_save(&v, 2, &e);
	visit_thing(&v, &t);
	assert_int_equal(visitor_end(&v), 0);
	assert_int_equal(v.len, sizeof(full_bytes));
	assert_memory_equal(v.data, full_bytes, sizeof(full_bytes));
	assert_memory_equal(&t, &full, sizeof(t)); /* and nothing is changed */
	visitor_fini(&v);
	assert_null(v.data);
}

static void a_thing_is_loaded_as_it_was_saved(void **state)
{
	struct err e = {0};
	struct thing t;

	(void)state;
	assert_int_equal(load(full_bytes, sizeof(full_bytes), 2, &t, &e), 0);
	assert_int_equal(t.a, full.a);
	assert_int_equal(t.b, full.b);
	assert_int_equal(t.c, full.c);
	assert_int_equal(t.d, full.d);
	assert_true(t.is_up);
	assert_false(t.is_down);
	assert_int_equal(t.size, full.size);
	assert_memory_equal(t.bytes, full.bytes, full.size);
	assert_int_equal(t.added_in_2, full.added_in_2);
	assert_string_equal(e.text, "");
}

static void an_older_version_has_fewer_fields(void **state)
{
	struct err e = {0};
	struct thing t;

	(void)state;
	assert_int_equal(load(full_bytes, BYTES_OF_1, 1, &t, &e), 0);
	assert_int_equal(t.added_in_2, 0xeeeeeeee);
	assert_int_equal(load(full_bytes, BYTES_OF_1, 2, &t, &e), -EINVAL);
	assert_string_equal(e.text, "it ends too early");
}

static void each_truncation_is_refused_and_gives_zeroes(void **state)
{
	struct thing t;
	size_t len;

	(void)state;
	for (len = 0; len < sizeof(full_bytes); len++) {
		struct err e = {0};

		assert_int_equal(load(full_bytes, len, 2, &t, &e), -EINVAL);
		assert_string_equal(e.text, "it ends too early");
		assert_int_equal(t.added_in_2, 0);
	}
}

static void bytes_that_nobody_asked_for_are_refused(void **state)
{
	struct err e = {0};
	struct thing t;

	(void)state;
	assert_int_equal(load(full_bytes, sizeof(full_bytes), 1, &t, &e),
			 -EINVAL);
	assert_string_equal(e.text, "4 bytes more than this version knows");
}

static void a_size_over_its_bound_is_refused_before_it_is_used(void **state)
{
	uint8_t bytes[sizeof(full_bytes)];
	struct err e = {0};
	struct thing t;

	(void)state;
	memcpy(bytes, full_bytes, sizeof(bytes));
	bytes[SIZE_AT] = THING_MAX + 1;
	assert_int_equal(load(bytes, sizeof(bytes), 2, &t, &e), -EINVAL);
	assert_string_equal(e.text, "a thing of 7 bytes");
	assert_int_equal(t.bytes[0], 0xee);
	assert_int_equal(t.added_in_2, 0);
}

static void a_yes_or_no_is_one_of_the_two(void **state)
{
	uint8_t bytes[sizeof(full_bytes)];
	struct err e = {0};
	struct thing t;

	(void)state;
	memcpy(bytes, full_bytes, sizeof(bytes));
	bytes[SIZE_AT - 2] = 2;
	assert_int_equal(load(bytes, sizeof(bytes), 2, &t, &e), -EINVAL);
	assert_string_equal(e.text, "2 where yes or no is meant");
	assert_false(t.is_up);
}

static void the_first_failure_sticks(void **state)
{
	struct err e = {0};
	struct visitor v;
	uint64_t x = 5;

	(void)state;
	visitor_load(&v, full_bytes, sizeof(full_bytes), 1, &e);
	assert_true(visit_check(&v, true, "never said"));
	visit_fail(&v, -EPROTO, "the first of %d", 2);
	assert_false(visit_check(&v, true, "never said"));
	assert_false(visit_check(&v, false, "the second of %d", 2));
	visit_u64(&v, &x);
	assert_int_equal(x, 0);
	assert_int_equal(v.at, 0);
	assert_int_equal(visitor_end(&v), -EPROTO);
	assert_string_equal(e.text, "the first of 2");
	visitor_fini(&v);
}

static void nobody_need_listen_to_the_sentence(void **state)
{
	struct thing t;

	(void)state;
	assert_int_equal(load(full_bytes, 3, 2, &t, NULL), -EINVAL);
}

static void what_is_saved_is_our_own_and_not_checked(void **state)
{
	struct err e = {0};
	struct visitor v;

	(void)state;
	visitor_save(&v, 1, &e);
	assert_true(visit_check(&v, false, "never said"));
	assert_int_equal(visitor_end(&v), 0);
	visit_fail(&v, -EIO, "KVM did not say");
	assert_false(visit_check(&v, true, "never said"));
	assert_int_equal(visitor_end(&v), -EIO);
	assert_string_equal(e.text, "KVM did not say");
	visitor_fini(&v);
}

static void what_is_saved_grows(void **state)
{
	static uint8_t block[5000];
	struct visitor v;
	unsigned i;

	(void)state;
	visitor_save(&v, 1, NULL);
	for (i = 0; i < 50; i++) {
		memset(block, (int)i, sizeof(block));
		visit_bytes(&v, block, sizeof(block) - i);
	}
	visit_bytes(&v, block, 0);
	assert_int_equal(visitor_end(&v), 0);
	assert_int_equal(v.len, 50 * sizeof(block) - 49 * 50 / 2);
	assert_int_equal(v.data[0], 0);
	assert_int_equal(v.data[v.len - 1], 49);
	visitor_fini(&v);
}

static void a_zeroed_visitor_can_be_ended(void **state)
{
	struct visitor v = {0};

	(void)state;
	visitor_fini(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thing_is_saved_little_endian_without_gaps),
		cmocka_unit_test(a_thing_is_loaded_as_it_was_saved),
		cmocka_unit_test(an_older_version_has_fewer_fields),
		cmocka_unit_test(each_truncation_is_refused_and_gives_zeroes),
		cmocka_unit_test(bytes_that_nobody_asked_for_are_refused),
		cmocka_unit_test(
			a_size_over_its_bound_is_refused_before_it_is_used),
		cmocka_unit_test(a_yes_or_no_is_one_of_the_two),
		cmocka_unit_test(the_first_failure_sticks),
		cmocka_unit_test(nobody_need_listen_to_the_sentence),
		cmocka_unit_test(what_is_saved_is_our_own_and_not_checked),
		cmocka_unit_test(what_is_saved_grows),
		cmocka_unit_test(a_zeroed_visitor_can_be_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
