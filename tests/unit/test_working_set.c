/* The file of a working set: there and back, and what is none. */
#include <endian.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "vmm/mem/guest_mem.h"
#include "vmm/mem/working_set.h"

enum { PAGES = 32768, HEAD_LEN = 48, SUM_AT = 44, MUTATIONS = 200000 };

static const uint8_t id[WORKING_SET_ID_LEN] = "sixteen bytes id";

/* Pages 9, 10 and 11, then 12 by a write, then 3, then the last. */
static void fill(struct working_set *s)
{
	*s = (struct working_set){.pages_of_guest = PAGES};
	memcpy(s->id, id, sizeof(id));
	assert_int_equal(working_set_reserve(s, 6), 0);
	assert_int_equal(working_set_add(s, 9, false), 0);
	assert_int_equal(working_set_add(s, 10, false), 0);
	assert_int_equal(working_set_add(s, 11, false), 0);
	assert_int_equal(working_set_add(s, 12, true), 0);
	assert_int_equal(working_set_add(s, 3, false), 0);
	assert_int_equal(working_set_add(s, PAGES - 1, true), 0);
}

static uint8_t *encoded(size_t *len)
{
	struct working_set s;
	uint8_t *data;

	fill(&s);
	assert_int_equal(working_set_encode(&s, &data, len), 0);
	working_set_fini(&s);
	return data;
}

static void test_adds(void **state)
{
	struct working_set s;

	(void)state;
	fill(&s);
	assert_int_equal(s.count, 4);
	assert_int_equal(s.pages, 6);
	assert_int_equal(s.ranges[0].page, 9);
	assert_int_equal(s.ranges[0].count, 3);
	assert_false(s.ranges[0].is_written);
	assert_int_equal(s.ranges[1].page, 12);
	assert_true(s.ranges[1].is_written);
	/* There was room for six. */
	assert_int_equal(working_set_add(&s, 4, false), -ENOSPC);
	assert_int_equal(s.pages, 6);
	working_set_fini(&s);
	assert_null(s.ranges);
}

static void test_there_and_back(void **state)
{
	struct working_set s, back;
	struct err e = {0};
	uint8_t *data, *again;
	size_t len, again_len;
	uint32_t i;

	(void)state;
	fill(&s);
	data = encoded(&len);
	assert_int_equal(len, HEAD_LEN + 8 * 4);
	assert_memory_equal(data, "mayflyws\1\0\0\0\4\0\0\0sixteen bytes id",
			    32);
	assert_int_equal(working_set_decode(&back, data, len, id, PAGES, &e),
			 0);
	assert_int_equal(back.count, s.count);
	assert_int_equal(back.pages, s.pages);
	for (i = 0; i < s.count; i++) {
		assert_int_equal(back.ranges[i].page, s.ranges[i].page);
		assert_int_equal(back.ranges[i].count, s.ranges[i].count);
		assert_int_equal(back.ranges[i].is_written,
				 s.ranges[i].is_written);
	}
	assert_int_equal(working_set_encode(&back, &again, &again_len), 0);
	assert_int_equal(again_len, len);
	assert_memory_equal(again, data, len);
	free(again);
	free(data);
	working_set_fini(&back);
	working_set_fini(&s);
}

static void test_common(void **state)
{
	uint64_t pages[PAGES / GUEST_WORD] = {0};
	struct working_set s;

	(void)state;
	fill(&s);
	assert_int_equal(working_set_common(&s, pages), 0);
	pages[0] = 1ULL << 10 | 1ULL << 13 | 1ULL << 3;
	pages[PAGES / GUEST_WORD - 1] = 1ULL << 63;
	assert_int_equal(working_set_common(&s, pages), 3);
	working_set_fini(&s);
}

static void test_of_another(void **state)
{
	uint8_t other[WORKING_SET_ID_LEN] = "sixteen bytes iD";
	struct working_set s;
	struct err e = {0};
	size_t len;
	uint8_t *data = encoded(&len);

	(void)state;
	assert_int_equal(working_set_decode(&s, data, len, other, PAGES, &e),
			 -ESTALE);
	assert_non_null(strstr(e.text, "another snapshot's"));
	assert_int_equal(working_set_decode(&s, data, len, id, PAGES / 2, &e),
			 -ESTALE);
	data[8] = 2;
	assert_int_equal(working_set_decode(&s, data, len, id, PAGES, &e),
			 -ENOTSUP);
	free(data);
}

/* Each of its bytes is covered, and each of its ends. */
static void test_damaged(void **state)
{
	struct working_set s;
	struct err e = {0};
	size_t len, i;
	uint8_t *data = encoded(&len);

	(void)state;
	for (i = 0; i < 8 * len; i++) {
		data[i / 8] ^= (uint8_t)(1U << i % 8);
		e.text[0] = '\0';
		assert_true(working_set_decode(&s, data, len, id, PAGES, &e) <
			    0);
		assert_null(s.ranges);
		assert_true(e.text[0]);
		data[i / 8] ^= (uint8_t)(1U << i % 8);
	}
	for (i = 0; i < len; i++)
		assert_true(working_set_decode(&s, data, i, id, PAGES, &e) < 0);
	free(data);
}

static void mend_sum(uint8_t *data, size_t len)
{
	uint32_t sum = (uint32_t)crc32_z(0, data, SUM_AT);

	sum = htole32((uint32_t)crc32_z(sum, data + HEAD_LEN, len - HEAD_LEN));
	memcpy(data + SUM_AT, &sum, sizeof(sum));
}

/* Whatever is taken are pages of the guest's, each once. */
static void judge(const struct working_set *s)
{
	static uint8_t seen[PAGES];
	uint32_t i, k, sum = 0;

	memset(seen, 0, sizeof(seen));
	for (i = 0; i < s->count; i++)
		for (k = 0; k < s->ranges[i].count; k++, sum++) {
			assert_true(s->ranges[i].page + (uint64_t)k < PAGES);
			assert_int_equal(seen[s->ranges[i].page + k]++, 0);
		}
	assert_int_equal(sum, s->pages);
}

/* The same numbers in each run. */
static uint32_t random_next(void)
{
	static uint32_t x = 1;

	x = x * 1664525 + 1013904223;
	return x >> 8;
}

/* With sums that are right. */
static void test_forged(void **state)
{
	struct working_set s;
	struct err e = {0};
	size_t len;
	uint8_t *good = encoded(&len), data[HEAD_LEN + 8 * 4];
	unsigned i, taken = 0;

	(void)state;
	assert_int_equal(len, sizeof(data));
	for (i = 0; i < MUTATIONS; i++) {
		memcpy(data, good, len);
		data[HEAD_LEN + random_next() % 32] = (uint8_t)random_next();
		if (i % 2)
			data[40 + random_next() % 4] =
				(uint8_t)(random_next() % 8);
		mend_sum(data, len);
		if (working_set_decode(&s, data, len, id, PAGES, &e))
			continue;
		judge(&s);
		working_set_fini(&s);
		taken++;
	}
	/* Neither all nor none: another page is as good. */
	assert_true(taken > MUTATIONS / 20 && taken < MUTATIONS / 2);
	free(good);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_adds),
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_common),
		cmocka_unit_test(test_of_another),
		cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_forged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
