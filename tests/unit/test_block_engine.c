/*
 * virtio-block beyond single requests: discards, limits, another file under a
 * running guest, many requests in flight; with both engines.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/block_bench.h"
#include "tests/unit/late.h"
#include "vmm/base/clock.h"

enum { DISCARD = 11, WRITE_ZEROES = 13, UNMAP = 1 };

static void range(unsigned at, uint64_t sector, uint32_t sectors,
		  uint32_t flags)
{
	uint8_t *p = sent + 16 + 16 * at;

	memcpy(p, &sector, 8);
	memcpy(p + 8, &sectors, 4);
	memcpy(p + 12, &flags, 4);
}

/* Sends one range; returns the status. */
static uint8_t discard(uint32_t type, uint64_t sector, uint32_t sectors,
		       uint32_t flags)
{
	header(type, 77);
	range(0, sector, sectors, flags);
	assert_int_equal(request(32, 1, 5), 1);
	return got[0];
}

static long blocks_of_disk(void)
{
	struct stat st;

	assert_int_equal(stat(bench_path, &st), 0);
	return st.st_blocks;
}

static void a_discard_gives_space_back(void **state)
{
	uint8_t zeroes[8 * SECTOR] = {0};
	long before = blocks_of_disk();

	(void)state;
	assert_int_equal(discard(DISCARD, 8, 8, 0), OK);
	assert_true(blocks_of_disk() < before);
	expect_on_disk(8 * SECTOR, zeroes, sizeof(zeroes));
	header(IN, 0);
	assert_int_equal(request(16, 8 * SECTOR + 1, ROOM), 8 * SECTOR + 1);
	expect_sectors(0, 8);
}

static void zeroes_are_written_with_and_without_unmap(void **state)
{
	uint8_t zeroes[8 * SECTOR] = {0};
	uint8_t status;

	(void)state;
	assert_int_equal(discard(WRITE_ZEROES, 8, 8, UNMAP), OK);
	expect_on_disk(8 * SECTOR, zeroes, sizeof(zeroes));
	/* Not every file system can do it without giving space back. */
	status = discard(WRITE_ZEROES, 0, 8, 0);
	assert_true(status == OK || status == UNSUPP);
	if (status == OK)
		expect_on_disk(0, zeroes, sizeof(zeroes));
}

static void ranges_are_judged(void **state)
{
	static const uint32_t types[] = {DISCARD, WRITE_ZEROES};
	unsigned i;

	(void)state;
	for (i = 0; i < 2; i++) {
		assert_int_equal(discard(types[i], 0, 0, 0), IOERR);
		assert_int_equal(discard(types[i], SECTORS, 1, 0), IOERR);
		assert_int_equal(discard(types[i], 1, SECTORS, 0), IOERR);
		assert_int_equal(discard(types[i], UINT64_MAX, 2, 0), IOERR);
		assert_int_equal(discard(types[i], 0, UINT32_MAX, 0), IOERR);
		assert_int_equal(discard(types[i], 0, 1, 2), UNSUPP);
		assert_int_equal(discard(types[i], 0, 1, ~0U), UNSUPP);
		/* No range, parts of one, two. */
		header(types[i], 0);
		assert_int_equal(request(16, 1, 5), 1);
		assert_int_equal(got[0], IOERR);
		range(0, 0, 1, 0);
		range(1, 1, 1, 0);
		assert_int_equal(request(31, 1, 5), 1);
		assert_int_equal(got[0], IOERR);
		assert_int_equal(request(48, 1, 5), 1);
		assert_int_equal(got[0], IOERR);
	}
	assert_int_equal(discard(DISCARD, 0, 1, UNMAP), UNSUPP);
	assert_false(is_broken());
	expect_disk_unharmed();
}

static void ranges_reach_as_far_as_the_driver_was_told(void **state)
{
	uint32_t discards, zeroes;
	struct err e;

	(void)state;
	make_disk(4LL << 30);
	assert_int_equal(block_set_path(host.device, NULL, &e), 0);
	discards = fake_read32(&host, MMIO_CONFIG + 36);
	zeroes = fake_read32(&host, MMIO_CONFIG + 48);
	assert_in_range(discards, 1, (4U << 21) - 1);
	assert_in_range(zeroes, 1, (4U << 21) - 1);
	assert_int_equal(fake_read32(&host, MMIO_CONFIG + 40), 1);
	assert_int_equal(fake_read32(&host, MMIO_CONFIG + 52), 1);
	assert_int_equal(discard(DISCARD, 16, discards, 0), OK);
	assert_int_equal(discard(DISCARD, 16, discards + 1, 0), IOERR);
	assert_int_equal(discard(WRITE_ZEROES, 16, zeroes, UNMAP), OK);
	assert_int_equal(discard(WRITE_ZEROES, 16, zeroes + 1, UNMAP), IOERR);
	expect_disk_unharmed();
}

static void a_read_only_disk_discards_nothing(void **state)
{
	struct err e;

	(void)state;
	fake_host_close(&host);
	assert_int_equal(open_disk("rootfs", true, true, &e), 0);
	fake_write32(&host, MMIO_DEVICE_FEATURES_SEL, 0);
	assert_false(fake_read32(&host, MMIO_DEVICE_FEATURES) &
		     (F_DISCARD | F_WRITE_ZEROES));
	up(F_FLUSH | F_RO);
	assert_int_equal(discard(DISCARD, 0, 1, 0), UNSUPP);
	assert_int_equal(discard(WRITE_ZEROES, 0, 1, UNMAP), UNSUPP);
	expect_disk_unharmed();
}

static void what_was_not_accepted_is_unsupported(void **state)
{
	(void)state;
	up(F_FLUSH | F_DISCARD);
	assert_int_equal(discard(WRITE_ZEROES, 0, 1, UNMAP), UNSUPP);
	assert_int_equal(discard(DISCARD, 0, 0, 0), IOERR);
	up(F_FLUSH | F_WRITE_ZEROES);
	assert_int_equal(discard(DISCARD, 0, 1, 0), UNSUPP);
	assert_int_equal(discard(WRITE_ZEROES, 0, 0, 0), IOERR);
	expect_disk_unharmed();
}

/* ---- many at once ---------------------------------------------------------
 */

/* Offers n reads of one sector each, without serving them. */
static void offer_reads(uint16_t n)
{
	uint16_t i;

	header(IN, 0);
	memset(got, UNTOUCHED, n * (SECTOR + 1));
	for (i = 0; i < n; i++) {
		const uint16_t at = i * 3;
		const uint64_t to = GOT_GPA + i * (SECTOR + 1ULL);

		fake_ring_desc(&ring, at, SENT_GPA, 16, FAKE_NEXT, at + 1);
		fake_ring_desc(&ring, at + 1, to, SECTOR,
			       FAKE_NEXT | FAKE_WRITE, at + 2);
		fake_ring_desc(&ring, at + 2, to + SECTOR, 1, FAKE_WRITE, 0);
		fake_ring_offer(&ring, at);
	}
}

enum { READS = 60 };

static void all_of_many_are_answered(void **state)
{
	bool seen[READS] = {0};
	uint32_t id, len;
	unsigned i, round;

	(void)state;
	for (round = 0; round < 50; round++) {
		offer_reads(READS);
		fake_write32(&host, MMIO_NOTIFY, 0);
		memset(seen, 0, sizeof(seen));
		for (i = 0; i < READS; i++) {
			assert_true(answered(&id, &len));
			assert_int_equal(len, SECTOR + 1);
			assert_false(seen[id / 3]);
			seen[id / 3] = true;
			assert_int_equal(got[(id / 3 + 1) * (SECTOR + 1) - 1],
					 OK);
		}
	}
}

static void a_reset_with_requests_in_flight_touches_nothing_after(void **state)
{
	unsigned round;

	(void)state;
	for (round = 0; round < 200; round++) {
		offer_reads(READS);
		fake_write32(&host, MMIO_NOTIFY, 0);
		/* As far as one turn gets, then the driver lets go. */
		fake_host_turn(&host, 1 + round % 3);
		fake_write32(&host, MMIO_STATUS, 0);
		memset(got, UNTOUCHED, READS * (SECTOR + 1));
		fake_host_turn(&host, 8);
		assert_int_equal(got[0], UNTOUCHED);
		assert_int_equal(got[READS * (SECTOR + 1) - 1], UNTOUCHED);
		up(F_FLUSH);
	}
	header(IN, 3);
	assert_int_equal(request(16, SECTOR + 1, ROOM), SECTOR + 1);
	expect_sectors(3, 1);
}

static void a_device_may_go_with_requests_in_flight(void **state)
{
	struct err e;

	(void)state;
	offer_reads(READS);
	fake_write32(&host, MMIO_NOTIFY, 0);
	fake_host_turn(&host, 1);
	fake_host_close(&host);
	assert_int_equal(open_disk("rootfs", false, true, &e), 0);
	up(F_FLUSH);
}

/* ---- another file ---------------------------------------------------------
 */

static void another_file_takes_the_place(void **state)
{
	char other[64];
	int fd;

	(void)state;
	snprintf(other, sizeof(other), "%s.other", bench_path);
	fd = open(other, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 3 * SECTOR), 0);
	offer_reads(READS);
	fake_write32(&host, MMIO_NOTIFY, 0);
	fake_host_turn(&host, 1);
	assert_int_equal(block_set_path(host.device, other, NULL), 0);
	/* What is in flight ends first, and nobody waited for it. */
	while (fake_read32(&host, MMIO_CONFIG) != 3)
		usleep(100), fake_host_turn(&host, 8);
	assert_int_equal(fake_read32(&host, MMIO_ISR) & 2, 2);
	assert_int_equal(fake_read32(&host, MMIO_CONFIG), 3);
	fake_write32(&host, MMIO_STATUS, 0);
	up(F_FLUSH);
	header(IN, 2);
	assert_int_equal(request(16, SECTOR + 1, ROOM), SECTOR + 1);
	assert_int_equal(got[0] | got[SECTOR - 1], 0);
	header(IN, 3);
	request(16, SECTOR + 1, ROOM);
	assert_int_equal(got[SECTOR], IOERR);
	/* The same file again, grown in between. */
	assert_int_equal(ftruncate(fd, 9 * SECTOR), 0);
	assert_int_equal(block_set_path(host.device, NULL, NULL), 0);
	assert_int_equal(fake_read32(&host, MMIO_CONFIG), 9);
	close(fd);
	unlink(other);
}

static void a_file_that_cannot_be_had_changes_nothing(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(block_set_path(host.device, "/no/such", &e), -ENOENT);
	assert_non_null(strstr(e.text, "/no/such"));
	assert_int_equal(block_set_path(host.device, "/tmp", &e), -EISDIR);
	assert_int_equal(block_set_path(host.device, "/dev/null", &e), -EINVAL);
	assert_int_equal(fake_read32(&host, MMIO_CONFIG), SECTORS);
	header(IN, 0);
	assert_int_equal(request(16, SECTOR + 1, ROOM), SECTOR + 1);
	expect_sectors(0, 1);
}

/* ---- limits ---------------------------------------------------------------
 */

static uint64_t serve_reads(unsigned n)
{
	const uint64_t begin = clock_now_ns();
	uint32_t id, len;
	unsigned i;

	offer_reads((uint16_t)n);
	fake_write32(&host, MMIO_NOTIFY, 0);
	for (i = 0; i < n; i++)
		while (!fake_ring_take(&ring, &id, &len))
			fake_host_wait(&host);
	return clock_now_ns() - begin;
}

static void requests_keep_to_the_limit(void **state)
{
	const struct limiter_config ops = {.ops = {10, 0, 50, true}};
	const struct limiter_config bytes = {
		.ops = {0, 0, 0, true},
		.bytes = {10 * SECTOR, 5 * SECTOR, 50, true},
	};
	const struct limiter_config none = {.bytes = {0, 0, 0, true}};

	(void)state;
	/* Ten at once, then one each 5 ms. */
	block_set_limiter(host.device, &ops);
	assert_in_range(serve_reads(30) / 1000, 99000, LATE_NS);
	/* Fifteen at once, the burst among them. */
	block_set_limiter(host.device, &bytes);
	assert_in_range(serve_reads(35) / 1000, 99000, LATE_NS);
	block_set_limiter(host.device, &none);
	assert_in_range(serve_reads(60) / 1000, 0, 60000);
}

static void a_reset_ends_the_wait_of_a_limited_queue(void **state)
{
	const struct limiter_config ops = {.ops = {1, 0, 60000, true}};
	const struct limiter_config none = {.ops = {0, 0, 0, true}};

	(void)state;
	block_set_limiter(host.device, &ops);
	offer_reads(4);
	fake_write32(&host, MMIO_NOTIFY, 0);
	fake_host_turn(&host, 8);
	fake_write32(&host, MMIO_STATUS, 0);
	up(F_FLUSH);
	header(IN, 0);
	block_set_limiter(host.device, &none);
	assert_true(serve_reads(4) < 1000000000);
}

/* ---- counters -------------------------------------------------------------
 */

static char counted[1024];

static void put(struct device_counters *c, const char *name, uint64_t value)
{
	size_t at = strlen(counted);

	(void)c;
	snprintf(counted + at, sizeof(counted) - at, "%s=%llu ", name,
		 (unsigned long long)value);
}

static void what_was_done_is_counted(void **state)
{
	struct device_counters c = {.put = put};

	(void)state;
	header(IN, 0);
	request(16, 2 * SECTOR + 1, ROOM);
	header(OUT, 0);
	request(16 + SECTOR, 1, ROOM);
	header(FLUSH, 0);
	request(16, 1, ROOM);
	discard(DISCARD, 0, 8, 0);
	header(IN, 99);
	request(16, SECTOR + 1, ROOM);
	counted[0] = '\0';
	host.device->ops->count(host.device, &c);
	assert_non_null(strstr(counted, "read_count=1 read_bytes=1024 "
					"write_count=1 write_bytes=512 "
					"flush_count=1 discard_count=1 "
					"failed=1 throttled=0 queue_chains=5 "
					"queue_faults=0 interrupts="));
}

#define TEST(f) \
	cmocka_unit_test_setup_teardown(f, bench_setup_up, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_discard_gives_space_back),
		TEST(zeroes_are_written_with_and_without_unmap),
		TEST(ranges_are_judged),
		TEST(ranges_reach_as_far_as_the_driver_was_told),
		TEST(a_read_only_disk_discards_nothing),
		TEST(what_was_not_accepted_is_unsupported),
		TEST(all_of_many_are_answered),
		TEST(a_reset_with_requests_in_flight_touches_nothing_after),
		TEST(a_device_may_go_with_requests_in_flight),
		TEST(another_file_takes_the_place),
		TEST(a_file_that_cannot_be_had_changes_nothing),
		TEST(requests_keep_to_the_limit),
		TEST(a_reset_ends_the_wait_of_a_limited_queue),
		TEST(what_was_done_is_counted),
	};
	int failed = cmocka_run_group_tests_name("sync", tests, NULL, NULL);

	bench_engine = BLOCK_ASYNC;
	return failed + cmocka_run_group_tests_name("async", tests, NULL, NULL);
}
