/* virtio-block with requests in flight: how they go, and how many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/fake_kvm.h"
#include "tests/unit/pipe_disk.h"

/* How many requests the device has in flight at most, and how many bytes. */
enum { DEPTH = 128, BYTES_MAX = 32 << 20 };

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
	uint8_t want[4 * SECTOR] = {0}, have[4 * SECTOR + 1];
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
	pipe_disk_teardown(NULL);
	pipe_disk_setup_with(SECTORS * SECTOR, false);
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

/* Two queues fill what may be in flight; then room comes one by one. */
static void room_is_shared_by_the_queues_that_ask(void **state)
{
	unsigned done[2] = {0}, i, k, fed;
	uint32_t id, len;
	struct err e;

	(void)state;
	fake_host_close(&host);
	bench_queues = 2;
	assert_int_equal(open_disk("rootfs", false, true, &e), 0);
	close(pipe_in);
	close(pipe_out);
	pipe_disk_open();
	up_queues(2, F_FLUSH, RING);
	for (i = 0; i < 2; i++) {
		ring = rings[i];
		describe_read(0, i * 2048, SECTOR);
		for (k = 0; k < RING; k++)
			fake_ring_offer(&ring, 0);
		rings[i] = ring;
	}
	fake_write32(&host, MMIO_NOTIFY, 0);
	assert_true(fake_host_turn(&host, 16) < 16);
	for (fed = 0; fed < 2 * RING; fed++) {
		feed(SECTOR, 'r');
		while (done[0] + done[1] == fed) {
			fake_host_turn(&host, 16);
			for (i = 0; i < 2; i++)
				done[i] += fake_ring_take(&rings[i], &id, &len);
		}
		/* Whoever was first, neither is far behind. */
		if (fed == RING)
			assert_in_range(done[0], RING / 4, 3 * RING / 4);
	}
	assert_int_equal(done[0], RING);
	assert_int_equal(done[1], RING);
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
	pipe_disk_teardown(NULL);
	pipe_disk_setup_with(1 << 20, true);
	/* Up to the most that may be in flight it listens for more. */
	begin_large_reads(LARGE_MOST - 1);
	assert_int_equal(ring.used_head[0], 0);
	begin_large_reads(4);
	assert_int_equal(ring.used_head[0], 1);
	end_large_reads(LARGE_MOST + 3);
	assert_int_equal(ring.used_head[0], 0);
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

#define TEST(f) \
	cmocka_unit_test_setup_teardown(f, pipe_disk_setup, pipe_disk_teardown)

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
		TEST(room_is_shared_by_the_queues_that_ask),
		TEST(large_requests_wait_for_each_other),
		TEST(without_a_ring_requests_are_served_one_by_one),
		TEST(a_drive_that_is_not_used_has_no_ring),
	};

	bench_engine = BLOCK_ASYNC;
	/* Whoever waits for ever fails. */
	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
