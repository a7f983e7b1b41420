/* virtio-block with several queues, and what one turn of the loop does. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/virtio/virtio.h"
#include "tests/unit/block_bench.h"
#include "tests/unit/fake_kvm.h"
#include "tests/unit/late.h"
#include "vmm/base/clock.h"

enum { QUEUES = 8, SMALL = 16 };

#define F_MQ (1ULL << 12)

static int setup(void **state)
{
	struct err e;

	bench_setup(state);
	bench_queues = QUEUES;
	return open_disk("rootfs", false, true, &e);
}

static int teardown(void **state)
{
	bench_queues = 1;
	return bench_teardown(state);
}

/* Offers a read of sector i to queue i; its answer lies at got + i * 1024. */
static void offer_read(unsigned i)
{
	const uint64_t to = GOT_GPA + i * 1024ULL;
	const uint64_t sector = i;
	uint8_t *head = sent + i * 16;

	memset(head, 0, 16);
	memcpy(head + 8, &sector, sizeof(sector));
	memset(got + i * 1024, UNTOUCHED, 1024);
	fake_ring_desc(&rings[i], 0, SENT_GPA + i * 16, 16, FAKE_NEXT, 1);
	fake_ring_desc(&rings[i], 1, to, SECTOR + 1, FAKE_WRITE, 0);
	fake_ring_offer(&rings[i], 0);
}

/* Has it served until queue i has an answer. */
static void expect_answer(unsigned i)
{
	uint32_t id, len;

	ring = rings[i];
	assert_true(answered(&id, &len));
	rings[i] = ring;
	assert_int_equal(id, 0);
	assert_int_equal(len, SECTOR + 1);
	assert_int_equal(got[i * 1024 + SECTOR], OK);
	expect_on_disk(i * SECTOR, got + i * 1024, SECTOR);
}

/* ---- several queues ------------------------------------------------------
 */

static void several_queues_are_told_of(void **state)
{
	struct err e;
	uint16_t n;

	(void)state;
	assert_true(fake_driver_offered(&host) & F_MQ);
	fake_read(&host, MMIO_CONFIG + 34, &n, sizeof(n));
	assert_int_equal(n, QUEUES);
	fake_write32(&host, MMIO_QUEUE_SEL, QUEUES - 1);
	assert_int_equal(fake_read32(&host, MMIO_QUEUE_MAX), RING);
	fake_write32(&host, MMIO_QUEUE_SEL, QUEUES);
	assert_int_equal(fake_read32(&host, MMIO_QUEUE_MAX), 0);
	fake_host_close(&host);
	bench_queues = 1;
	assert_int_equal(open_disk("rootfs", false, true, &e), 0);
	assert_false(fake_driver_offered(&host) & F_MQ);
	fake_read(&host, MMIO_CONFIG + 34, &n, sizeof(n));
	assert_int_equal(n, 1);
}

static void every_queue_gets_its_own_answers(void **state)
{
	unsigned i, round;

	(void)state;
	up_queues(QUEUES, F_MQ | F_FLUSH, SMALL);
	/* One at a time, */
	for (i = 0; i < QUEUES; i++) {
		offer_read(i);
		fake_write32(&host, MMIO_NOTIFY, i);
		expect_answer(i);
	}
	/* and all at once. */
	for (round = 0; round < 40; round++) {
		for (i = 0; i < QUEUES; i++)
			offer_read(i);
		for (i = 0; i < QUEUES; i++)
			fake_write32(&host, MMIO_NOTIFY, i);
		for (i = 0; i < QUEUES; i++)
			expect_answer(i);
	}
	for (i = 0; i < QUEUES; i++)
		assert_int_equal(rings[i].used_head[1], 41);
}

static void queues_that_are_not_set_up_are_left_alone(void **state)
{
	(void)state;
	up_queues(3, F_MQ, SMALL);
	offer_read(2);
	fake_write32(&host, MMIO_NOTIFY, 7);
	fake_write32(&host, MMIO_NOTIFY, 2);
	expect_answer(2);
	assert_false(is_broken());
}

static void a_fault_of_one_queue_stops_them_all(void **state)
{
	unsigned i;

	(void)state;
	up_queues(QUEUES, F_MQ, SMALL);
	offer_read(3);
	rings[3].desc[1].addr = ~0ULL;
	fake_write32(&host, MMIO_NOTIFY, 3);
	fake_host_turn(&host, 8);
	assert_true(is_broken());
	for (i = 0; i < QUEUES; i++)
		if (i != 3)
			offer_read(i);
	fake_write32(&host, MMIO_NOTIFY, 0);
	assert_true(fake_host_turn(&host, 8) < 8);
	for (i = 0; i < QUEUES; i++)
		assert_int_equal(rings[i].used_head[1], 0);
	up_queues(QUEUES, F_MQ, SMALL);
	offer_read(3);
	fake_write32(&host, MMIO_NOTIFY, 3);
	expect_answer(3);
}

/* ---- turns ----------------------------------------------------------------
 */

static unsigned taken(void)
{
	return (unsigned)((struct virtio *)host.device)->queues[0].chains;
}

/*
 * Offers a full ring of reads, each of so many bytes; returns how many one
 * call of the loop takes at most, and checks that all are answered in the end.
 */
static unsigned most_in_a_turn(uint32_t bytes)
{
	unsigned i, before, most = 0;

	up(F_FLUSH);
	header(IN, 0);
	fake_ring_desc(&ring, 0, SENT_GPA, 16, FAKE_NEXT, 1);
	fake_ring_desc(&ring, 1, FAKE_HIGH, bytes, FAKE_NEXT | FAKE_WRITE, 2);
	fake_ring_desc(&ring, 2, GOT_GPA, 1, FAKE_WRITE, 0);
	for (i = 0; i < RING; i++)
		fake_ring_offer(&ring, 0);
	fake_write32(&host, MMIO_NOTIFY, 0);
	for (i = 0; ring.used_head[1] < RING && i < 4000; i++) {
		before = taken();
		if (!fake_host_turn(&host, 1))
			usleep(500);
		if (taken() - before > most)
			most = taken() - before;
	}
	assert_int_equal(ring.used_head[1], RING);
	assert_true(fake_host_turn(&host, 8) < 8);
	assert_int_equal(ring.used_head[0], 0);
	assert_int_equal(got[0], OK);
	return most;
}

static void a_turn_serves_so_many_requests_or_bytes(void **state)
{
	struct err e;

	(void)state;
	make_disk(1 << 20);
	assert_int_equal(block_set_path(host.device, NULL, &e), 0);
	assert_int_equal(most_in_a_turn(SECTOR), 64);
	/* 512 KiB: 9 units of 64 in a turn. */
	assert_int_equal(most_in_a_turn(512 << 10), 8);
}

/* A range costs what moving it would, though nothing is moved. */
static void a_turn_serves_so_many_bytes_of_ranges(void **state)
{
	static const uint32_t types[] = {11, 13};
	unsigned i, before;

	(void)state;
	make_disk(64 << 20);
	assert_int_equal(block_set_path(host.device, NULL, NULL), 0);
	up(F_FLUSH | F_DISCARD | F_WRITE_ZEROES);
	for (i = 0; i < 2; i++) {
		const uint32_t range[4] = {0, 0, (512 << 10) / SECTOR, 0};
		uint32_t id, len, k;

		header(types[i], 0);
		memcpy(sent + 16, range, sizeof(range));
		fake_ring_desc(&ring, 0, SENT_GPA, 32, FAKE_NEXT, 1);
		fake_ring_desc(&ring, 1, GOT_GPA, 1, FAKE_WRITE, 0);
		for (k = 0; k < 100; k++)
			fake_ring_offer(&ring, 0);
		before = taken();
		fake_write32(&host, MMIO_NOTIFY, 0);
		assert_int_equal(fake_host_turn(&host, 1), 1);
		assert_int_equal(taken() - before, 8);
		for (k = 0; k < 100; k++)
			assert_true(answered(&id, &len));
		assert_int_equal(got[0], OK);
	}
}

/* A driver that adds as fast as we serve does not keep the loop. */
static void a_driver_that_never_stops_gets_turns_only(void **state)
{
	unsigned i, j, before;

	(void)state;
	up(F_FLUSH);
	header(GET_ID, 0);
	fake_ring_desc(&ring, 0, SENT_GPA, 16, FAKE_NEXT, 1);
	fake_ring_desc(&ring, 1, GOT_GPA, 21, FAKE_WRITE, 0);
	for (i = 0; i < 100; i++) {
		before = ring.used_head[1];
		while ((uint16_t)(ring.avail_idx - ring.used_head[1]) < RING)
			fake_ring_offer(&ring, 0);
		fake_write32(&host, MMIO_NOTIFY, 0);
		assert_int_equal(fake_host_turn(&host, 1), 1);
		j = (uint16_t)(ring.used_head[1] - before);
		assert_in_range(j, 1, 64);
	}
}

/* Describes a read of so many bytes into one mebibyte, over and over. */
static long read_much(size_t bytes)
{
	uint16_t end = describe(0, SENT_GPA, 16, ROOM, 0);
	size_t n;

	for (; bytes; bytes -= n) {
		n = bytes < FAKE_HIGH_SIZE ? bytes : FAKE_HIGH_SIZE;
		end = describe(end, FAKE_HIGH, n, n, FAKE_WRITE);
	}
	got[0] = UNTOUCHED;
	return go(describe(end, GOT_GPA, 1, 1, FAKE_WRITE));
}

static void a_request_moves_what_the_driver_was_told_at_most(void **state)
{
	uint32_t most;
	struct err e;

	(void)state;
	make_disk(64 << 20);
	assert_int_equal(block_set_path(host.device, NULL, &e), 0);
	up(F_FLUSH);
	most = fake_read32(&host, MMIO_CONFIG + 8) *
	       fake_read32(&host, MMIO_CONFIG + 12);
	assert_in_range(most, 1 << 20, 32 << 20);
	header(IN, 0);
	assert_int_equal(read_much(most), most + 1);
	assert_int_equal(got[0], OK);
	assert_int_equal(read_much(most + SECTOR), 0);
	assert_int_equal(got[0], IOERR);
	/* Far more than the disk has: 240 MiB. */
	assert_int_equal(read_much(240 << 20), 0);
	assert_int_equal(got[0], IOERR);
	assert_int_equal(read_much(SECTOR), SECTOR + 1);
	assert_int_equal(got[0], OK);
}

/* ---- limits ---------------------------------------------------------------
 */

static void a_limit_holds_for_all_queues_and_forgets_none(void **state)
{
	const struct limiter_config slow = {.ops = {4, 0, 20, true}};
	const uint64_t begin = clock_now_ns();
	unsigned i, round, left;
	uint32_t id, len;

	(void)state;
	block_set_limiter(host.device, &slow);
	up_queues(QUEUES, F_MQ, SMALL);
	for (round = 0; round < 3; round++)
		for (i = 0; i < QUEUES; i++)
			offer_read(i);
	for (i = 0; i < QUEUES; i++)
		fake_write32(&host, MMIO_NOTIFY, i);
	for (left = 3 * QUEUES; left;) {
		fake_host_wait(&host);
		for (i = 0; i < QUEUES; i++)
			left -= fake_ring_take(&rings[i], &id, &len);
	}
	/* Four are there, and one comes each 5 ms. */
	assert_in_range(clock_now_ns() - begin, 99000000, LATE_NS);
	for (i = 0; i < QUEUES; i++)
		assert_int_equal(rings[i].used_head[0], 0);
}

/* Counts the answers of a queue, and has the driver ask as much again. */
static unsigned ask_again(unsigned queue)
{
	unsigned n = 0;
	uint32_t id, len;

	while (fake_ring_take(&rings[queue], &id, &len)) {
		fake_ring_offer(&rings[queue], 0);
		n++;
	}
	return n;
}

/* All ask all the time, and there is not enough for any of them. */
static void a_limit_is_shared_by_the_queues_that_ask(void **state)
{
	const struct limiter_config slow = {.ops = {4, 0, 4, true}};
	unsigned answers[QUEUES] = {0}, i, k, all = 0;

	(void)state;
	block_set_limiter(host.device, &slow);
	up_queues(QUEUES, F_MQ, SMALL);
	for (i = 0; i < QUEUES; i++) {
		offer_read(i);
		for (k = 1; k < SMALL; k++)
			fake_ring_offer(&rings[i], 0);
		fake_write32(&host, MMIO_NOTIFY, i);
	}
	while (all < 40 * QUEUES) {
		fake_host_wait(&host);
		for (i = 0; i < QUEUES; i++) {
			k = ask_again(i);
			answers[i] += k;
			all += k;
		}
		/* Kicks while it says no change nobody's turn. */
		fake_write32(&host, MMIO_NOTIFY, 0);
	}
	for (i = 0; i < QUEUES; i++)
		assert_in_range(answers[i], 20, 80);
}

/* What is large waits longer, but it has its turn, and is paid for alike. */
static void a_limit_charges_ranges_by_their_length(void **state)
{
	const struct limiter_config slow = {.bytes = {1 << 20, 0, 60000, true}};
	const struct limiter_config none = {.bytes = {0, 0, 0, true}};
	static const uint32_t types[] = {11, 13};
	const uint32_t range[4] = {0, 0, (1 << 20) / SECTOR, 0};
	uint32_t id, len;
	unsigned i;

	(void)state;
	make_disk(4 << 20);
	assert_int_equal(block_set_path(host.device, NULL, NULL), 0);
	for (i = 0; i < 2; i++) {
		up(F_FLUSH | F_DISCARD | F_WRITE_ZEROES);
		block_set_limiter(host.device, &none);
		block_set_limiter(host.device, &slow);
		header(types[i], 0);
		memcpy(sent + 16, range, sizeof(range));
		fake_ring_desc(&ring, 0, SENT_GPA, 32, FAKE_NEXT, 1);
		fake_ring_desc(&ring, 1, GOT_GPA, 1, FAKE_WRITE, 0);
		fake_ring_offer(&ring, 0);
		fake_ring_offer(&ring, 0);
		fake_write32(&host, MMIO_NOTIFY, 0);
		assert_true(answered(&id, &len));
		/* A minute's worth was in it, and all of it is gone. */
		assert_non_null(host.loop.timers);
		assert_false(fake_ring_take(&ring, &id, &len));
		block_set_limiter(host.device, &none);
		while (!fake_ring_take(&ring, &id, &len))
			fake_host_wait(&host);
		assert_int_equal(got[0], OK);
	}
}

static void a_limit_outlives_the_driver_it_held_back(void **state)
{
	const struct limiter_config slow = {.ops = {1, 0, 30, true}};
	unsigned round;

	(void)state;
	block_set_limiter(host.device, &slow);
	for (round = 0; round < 4; round++) {
		up_queues(QUEUES, F_MQ, SMALL);
		offer_read(0);
		offer_read(1);
		fake_write32(&host, MMIO_NOTIFY, 0);
		fake_host_turn(&host, 8);
		assert_int_equal(rings[1].used_head[1], 0);
	}
	/* The driver that is up now gets what it asked, in due time. */
	while (!rings[0].used_head[1] || !rings[1].used_head[1])
		fake_host_wait(&host);
	expect_answer(0);
	expect_answer(1);
	fake_write32(&host, MMIO_STATUS, 0);
	memset(got, UNTOUCHED, 2048);
	for (round = 0; round < 40; round++)
		fake_host_wait(&host);
	assert_int_equal(got[0], UNTOUCHED);
	assert_int_equal(got[1024], UNTOUCHED);
}

static void a_device_that_is_held_back_may_go(void **state)
{
	const struct limiter_config slow = {.ops = {1, 0, 3600000, true}};

	(void)state;
	block_set_limiter(host.device, &slow);
	up_queues(QUEUES, F_MQ, SMALL);
	offer_read(0);
	offer_read(1);
	fake_write32(&host, MMIO_NOTIFY, 0);
	fake_host_turn(&host, 8);
	assert_non_null(host.loop.timers);
	host.device->ops->free(host.device);
	host.device = NULL;
	assert_null(host.loop.timers);
}

/* ---- limits of the host's ------------------------------------------------
 */

static void writes_past_the_size_files_may_have_fail(void **state)
{
	struct rlimit old, most;
	uint8_t before[2 * SECTOR];

	(void)state;
	up(F_FLUSH);
	header(IN, 6);
	assert_int_equal(request(16, 2 * SECTOR + 1, ROOM), 2 * SECTOR + 1);
	memcpy(before, got, sizeof(before));
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	most = old;
	most.rlim_cur = 7 * SECTOR;
	/* As main does, or the signal ends the process. */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &most), 0);
	memset(sent + 16, 'L', 2 * SECTOR);
	header(OUT, 7);
	assert_int_equal(request(16 + SECTOR, 1, ROOM), 1);
	assert_int_equal(got[0], IOERR);
	/* Half of it would have fitted. */
	header(OUT, 6);
	assert_int_equal(request(16 + 2 * SECTOR, 1, ROOM), 1);
	assert_int_equal(got[0], IOERR);
	header(OUT, 5);
	assert_int_equal(request(16 + SECTOR, 1, ROOM), 1);
	assert_int_equal(got[0], OK);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_false(is_broken());
	expect_on_disk(7 * SECTOR, before + SECTOR, SECTOR);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(several_queues_are_told_of),
		TEST(every_queue_gets_its_own_answers),
		TEST(queues_that_are_not_set_up_are_left_alone),
		TEST(a_fault_of_one_queue_stops_them_all),
		TEST(a_turn_serves_so_many_requests_or_bytes),
		TEST(a_turn_serves_so_many_bytes_of_ranges),
		TEST(a_driver_that_never_stops_gets_turns_only),
		TEST(a_request_moves_what_the_driver_was_told_at_most),
		TEST(a_limit_holds_for_all_queues_and_forgets_none),
		TEST(a_limit_is_shared_by_the_queues_that_ask),
		TEST(a_limit_charges_ranges_by_their_length),
		TEST(a_limit_outlives_the_driver_it_held_back),
		TEST(a_device_that_is_held_back_may_go),
		TEST(writes_past_the_size_files_may_have_fail),
	};
	int failed;

	/* Whoever waits for ever fails. */
	alarm(60);
	failed = cmocka_run_group_tests_name("sync", tests, NULL, NULL);
	bench_engine = BLOCK_ASYNC;
	return failed + cmocka_run_group_tests_name("async", tests, NULL, NULL);
}
