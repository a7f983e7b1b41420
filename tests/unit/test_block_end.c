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

#include "devices/virtio/virtio.h"
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

static bool is_draining(void)
{
	struct virtio *v = (struct virtio *)host.device;
	bool is;

	mutex_lock(&v->device.lock);
	is = v->is_draining;
	mutex_unlock(&v->device.lock);
	return is;
}

/*
 * The vCPU waits, and nobody else does: the loop's thread has its turns and the
 * device's lock, and the driver is not told of an end before there is one.
 */
static void a_vcpu_that_resets_keeps_nobody_waiting(void **state)
{
	pthread_t vcpu;
	unsigned i;

	(void)state;
	begin_reads(40);
	assert_int_equal(pthread_create(&vcpu, NULL, reset_by_vcpu, NULL), 0);
	while (!is_draining())
		usleep(100);
	for (i = 0; i < 20; i++) {
		assert_true(fake_host_turn(&host, 8) < 8);
		assert_int_equal(fake_read32(&host, MMIO_STATUS), ST_DRIVER_OK);
		fake_write_only(&host, MMIO_STATUS, "\1\0\0", 4);
		assert_int_equal(pthread_tryjoin_np(vcpu, NULL), EBUSY);
		assert_true(is_draining());
	}
	feed(40 * SECTOR, 'F');
	while (pthread_tryjoin_np(vcpu, NULL))
		fake_host_turn(&host, 8);
	assert_int_equal(fake_read32(&host, MMIO_STATUS), 0);
	assert_int_equal(got[0], 'F');
	fake_host_turn(&host, 8);
	expect_silence();
}

/* A pause: the vCPU goes out, though what it waits for is still there. */
static void who_only_asks_is_told_that_it_lasts(void **state)
{
	const struct device_ops *ops = host.device->ops;

	(void)state;
	begin_reads(2);
	fake_write_only(&host, MMIO_STATUS, "\0\0\0", 4);
	assert_false(ops->settle(host.device));
	assert_false(ops->settle(host.device));
	feed(2 * SECTOR, 'F');
	fake_settle(&host);
	assert_true(ops->settle(host.device));
	assert_int_equal(fake_read32(&host, MMIO_STATUS), 0);
}

/* For a snapshot: nothing is in flight, nothing is taken, nothing is lost. */
static void a_device_that_is_held_takes_nothing(void **state)
{
	const struct device_ops *ops = host.device->ops;

	(void)state;
	begin_reads(40);
	assert_false(ops->hold(host.device));
	feed(40 * SECTOR, 'h');
	while (!ops->hold(host.device))
		fake_host_turn(&host, 8), usleep(100);
	take_answers(40, SECTOR + 1);
	begin_reads(3);
	feed(3 * SECTOR, 'H');
	usleep(2000);
	fake_host_turn(&host, 8);
	assert_int_equal(unanswered(), 3);
	assert_int_equal(got[0], UNTOUCHED);
	assert_true(ops->hold(host.device));
	ops->release(host.device);
	take_answers(3, SECTOR + 1);
	assert_int_equal(got[0], 'H');
}

/*
 * 4.2.2: with QUEUE_READY at 0 the driver may use the memory for something
 * else, also where the device has stopped looking at the queue long ago.
 */
static void a_faulted_queue_is_waited_for_when_it_goes(void **state)
{
	const struct device_ops *ops = host.device->ops;

	(void)state;
	begin_reads(40);
	ring.desc[9].len = 0;
	fake_ring_offer(&ring, 9);
	fake_write32(&host, MMIO_NOTIFY, 0);
	fake_host_turn(&host, 8);
	assert_true(is_broken());
	fake_write32(&host, MMIO_QUEUE_SEL, 0);
	fake_write_only(&host, MMIO_QUEUE_READY, "\0\0\0", 4);
	assert_int_equal(fake_read32(&host, MMIO_QUEUE_READY), 1);
	assert_false(ops->settle(host.device));
	feed(40 * SECTOR, 'Q');
	fake_settle(&host);
	assert_int_equal(fake_read32(&host, MMIO_QUEUE_READY), 0);
	assert_int_equal(got[0], 'Q');
	expect_silence();
}

/* 2.1: so may one that gave up, once its last write is through. */
static void a_driver_that_gives_up_is_waited_for(void **state)
{
	(void)state;
	begin_reads(40);
	fake_write_only(&host, MMIO_STATUS, "\217\0\0", 4);
	assert_false(host.device->ops->settle(host.device));
	feed(40 * SECTOR, 'G');
	fake_settle(&host);
	assert_int_equal(got[0], 'G');
	expect_silence();
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
	while (!host.device->ops->stop(host.device))
		;
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
	assert_int_equal(unanswered(), RING);
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
		TEST(a_vcpu_that_resets_keeps_nobody_waiting),
		TEST(who_only_asks_is_told_that_it_lasts),
		TEST(a_device_that_is_held_takes_nothing),
		TEST(a_faulted_queue_is_waited_for_when_it_goes),
		TEST(a_driver_that_gives_up_is_waited_for),
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
