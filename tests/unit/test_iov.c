/* Scattered buffers: bytes count, wherever the segments end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/virtio/iov.h"

static char memory[32];
static struct iovec segments[32];

/* "abcdefghij" in segments of the given lengths, which end with 0. */
static struct iov make(const size_t *lengths)
{
	struct iov iov = {.at = segments};
	char *at = memory;

	memcpy(memory, "abcdefghij", 10);
	for (; *lengths; lengths++) {
		segments[iov.count].iov_base = at;
		segments[iov.count].iov_len = *lengths;
		at += *lengths;
		iov.bytes += *lengths;
		iov.count++;
	}
	return iov;
}

static const size_t whole[] = {10, 0};
static const size_t ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0};
static const size_t uneven[] = {3, 1, 4, 2, 0};
static const size_t *const splits[] = {whole, ones, uneven};
enum { SPLITS = 3 };

static void every_part_reads_the_same_however_it_is_split(void **state)
{
	char buf[16];

	(void)state;
	for (int s = 0; s < SPLITS; s++)
		for (size_t from = 0; from <= 12; from++)
			for (size_t len = 0; len <= 12; len++) {
				struct iov iov = make(splits[s]);
				size_t left = from < 10 ? 10 - from : 0;
				size_t want = len < left ? len : left;

				memset(buf, '.', sizeof(buf));
				assert_int_equal(iov_read(&iov, from, buf, len),
						 want);
				assert_memory_equal(
					buf, &"abcdefghij"[from % 11], want);
				assert_int_equal(buf[want], '.');
				assert_int_equal(iov.bytes, 10);
			}
}

static void every_part_is_written_and_nothing_else(void **state)
{
	(void)state;
	for (int s = 0; s < SPLITS; s++)
		for (size_t from = 0; from <= 12; from++)
			for (size_t len = 0; len <= 12; len++) {
				struct iov iov = make(splits[s]);
				size_t left = from < 10 ? 10 - from : 0;
				size_t want = len < left ? len : left;

				assert_int_equal(iov_write(&iov, from,
							   "0123456789ABC",
							   len),
						 want);
				for (size_t i = 0; i < 10; i++)
					assert_int_equal(
						memory[i],
						i >= from && i < from + want
							? "0123456789"[i - from]
							: "abcdefghij"[i]);
			}
}

static size_t sum(const struct iov *iov)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < iov->count; i++)
		bytes += iov->at[i].iov_len;
	return bytes;
}

static void dropping_leaves_the_other_end(void **state)
{
	char buf[16];

	(void)state;
	for (int s = 0; s < SPLITS; s++)
		for (size_t front = 0; front <= 11; front++)
			for (size_t back = 0; back <= 11; back++) {
				struct iov iov = make(splits[s]);
				size_t a = front < 10 ? front : 10;
				size_t b = back < 10 - a ? back : 10 - a;

				iov_drop_front(&iov, front);
				iov_drop_back(&iov, back);
				assert_int_equal(iov.bytes, 10 - a - b);
				assert_int_equal(sum(&iov), iov.bytes);
				assert_int_equal(iov_read(&iov, 0, buf, 16),
						 iov.bytes);
				assert_memory_equal(buf, &"abcdefghij"[a],
						    iov.bytes);
			}
}

static void taking_reads_and_drops(void **state)
{
	struct iov iov = make(uneven);
	char buf[16];

	(void)state;
	assert_int_equal(iov_take(&iov, buf, 5), 5);
	assert_memory_equal(buf, "abcde", 5);
	assert_int_equal(iov_take(&iov, buf, 16), 5);
	assert_memory_equal(buf, "fghij", 5);
	assert_int_equal(iov.bytes, 0);
	assert_int_equal(iov.count, 0);
	assert_int_equal(iov_take(&iov, buf, 1), 0);
}

static void an_empty_run_has_nothing(void **state)
{
	struct iov iov = {0};
	char byte;

	(void)state;
	assert_int_equal(iov_read(&iov, 0, &byte, 1), 0);
	assert_int_equal(iov_write(&iov, 0, &byte, 1), 0);
	assert_int_equal(iov_take(&iov, &byte, 1), 0);
	iov_drop_front(&iov, 1);
	iov_drop_back(&iov, 1);
	assert_int_equal(iov.bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_part_reads_the_same_however_it_is_split),
		cmocka_unit_test(every_part_is_written_and_nothing_else),
		cmocka_unit_test(dropping_leaves_the_other_end),
		cmocka_unit_test(taking_reads_and_drops),
		cmocka_unit_test(an_empty_run_has_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
