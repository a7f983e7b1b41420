/* State files that were damaged, or made by who means ill. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/state_bytes.h"

static const struct state_key key = {.bytes = "sixteen letters!", .len = 16};
static const struct state_key other = {.bytes = "sixteen lettersT", .len = 16};

/* A valid file, from the heap and to be changed, and a place for its refusal.
 */
struct file {
	uint8_t *data;
	size_t len;
	struct err e;
};

/* Where the sections of state_bytes_file() begin. */
enum { FIRST = STATE_HEAD_LEN, SECOND = FIRST + 62, THIRD = SECOND + 122 };

static void file_make(struct file *f, const struct state_key *with)
{
	free(f->data);
	f->data = state_bytes_file(with, &f->len);
	memset(&f->e, 0, sizeof(f->e));
}

/* The first len bytes, where a sanitizer sees one too many. */
static int judge(struct file *f, size_t len, const struct state_key *with)
{
	uint8_t *exact = malloc(len ? len : 1);
	struct state *s;
	int rc;

	assert_non_null(exact);
	memcpy(exact, f->data, len);
	memset(&f->e, 0, sizeof(f->e));
	rc = state_decode(&s, exact, len, with, &f->e);
	free(exact);
	if (!rc) {
		state_free(s);
		return 0;
	}
	assert_null(s);
	assert_int_equal(f->e.code, rc);
	assert_true(f->e.text[0]);
	return rc;
}

/* Changes bytes of a fresh file, mends all sums, and wants it refused. */
static void expect(unsigned at, uint64_t value, unsigned bytes, int rc,
		   const char *text)
{
	struct file f = {0};

	file_make(&f, NULL);
	state_bytes_put(f.data + at, value, bytes);
	state_bytes_mend(f.data, f.len, NULL);
	assert_int_equal(judge(&f, f.len, NULL), rc);
	assert_string_equal(f.e.text, text);
	free(f.data);
}

static void each_bit_counts(void **state)
{
	const struct state_key *keys[] = {NULL, &key};
	struct file f = {0};

	(void)state;
	for (unsigned with = 0; with < 2; with++) {
		file_make(&f, keys[with]);
		for (size_t bit = 0; bit < 8 * f.len; bit++) {
			f.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_true(judge(&f, f.len, keys[with]) < 0);
			f.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		}
		assert_int_equal(judge(&f, f.len, keys[with]), 0);
	}
	free(f.data);
}

static void each_byte_set_to_anything_is_found(void **state)
{
	struct file f = {0};
	uint8_t old;

	(void)state;
	file_make(&f, NULL);
	for (size_t i = 0; i < f.len; i++) {
		old = f.data[i];
		for (unsigned byte = 0; byte < 256; byte++) {
			f.data[i] = (uint8_t)byte;
			assert_true(byte == old || judge(&f, f.len, NULL) < 0);
		}
		f.data[i] = old;
	}
	free(f.data);
}

static void a_file_ends_where_it_says(void **state)
{
	const struct state_key *keys[] = {NULL, &key};
	struct file f = {0};

	(void)state;
	for (unsigned with = 0; with < 2; with++) {
		file_make(&f, keys[with]);
		for (size_t len = 0; len < f.len; len++)
			assert_true(judge(&f, len, keys[with]) < 0);
		for (size_t more = 1; more < 70; more++) {
			uint8_t *longer = realloc(f.data, f.len + more);

			assert_non_null(longer);
			f.data = longer;
			f.data[f.len + more - 1] = 0;
			assert_true(judge(&f, f.len + more, keys[with]) < 0);
		}
	}
	file_make(&f, NULL);
	assert_int_equal(judge(&f, 0, NULL), -EBADMSG);
	assert_string_equal(
		f.e.text,
		"it is no state file of mayfly's: it has only 0 bytes");
	assert_int_equal(judge(&f, f.len - 1, NULL), -EBADMSG);
	assert_string_equal(
		f.e.text,
		"it is damaged: it has 259 bytes and should have 260");
	free(f.data);
}

static void it_is_another_kind_of_file(void **state)
{
	(void)state;
	expect(0, 0x464c457f, 4, -EBADMSG, "it is no state file of mayfly's");
}

static void sums_are_checked_in_their_order(void **state)
{
	struct file f = {0};

	(void)state;
	file_make(&f, NULL);
	f.data[HEAD_COUNT]++;
	assert_int_equal(judge(&f, f.len, NULL), -EBADMSG);
	assert_string_equal(f.e.text,
			    "it is damaged: the sum of its header is wrong");
	file_make(&f, NULL);
	f.data[SECOND + 30]++;
	assert_int_equal(judge(&f, f.len, NULL), -EBADMSG);
	assert_string_equal(f.e.text,
			    "it is damaged: the sum of section 2 is wrong");
	free(f.data);
}

/* Both are whole; what is wrong is where they stand. */
static void sections_can_not_be_swapped(void **state)
{
	uint8_t second[THIRD - SECOND];
	struct file f = {0};

	(void)state;
	file_make(&f, NULL);
	memcpy(second, f.data + SECOND, sizeof(second));
	memmove(f.data + SECOND, f.data + THIRD, f.len - THIRD);
	memcpy(f.data + SECOND + f.len - THIRD, second, sizeof(second));
	assert_int_equal(judge(&f, f.len, NULL), -EBADMSG);
	assert_string_equal(f.e.text,
			    "it is damaged: the sum of section 2 is wrong");
	/* Only the order was wrong. */
	state_bytes_mend(f.data, f.len, NULL);
	assert_int_equal(judge(&f, f.len, NULL), 0);
	free(f.data);
}

static void it_comes_from_the_future_or_elsewhere(void **state)
{
	(void)state;
	expect(HEAD_FORMAT, 2, 2, -ENOTSUP,
	       "it is of format 2, and this mayfly reads them up to 1; load "
	       "it with a newer one");
	expect(HEAD_FORMAT, 0, 2, -ENOTSUP,
	       "it is of format 0, and this mayfly reads them up to 1; load "
	       "it with a newer one");
	expect(HEAD_FLAGS, 6, 4, -ENOTSUP,
	       "it has flags (0x6) that this mayfly does not know");
#ifdef __x86_64__
	expect(HEAD_ARCH, 2, 2, -ENOTSUP,
	       "it is of aarch64, and this host is x86_64");
	expect(HEAD_ARCH, 9, 2, -ENOTSUP,
	       "it is of another architecture, and this host is x86_64");
#endif
}

static void numbers_of_the_header_are_judged(void **state)
{
	(void)state;
	expect(HEAD_LEN, UINT64_MAX, 8, -EBADMSG,
	       "it is damaged: it has 260 bytes and should have "
	       "18446744073709551615");
	expect(HEAD_COUNT, 0, 4, -EBADMSG,
	       "it is damaged: it has 0 sections, which should be 1 to 1024");
	expect(HEAD_COUNT, UINT32_MAX, 4, -EBADMSG,
	       "it is damaged: it has 4294967295 sections, which should be 1 "
	       "to 1024");
	expect(HEAD_COUNT, 4, 4, -EBADMSG,
	       "it is damaged: section 4 goes over its end");
	expect(HEAD_COUNT, 2, 4, -EBADMSG,
	       "it is damaged: 28 bytes follow its sections");
}

static void sections_over_the_end_are_refused(void **state)
{
	static const char text[] = "it is damaged: section 2 goes over its end";

	(void)state;
	expect(SECOND + SECTION_LEN, UINT32_MAX, 4, -EBADMSG, text);
	expect(SECOND + SECTION_LEN, 129, 4, -EBADMSG, text);
	expect(SECOND + SECTION_NAME_LEN, UINT16_MAX, 2, -EBADMSG, text);
	expect(SECOND + SECTION_LEN, 128, 4, -EBADMSG,
	       "it is damaged: section 3 goes over its end");
}

static void names_are_judged(void **state)
{
	static const char two[] = "it is damaged: section 2 has no proper name";

	(void)state;
	expect(SECOND + SECTION_HEAD, 0x1b, 1, -EBADMSG, two);
	expect(SECOND + SECTION_HEAD + 3, 0, 1, -EBADMSG, two);
	expect(SECOND + SECTION_HEAD + 5, 0x7f, 1, -EBADMSG, two);
	expect(SECOND + SECTION_HEAD + 5, 0x9b, 1, -EBADMSG, two);
	expect(SECOND + SECTION_HEAD, ' ', 1, -EBADMSG, two);
	expect(SECOND + SECTION_ZERO, 1, 2, -EBADMSG, two);
	/* "config" once more. */
	expect(SECOND + SECTION_HEAD, 0x6769666e6f63, 6, -EBADMSG,
	       "it is damaged: it has two sections config");
}

static void a_name_has_1_to_96_letters(void **state)
{
	static const struct {
		unsigned len;
		int rc;
	} cases[] = {{0, -EBADMSG}, {1, 0}, {96, 0}, {97, -EBADMSG}};
	struct file f = {0};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		file_make(&f, NULL);
		memset(f.data + SECOND + SECTION_HEAD, 'n', 106);
		state_bytes_put(f.data + SECOND + SECTION_NAME_LEN,
				cases[i].len, 2);
		state_bytes_put(f.data + SECOND + SECTION_LEN,
				106 - cases[i].len, 4);
		state_bytes_mend(f.data, f.len, NULL);
		assert_int_equal(judge(&f, f.len, NULL), cases[i].rc);
	}
	assert_string_equal(f.e.text,
			    "it is damaged: section 2 has no proper name");
	free(f.data);
}

static void a_file_for_another_key_is_refused(void **state)
{
	static const char text[] =
		"it was written with another key, or changed since; give the "
		"key that it was written with";
	const struct state_key prefix = {.bytes = "sixteen", .len = 7};
	struct file f = {0};

	(void)state;
	file_make(&f, &key);
	assert_int_equal(judge(&f, f.len, &other), -EKEYREJECTED);
	assert_string_equal(f.e.text, text);
	assert_int_equal(judge(&f, f.len, &prefix), -EKEYREJECTED);
	assert_string_equal(f.e.text, text);
	assert_int_equal(judge(&f, f.len, &key), 0);
	free(f.data);
}

static void a_file_with_a_tag_wants_its_key(void **state)
{
	struct file f = {0};

	(void)state;
	file_make(&f, &key);
	assert_int_equal(judge(&f, f.len, NULL), -EKEYREJECTED);
	assert_string_equal(f.e.text,
			    "it was written with a key; give the key");
	free(f.data);
}

static void a_file_without_a_tag_is_not_for_a_key(void **state)
{
	struct file f = {0};

	(void)state;
	file_make(&f, NULL);
	assert_int_equal(judge(&f, f.len, &key), -EKEYREJECTED);
	assert_string_equal(f.e.text,
			    "it was written without a key, and one is asked "
			    "for; save it anew with the key");
	free(f.data);
}

/* Who takes the tag off, and mends what is left, gains nothing. */
static void a_tag_can_not_be_taken_off(void **state)
{
	struct file f = {0};

	(void)state;
	file_make(&f, &key);
	f.len -= TAG_LEN;
	f.data[HEAD_FLAGS] = 0;
	state_bytes_put(f.data + HEAD_LEN, f.len, 8);
	state_bytes_mend(f.data, f.len, NULL);
	assert_int_equal(judge(&f, f.len, NULL), 0);
	assert_int_equal(judge(&f, f.len, &key), -EKEYREJECTED);
	free(f.data);
}

/* The tag first: what else is wrong is not even looked for. */
static void the_tag_is_checked_first(void **state)
{
	struct file f = {0};

	(void)state;
	file_make(&f, &key);
	memset(f.data, 0xff, f.len - TAG_LEN);
	assert_int_equal(judge(&f, f.len, &key), -EKEYREJECTED);
	/* And who has the key is as little trusted with the rest. */
	state_bytes_mend(f.data, f.len, &key);
	assert_int_equal(judge(&f, f.len, &key), -EBADMSG);
	assert_string_equal(f.e.text, "it is no state file of mayfly's");
	file_make(&f, &key);
	f.data[HEAD_FLAGS] = 0;
	state_bytes_mend(f.data, f.len, &key);
	assert_int_equal(judge(&f, f.len, &key), -EBADMSG);
	assert_string_equal(f.e.text, "it has a tag and says that it has none");
	free(f.data);
}

static void a_file_can_be_too_large_to_be_looked_at(void **state)
{
	struct err e = {0};
	struct state *s;
	uint8_t one = 0;

	(void)state;
	assert_int_equal(
		state_decode(&s, &one, (size_t)STATE_BYTES_MAX + 1, NULL, &e),
		-EFBIG);
	assert_string_equal(e.text, "it has more than 64 MiB, which no "
				    "machine's state should");
	assert_null(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_bit_counts),
		cmocka_unit_test(each_byte_set_to_anything_is_found),
		cmocka_unit_test(a_file_ends_where_it_says),
		cmocka_unit_test(it_is_another_kind_of_file),
		cmocka_unit_test(sums_are_checked_in_their_order),
		cmocka_unit_test(sections_can_not_be_swapped),
		cmocka_unit_test(it_comes_from_the_future_or_elsewhere),
		cmocka_unit_test(numbers_of_the_header_are_judged),
		cmocka_unit_test(sections_over_the_end_are_refused),
		cmocka_unit_test(names_are_judged),
		cmocka_unit_test(a_name_has_1_to_96_letters),
		cmocka_unit_test(a_file_for_another_key_is_refused),
		cmocka_unit_test(a_file_with_a_tag_wants_its_key),
		cmocka_unit_test(a_file_without_a_tag_is_not_for_a_key),
		cmocka_unit_test(a_tag_can_not_be_taken_off),
		cmocka_unit_test(the_tag_is_checked_first),
		cmocka_unit_test(a_file_can_be_too_large_to_be_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
