/*
 * virtio-block with requests that are in flight for as long as a test likes. A
 * disk answers when it likes; a pipe answers when we do. So once the device has
 * opened its file, and before its first request, a pipe takes the place of the
 * descriptor: reads wait until the test feeds the pipe, and what is written
 * comes out of it. Syncs and discards fail on a pipe, which tells that they
 * were tried.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/block_bench.h"
#include "tests/unit/fake_kvm.h"

/* How many requests the device has in flight at most, and how many bytes. */
enum { DEPTH = 128, BYTES_MAX = 32 << 20 };

static int pipe_in = -1, pipe_out = -1;

/* The descriptor of an open file, by its name. */
static int descriptor_of(const char *path)
{
	char link[32], target[64];
	ssize_t n;
	int fd;

	for (fd = 3; fd < 1000; fd++) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof(target) - 1);
		if (n < 0)
			continue;
		target[n] = '\0';
		if (!strcmp(target, path))
			return fd;
	}
	fail_msg("%s is not open", path);
	return -1;
}

/* The device gets the pipe for reading and writing, and blocking. */
static void put_pipe_in_place(void)
{
	char link[32];
	int ends[2], both;

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	pipe_out = ends[0];
	pipe_in = ends[1];
	assert_true(fcntl(pipe_in, F_SETPIPE_SZ, 1 << 20) > 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", pipe_out);
	both = open(link, O_RDWR | O_CLOEXEC);
	assert_true(both > 0);
	assert_true(dup3(both, descriptor_of(bench_path), O_CLOEXEC) > 0);
	close(both);
}

static int setup_with(off_t bytes, bool is_writeback)
{
	struct err e;

	bench_setup(NULL);
	make_disk(bytes);
	if (open_disk("rootfs", false, is_writeback, &e))
		fail_msg("%s", e.text);
	put_pipe_in_place();
	up(F_DISCARD | (is_writeback ? F_FLUSH : 0));
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_with(SECTORS * SECTOR, true);
}

static atomic_bool is_over;

static void *flood(void *unused)
{
	static const uint8_t zeroes[64 << 10];

	while (!atomic_load(&is_over))
		if (write(pipe_in, zeroes, sizeof(zeroes)) <= 0)
			usleep(1000);
	return unused;
}

/* A device waits for what is in flight, also where a test failed. */
static int teardown(void **state)
{
	pthread_t t;

	atomic_store(&is_over, false);
	assert_int_equal(pthread_create(&t, NULL, flood, NULL), 0);
	bench_teardown(state);
	atomic_store(&is_over, true);
	pthread_join(t, NULL);
	close(pipe_in);
	close(pipe_out);
	pipe_in = pipe_out = -1;
	bench_queues = 1;
	return 0;
}

/* The disk says something: so many bytes of what. */
static void feed(size_t bytes, uint8_t what)
{
	uint8_t buf[SECTOR];
	size_t n;

	memset(buf, what, sizeof(buf));
	for (; bytes; bytes -= n) {
		n = bytes < sizeof(buf) ? bytes : sizeof(buf);
		assert_int_equal(write(pipe_in, buf, n), n);
	}
}

/* Makes chain `at` of three descriptors a read of bytes to GOT_GPA + to. */
static void describe_read(uint16_t at, size_t to, uint32_t bytes)
{
	header(IN, 0);
	fake_ring_desc(&ring, at, SENT_GPA, 16, FAKE_NEXT, at + 1);
	fake_ring_desc(&ring, at + 1, GOT_GPA + to, bytes,
		       FAKE_NEXT | FAKE_WRITE, at + 2);
	fake_ring_desc(&ring, at + 2, GOT_GPA + to + bytes, 1, FAKE_WRITE, 0);
}

/* Offers n reads of a sector, all to the same place, and serves them. */
static void begin_reads(unsigned n)
{
	unsigned i;

	describe_read(0, 0, SECTOR);
	memset(got, UNTOUCHED, 2 * SECTOR);
	for (i = 0; i < n; i++)
		fake_ring_offer(&ring, 0);
	fake_write32(&host, MMIO_NOTIFY, 0);
	assert_true(fake_host_turn(&host, 16) < 16);
}

static unsigned unanswered(void)
{
	return (uint16_t)(ring.avail_idx - ring.used_head[1]);
}

/* Takes the answers of n requests, each of so many bytes. */
static void take_answers(unsigned n, uint32_t bytes)
{
	uint32_t id, len;

	while (n--) {
		assert_true(answered(&id, &len));
		assert_int_equal(len, bytes);
	}
}

/* ---- requests that take their time ---------------------------------------
 */

static void requests_in_flight_are_answered_when_the_disk_does(void **state)
{
	uint32_t id, len;

	(void)state;
	begin_reads(3);
	assert_int_equal(unanswered(), 3);
	assert_int_equal(got[SECTOR], UNTOUCHED);
	/* The device may be told of more: it listens. */
	assert_int_equal(ring.used_head[0], 0);
	feed(SECTOR, 'a');
	take_answers(1, SECTOR + 1);
	assert_int_equal(got[0], 'a');
	assert_int_equal(got[SECTOR - 1], 'a');
	assert_int_equal(got[SECTOR], OK);
	assert_int_equal(unanswered(), 2);
	feed(2 * SECTOR, 'b');
	take_answers(2, SECTOR + 1);
	assert_false(fake_ring_take(&ring, &id, &len));
}

static void answers_of_one_moment_share_an_interrupt(void **state)
{
	(void)state;
	begin_reads(16);
	fake_kvm_take_edges();
	feed(16 * SECTOR, 'x');
	while (unanswered())
		usleep(1000), fake_host_turn(&host, 1);
	assert_in_range(fake_kvm_take_edges(), 1, 16);
	take_answers(16, SECTOR + 1);
}

static void a_read_goes_on_where_it_was_cut_short(void **state)
{
	unsigned i;

	(void)state;
	describe_read(0, 0, 2 * SECTOR);
	memset(got, UNTOUCHED, 2 * SECTOR + 1);
	fake_ring_offer(&ring, 0);
	fake_write32(&host, MMIO_NOTIFY, 0);
	fake_host_turn(&host, 8);
	for (i = 0; i < 8; i++) {
		assert_int_equal(unanswered(), 1);
		feed(2 * SECTOR / 8, (uint8_t)('0' + i));
		while (got[(i + 1) * 2 * SECTOR / 8 - 1] == UNTOUCHED)
			usleep(100), fake_host_turn(&host, 8);
	}
	take_answers(1, 2 * SECTOR + 1);
	assert_int_equal(got[2 * SECTOR], OK);
	for (i = 0; i < 2 * SECTOR; i++)
		assert_int_equal(got[i], '0' + i / (2 * SECTOR / 8));
}

static void a_write_arrives_whole(void **state)
{
	uint8_t want[4 * SECTOR], have[4 * SECTOR + 1];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(want); i++)
		want[i] = (uint8_t)(i * 13 + i / 256);
	memcpy(sent + 16, want, sizeof(want));
	header(OUT, 5);
	assert_int_equal(request(16 + sizeof(want), 1, 100), 1);
	assert_int_equal(got[0], OK);
	assert_int_equal(read(pipe_out, have, sizeof(have)), sizeof(want));
	assert_memory_equal(have, want, sizeof(want));
}

static void what_the_disk_can_not_do_fails_that_request(void **state)
{
	const uint8_t range[16] = {[8] = 1};

	(void)state;
	header(FLUSH, 0);
	assert_int_equal(request(16, 1, ROOM), 1);
	assert_int_equal(got[0], IOERR);
	header(11, 0);
	memcpy(sent + 16, range, sizeof(range));
	assert_int_equal(request(32, 1, ROOM), 1);
	assert_int_equal(got[0], IOERR);
	assert_false(is_broken());
	feed(SECTOR, 'y');
	header(IN, 0);
	assert_int_equal(request(16, SECTOR + 1, ROOM), SECTOR + 1);
	assert_int_equal(got[SECTOR], OK);
}

static void without_flush_a_write_is_synced_before_its_answer(void **state)
{
	(void)state;
	up(0);
	memset(sent + 16, 'w', SECTOR);
	header(OUT, 0);
	assert_int_equal(request(16 + SECTOR, 1, ROOM), 1);
	/* The write went through, the sync failed, and that counts. */
	assert_int_equal(got[0], IOERR);
	assert_int_equal(read(pipe_out, got, 2 * SECTOR), SECTOR);
}

static void an_unsafe_disk_is_not_synced(void **state)
{
	(void)state;
	fake_host_close(&host);
	teardown(NULL);
	setup_with(SECTORS * SECTOR, false);
	memset(sent + 16, 'w', SECTOR);
	header(OUT, 0);
	assert_int_equal(request(16 + SECTOR, 1, ROOM), 1);
	assert_int_equal(got[0], OK);
	header(FLUSH, 0);
	assert_int_equal(request(16, 1, ROOM), 1);
	assert_int_equal(got[0], OK);
}

/* ---- bounds ---------------------------------------------------------------
 */

static void a_queue_waits_while_too_much_is_in_flight(void **state)
{
	(void)state;
	begin_reads(RING);
	assert_int_equal(ring.used_head[1], 0);
	/* Full: it would be of no use to be told of more. */
	assert_int_equal(ring.used_head[0], 1);
	/* So many it took, and no more before one of them is done. */
	feed(DEPTH * SECTOR, 'a');
	take_answers(DEPTH, SECTOR + 1);
	assert_int_equal(unanswered(), RING - DEPTH);
	feed((RING - DEPTH) * SECTOR, 'b');
	take_answers(RING - DEPTH, SECTOR + 1);
	assert_int_equal(got[0], 'b');
	assert_int_equal(ring.used_head[0], 0);
	/* And it goes on. */
	begin_reads(1);
	feed(SECTOR, 'c');
	take_answers(1, SECTOR + 1);
}

static void one_answer_makes_room_for_one_request(void **state)
{
	unsigned i;

	(void)state;
	begin_reads(RING);
	for (i = 0; i < RING; i++) {
		feed(SECTOR, (uint8_t)i);
		take_answers(1, SECTOR + 1);
		assert_int_equal(got[0], (uint8_t)i);
		assert_int_equal(unanswered(), RING - 1 - i);
	}
}

enum { LARGE = 512 << 10, LARGE_MOST = BYTES_MAX / LARGE };

static void begin_large_reads(unsigned n)
{
	unsigned i;

	describe_read(0, 0, LARGE);
	ring.desc[1].addr = FAKE_HIGH;
	ring.desc[2].addr = GOT_GPA;
	for (i = 0; i < n; i++)
		fake_ring_offer(&ring, 0);
	fake_write32(&host, MMIO_NOTIFY, 0);
	assert_true(fake_host_turn(&host, 64) < 64);
}

/* The device's readers share what the pipe holds, in whatever order. */
static void end_large_reads(unsigned n)
{
	const uint8_t *at = guest_mem_at(&host.mem, FAKE_HIGH, LARGE);
	size_t left = (size_t)n * LARGE;
	ssize_t done;

	while (left) {
		done = write(pipe_in, at, left < LARGE ? left : LARGE);
		left -= done > 0 ? (size_t)done : 0;
		fake_host_turn(&host, 64);
	}
	take_answers(n, LARGE + 1);
}

static void large_requests_wait_for_each_other(void **state)
{
	(void)state;
	fake_host_close(&host);
	teardown(NULL);
	setup_with(1 << 20, true);
	/* Up to the most that may be in flight it listens for more. */
	begin_large_reads(LARGE_MOST - 1);
	assert_int_equal(ring.used_head[0], 0);
	begin_large_reads(4);
	assert_int_equal(ring.used_head[0], 1);
	end_large_reads(LARGE_MOST + 3);
	assert_int_equal(ring.used_head[0], 0);
}

/* ---- the end of the driver, the device, the file --------------------------
 */

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
	put_pipe_in_place();
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

/* ---- without io_uring -----------------------------------------------------
 */

static void without_a_ring_requests_are_served_one_by_one(void **state)
{
	struct rlimit old, none;
	int fd = dup(pipe_in);

	(void)state;
	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = (rlim_t)fd;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	memset(sent + 16, 'o', SECTOR);
	header(OUT, 0);
	assert_int_equal(request(16 + SECTOR, 1, ROOM), 1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	/* pwritev() does not like pipes: it was the Sync engine. */
	assert_int_equal(got[0], IOERR);
	assert_int_equal(read(pipe_out, got, SECTOR), -1);
	assert_int_equal(block_set_path(host.device, NULL, NULL), 0);
	header(IN, 3);
	assert_int_equal(request(16, SECTOR + 1, ROOM), SECTOR + 1);
	assert_int_equal(got[SECTOR], OK);
	expect_sectors(3, 1);
}

static void a_drive_that_is_not_used_has_no_ring(void **state)
{
	int before = dup(pipe_in), after;

	(void)state;
	close(before);
	header(GET_ID, 0);
	assert_int_equal(request(16, 21, ROOM), 21);
	after = dup(pipe_in);
	close(after);
	assert_int_equal(after, before);
	begin_reads(1);
	after = dup(pipe_in);
	close(after);
	assert_int_not_equal(after, before);
	feed(SECTOR, 'u');
	take_answers(1, SECTOR + 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_in_flight_are_answered_when_the_disk_does),
		TEST(answers_of_one_moment_share_an_interrupt),
		TEST(a_read_goes_on_where_it_was_cut_short),
		TEST(a_write_arrives_whole),
		TEST(what_the_disk_can_not_do_fails_that_request),
		TEST(without_flush_a_write_is_synced_before_its_answer),
		TEST(an_unsafe_disk_is_not_synced),
		TEST(a_queue_waits_while_too_much_is_in_flight),
		TEST(one_answer_makes_room_for_one_request),
		TEST(large_requests_wait_for_each_other),
		TEST(a_reset_waits_for_what_is_in_flight),
		TEST(a_vcpu_may_reset_while_the_loop_waits),
		TEST(a_device_goes_after_what_is_in_flight),
		TEST(a_device_that_was_stopped_goes_on),
		TEST(a_queue_goes_on_when_another_is_taken_away),
		TEST(a_fault_leaves_answers_unsaid),
		TEST(another_file_comes_after_what_is_in_flight),
		TEST(a_path_that_fails_disturbs_nothing),
		TEST(without_a_ring_requests_are_served_one_by_one),
		TEST(a_drive_that_is_not_used_has_no_ring),
	};

	bench_engine = BLOCK_ASYNC;
	/* Whoever waits for ever fails. */
	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
