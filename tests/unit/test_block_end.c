/*
 * virtio-block when something ends that requests are in flight for: the driver,
 * the device, a queue, the file.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/fake_kvm.h"
#include "tests/unit/pipe_disk.h"

/* How many requests the device has in flight at most. */
enum { DEPTH = 128 };

static atomic_bool is_fed;
static size_t to_feed;

static void *feed_later(void *unused)
{
	usleep(30000);
	atomic_store(&is_fed, true);
	feed(to_feed, 'F');
	return unused;
}

static pthread_t feeder(size_t bytes)
{
	pthread_t t;

	atomic_store(&is_fed, false);
	to_feed = bytes;
	assert_int_equal(pthread_create(&t, NULL, feed_later, NULL), 0);
	return t;
}

static void expect_silence(void)
{
	memset(got, UNTOUCHED, 2 * SECTOR);
	feed(SECTOR, 'S');
	usleep(5000);
	fake_host_turn(&host, 8);
	assert_int_equal(got[0], UNTOUCHED);
	assert_int_equal(got[SECTOR], UNTOUCHED);
	assert_int_equal(read(pipe_out, got, 2 * SECTOR), SECTOR);
}

static void a_reset_waits_for_what_is_in_flight(void **state)
{
	unsigned round;
	pthread_t t;

	(void)state;
	for (round = 0; round < 3; round++) {
		begin_reads(round == 2 ? RING : 40);
		assert_int_equal(ring.used_head[1], 0);
		t = feeder((round == 2 ? DEPTH : 40) * SECTOR);
		fake_write32(&host, MMIO_STATUS, 0);
		assert_true(atomic_load(&is_fed));
		assert_int_equal(got[0], 'F');
		pthread_join(t, NULL);
		expect_silence();
		up(F_FLUSH);
		assert_int_equal(ring.used_head[1], 0);
	}
	begin_reads(1);
	feed(SECTOR, 'z');
	take_answers(1, SECTOR + 1);
}

static void *reset_by_vcpu(void *unused)
{
	fake_write32(&host, MMIO_STATUS, 0);
	return unused;
}

/*
 * The loop thread began the requests and now waits for the device's lock; the
 * vCPU that resets holds it until they are done.
 */
static void a_vcpu_may_reset_while_the_loop_waits(void **state)
{
	pthread_t vcpu, t;

	(void)state;
	begin_reads(40);
	assert_int_equal(pthread_create(&vcpu, NULL, reset_by_vcpu, NULL), 0);
	usleep(10000);
	t = feeder(40 * SECTOR);
	assert_false(atomic_load(&is_fed));
	mutex_lock(&host.device->lock);
	assert_true(atomic_load(&is_fed));
	mutex_unlock(&host.device->lock);
	pthread_join(vcpu, NULL);
	pthread_join(t, NULL);
	fake_host_turn(&host, 8);
	expect_silence();
	assert_int_equal(fake_read32(&host, MMIO_STATUS), 0);
}

static void a_device_goes_after_what_is_in_flight(void **state)
{
	pthread_t t;

	(void)state;
	begin_reads(40);
	t = feeder(40 * SECTOR);
	host.device->ops->free(host.device);
	host.device = NULL;
	assert_true(atomic_load(&is_fed));
	assert_int_equal(got[0], 'F');
	pthread_join(t, NULL);
	/* Its loop has nothing of it left. */
	assert_int_equal(fake_host_turn(&host, 8), 0);
}

static void a_device_that_was_stopped_goes_on(void **state)
{
	pthread_t t;

	(void)state;
	begin_reads(RING);
	t = feeder(DEPTH * SECTOR);
	host.device->ops->stop(host.device);
	assert_true(atomic_load(&is_fed));
	pthread_join(t, NULL);
	/* The driver sees what was done, and the rest is still to come. */
	take_answers(DEPTH, SECTOR + 1);
	feed((RING - DEPTH) * SECTOR, 'r');
	take_answers(RING - DEPTH, SECTOR + 1);
	assert_int_equal(unanswered(), 0);
}

static void a_queue_goes_on_when_another_is_taken_away(void **state)
{
	struct fake_ring other;
	struct err e;
	pthread_t t;

	(void)state;
	fake_host_close(&host);
	bench_queues = 2;
	assert_int_equal(open_disk("rootfs", false, true, &e), 0);
	close(pipe_in);
	close(pipe_out);
	pipe_disk_open();
	assert_int_equal(fake_driver_negotiate(&host, FAKE_F_VERSION_1),
			 ST_FEATURES_OK);
	fake_ring_init(&ring, &host.mem, RING_GPA, RING);
	fake_driver_queue(&host, 0, &ring);
	fake_ring_init(&other, &host.mem, 0x80000, 8);
	fake_driver_queue(&host, 1, &other);
	fake_write32(&host, MMIO_STATUS, ST_DRIVER_OK);
	fake_host_turn(&host, 8);
	begin_reads(RING);
	t = feeder(DEPTH * SECTOR);
	fake_write32(&host, MMIO_QUEUE_SEL, 1);
	fake_write32(&host, MMIO_QUEUE_READY, 0);
	pthread_join(t, NULL);
	take_answers(DEPTH, SECTOR + 1);
	feed((RING - DEPTH) * SECTOR, 'r');
	take_answers(RING - DEPTH, SECTOR + 1);
}

static void a_fault_leaves_answers_unsaid(void **state)
{
	uint16_t used;

	(void)state;
	begin_reads(40);
	ring.desc[9].len = 0;
	fake_ring_offer(&ring, 9);
	fake_write32(&host, MMIO_NOTIFY, 0);
	fake_host_turn(&host, 8);
	assert_true(is_broken());
	used = ring.used_head[1];
	fake_kvm_take_edges();
	feed(40 * SECTOR, 'f');
	while (got[0] == UNTOUCHED)
		usleep(100);
	usleep(10000);
	fake_host_turn(&host, 8);
	assert_int_equal(ring.used_head[1], used);
	assert_int_equal(fake_kvm_take_edges(), 0);
	up(F_FLUSH);
	begin_reads(2);
	feed(2 * SECTOR, 'g');
	take_answers(2, SECTOR + 1);
}

static void another_file_comes_after_what_is_in_flight(void **state)
{
	uint8_t want[SECTOR];
	struct err e;
	pthread_t t;
	unsigned i;

	(void)state;
	begin_reads(RING);
	t = feeder(DEPTH * SECTOR);
	/* The name stands for the file that was there before the pipe. */
	assert_int_equal(block_set_path(host.device, NULL, &e), 0);
	assert_true(atomic_load(&is_fed));
	assert_int_equal(got[0], 'F');
	pthread_join(t, NULL);
	take_answers(RING, SECTOR + 1);
	assert_int_equal(got[SECTOR], OK);
	expect_sectors(0, 1);
	/* Nothing more is asked of the pipe. */
	expect_silence();
	for (i = 0; i < SECTOR; i++)
		want[i] = (uint8_t)(255 - i);
	memcpy(sent + 16, want, SECTOR);
	header(OUT, 4);
	assert_int_equal(request(16 + SECTOR, 1, ROOM), 1);
	expect_on_disk(4 * SECTOR, want, SECTOR);
}

static void a_path_that_fails_disturbs_nothing(void **state)
{
	struct err e;

	(void)state;
	begin_reads(40);
	assert_int_equal(block_set_path(host.device, "/no/such", &e), -ENOENT);
	assert_int_equal(unanswered(), 40);
	feed(40 * SECTOR, 'p');
	take_answers(40, SECTOR + 1);
	assert_int_equal(got[0], 'p');
}

#define TEST(f) \
	cmocka_unit_test_setup_teardown(f, pipe_disk_setup, pipe_disk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_reset_waits_for_what_is_in_flight),
		TEST(a_vcpu_may_reset_while_the_loop_waits),
		TEST(a_device_goes_after_what_is_in_flight),
		TEST(a_device_that_was_stopped_goes_on),
		TEST(a_queue_goes_on_when_another_is_taken_away),
		TEST(a_fault_leaves_answers_unsaid),
		TEST(another_file_comes_after_what_is_in_flight),
		TEST(a_path_that_fails_disturbs_nothing),
	};

	bench_engine = BLOCK_ASYNC;
	/* Whoever waits for ever fails. */
	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
