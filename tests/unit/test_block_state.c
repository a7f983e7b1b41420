/* virtio-block that is saved and loaded: requests, sizes, limits. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/virtio/virtio.h"
#include "tests/unit/block_bench.h"
#include "tests/unit/fake_kvm.h"
#include "tests/unit/pipe_disk.h"
#include "tests/unit/state_bench.h"
#include "vmm/base/log.h"

static struct limiter_config limit;
static bool is_writeback = true;

/* Another drive on the same disk, that has seen nothing; same guest. */
static void renew(void)
{
	const struct block_config config = {
		.id = "rootfs",
		.path = bench_path,
		.is_writeback = is_writeback,
		.engine = bench_engine,
		.queues = bench_queues,
		.limiter = limit,
	};
	struct device *d;
	struct err e;

	fake_host_remove(&host);
	fake_kvm.ioeventfds = 0;
	assert_int_equal(block_new(&d, &config, &e), 0);
	assert_int_equal(fake_host_add(&host, d, &e), 0);
}

static void take_back(const struct saved *s)
{
	renew();
	state_put(&host, s);
}

/* Three descriptors from `at` on: a sector to GOT_GPA + at * 1024. */
static void offer_read(uint16_t at, unsigned sector)
{
	header(IN, sector);
	fake_ring_desc(&ring, at, SENT_GPA, 16, FAKE_NEXT, at + 1);
	fake_ring_desc(&ring, at + 1, GOT_GPA + at * 1024ULL, SECTOR,
		       FAKE_WRITE | FAKE_NEXT, at + 2);
	fake_ring_desc(&ring, at + 2, GOT_GPA + at * 1024ULL + SECTOR, 1,
		       FAKE_WRITE, 0);
	fake_ring_offer(&ring, at);
}

static long read_sector(unsigned sector)
{
	header(IN, sector);
	return request(16, SECTOR + 1, 512);
}

static void requests_made_before_are_served_after(void **state)
{
	uint32_t id, len;
	struct saved a, b;

	(void)state;
	up(F_FLUSH | FAKE_F_EVENT_IDX);
	assert_int_equal(read_sector(3), SECTOR + 1);
	state_hold(&host);
	memset(got, UNTOUCHED, 4096);
	offer_read(0, 5);
	offer_read(3, 5);
	fake_write32(&host, MMIO_NOTIFY, 0);
	assert_true(fake_host_turn(&host, 64) < 64);
	assert_false(fake_ring_take(&ring, &id, &len));
	a = state_save(&host);
	renew();
	state_hold(&host);
	assert_int_equal(state_load(&host, &a, &(struct err){0}), 0);
	b = state_save(&host);
	state_expect_same(&a, &b);
	state_go_on(&host);
	assert_true(answered(&id, &len));
	assert_int_equal(id, 0);
	assert_true(answered(&id, &len));
	assert_int_equal(id, 3);
	expect_sectors(5, 1);
	assert_int_equal(got[SECTOR], OK);
	/* And it asks to be told of the next. */
	assert_int_equal(*ring.avail_event, ring.avail_idx);
	assert_int_equal(read_sector(2), SECTOR + 1);
	state_free(&a);
	state_free(&b);
}

/* They end first, and the driver hears of that in the other machine. */
static void requests_in_flight_end_before(void **state)
{
	struct saved a;

	(void)state;
	begin_reads(7);
	assert_false(host.device->ops->hold(host.device));
	feed(7 * SECTOR, 's');
	state_hold(&host);
	a = state_save(&host);
	fake_kvm_take_edges();
	take_back(&a);
	assert_true(fake_kvm_take_edges() > 0);
	take_answers(7, SECTOR + 1);
	assert_int_equal(got[0], 's');
	assert_int_equal(read_sector(1), SECTOR + 1);
	expect_sectors(1, 1);
	state_free(&a);
}

static uint64_t capacity(void)
{
	return fake_read32(&host, MMIO_CONFIG) |
	       (uint64_t)fake_read32(&host, MMIO_CONFIG + 4) << 32;
}

static void a_disk_that_has_grown_is_told(void **state)
{
	uint32_t generation = fake_read32(&host, MMIO_GENERATION);
	struct saved a;

	(void)state;
	a = state_take(&host);
	make_disk(2 * SECTORS * SECTOR);
	take_back(&a);
	assert_int_equal(capacity(), 2 * SECTORS);
	assert_int_equal(fake_read32(&host, MMIO_GENERATION), generation + 1);
	assert_int_equal(fake_read32(&host, MMIO_ISR) & 2, 2);
	assert_int_equal(read_sector(2 * SECTORS - 1), SECTOR + 1);
	assert_int_equal(got[SECTOR], OK);
	state_free(&a);
}

static void a_disk_that_is_smaller_is_refused(void **state)
{
	struct saved a;
	struct err e;

	(void)state;
	a = state_take(&host);
	make_disk((SECTORS - 1) * SECTOR);
	renew();
	state_hold(&host);
	assert_int_equal(state_load(&host, &a, &e), -EINVAL);
	assert_non_null(strstr(e.text, bench_path));
	assert_non_null(strstr(e.text, "8192 bytes"));
	assert_non_null(strstr(e.text, "7680"));
	state_go_on(&host);
	assert_int_equal(fake_read32(&host, MMIO_STATUS), 0);
	up(F_FLUSH);
	assert_int_equal(read_sector(1), SECTOR + 1);
	state_free(&a);
}

/* What is saved is the drive as it is configured by then. */
static void a_file_that_was_exchanged_is_the_one_that_is_saved(void **state)
{
	struct saved a;
	struct err e;

	(void)state;
	begin_reads(1);
	make_disk((SECTORS / 2) * SECTOR);
	/* Waits for what is in flight. */
	assert_int_equal(block_set_path(host.device, bench_path, &e), 0);
	assert_int_equal(capacity(), SECTORS);
	assert_false(host.device->ops->hold(host.device));
	feed(SECTOR, 'x');
	state_hold(&host);
	a = state_save(&host);
	assert_int_equal(capacity(), SECTORS / 2);
	take_back(&a);
	take_answers(1, SECTOR + 1);
	assert_int_equal(capacity(), SECTORS / 2);
	assert_int_equal(fake_read32(&host, MMIO_ISR) & 2, 2);
	state_free(&a);
}

static void what_is_left_in_the_limiter_is_saved(void **state)
{
	static const struct limiter_config none = {.ops = {.is_given = true}};
	uint32_t id, len;
	struct saved a;
	unsigned round;

	(void)state;
	/* Two, and no more within the time of any test. */
	limit.ops = (struct limiter_bucket){2, 0, 3600 * 1000, true};
	renew();
	up(F_FLUSH);
	assert_int_equal(read_sector(1), SECTOR + 1);
	assert_int_equal(read_sector(2), SECTOR + 1);
	memset(got, UNTOUCHED, 4096);
	offer_read(0, 7);
	fake_write32(&host, MMIO_NOTIFY, 0);
	for (round = 0; round < 3; round++) {
		assert_true(fake_host_turn(&host, 64) < 64);
		fake_host_wait(&host);
		assert_false(fake_ring_take(&ring, &id, &len));
		a = state_take(&host);
		/* Also into a drive that has been waiting. */
		if (round < 2)
			renew();
		state_put(&host, &a);
		state_free(&a);
	}
	block_set_limiter(host.device, &none);
	fake_host_wait(&host);
	assert_true(answered(&id, &len));
	expect_sectors(7, 1);
	limit = (struct limiter_config){0};
}

static void a_driver_keeps_what_it_agreed_on(void **state)
{
	struct saved a;
	struct err e;

	(void)state;
	a = state_take(&host);
	/* FLUSH from a disk that claims to have no cache is no such disk. */
	is_writeback = false;
	renew();
	is_writeback = true;
	state_hold(&host);
	assert_int_equal(state_load(&host, &a, &e), -EINVAL);
	assert_non_null(strstr(e.text, "features"));
	state_go_on(&host);
	/* A discard is served, also where there is nothing to give back. */
	renew();
	((struct virtio *)host.device)->offered &= ~F_DISCARD;
	state_put(&host, &a);
	assert_int_equal(fake_read32(&host, MMIO_STATUS), ST_DRIVER_OK);
	state_free(&a);
}

static void probe(void)
{
	static unsigned turn;

	if (turn++ % 64) {
		fake_write32(&host, MMIO_STATUS, 0);
		assert_int_equal(fake_read32(&host, MMIO_STATUS), 0);
		return;
	}
	up(F_FLUSH);
	assert_int_equal(read_sector(3), SECTOR + 1);
	expect_sectors(3, 1);
}

static void any_bytes_are_survived(void **state)
{
	struct saved a;

	(void)state;
	assert_int_equal(read_sector(3), SECTOR + 1);
	a = state_take(&host);
	state_mutate(&host, &a, probe);
	state_free(&a);
	expect_disk_unharmed();
}

static int quiet(void **state)
{
	(void)state;
	return log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
}

int main(void)
{
#define TEST(f) \
	cmocka_unit_test_setup_teardown(f, bench_setup_up, bench_teardown)
#define PIPE(f) \
	cmocka_unit_test_setup_teardown(f, pipe_disk_setup, pipe_disk_teardown)
	const struct CMUnitTest tests[] = {
		TEST(requests_made_before_are_served_after),
		TEST(a_disk_that_has_grown_is_told),
		TEST(a_disk_that_is_smaller_is_refused),
		TEST(what_is_left_in_the_limiter_is_saved),
		TEST(a_driver_keeps_what_it_agreed_on),
		TEST(any_bytes_are_survived),
	};
	const struct CMUnitTest flying[] = {
		PIPE(requests_in_flight_end_before),
		PIPE(a_file_that_was_exchanged_is_the_one_that_is_saved),
	};
	int failed;

	bench_engine = BLOCK_SYNC;
	failed = cmocka_run_group_tests_name("Sync", tests, quiet, NULL);
	bench_engine = BLOCK_ASYNC;
	failed += cmocka_run_group_tests_name("Async", tests, quiet, NULL);
	failed += cmocka_run_group_tests_name("in flight", flying, quiet, NULL);
	return failed;
}
