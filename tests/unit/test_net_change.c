/*
 * virtio-net's commands that wait for the host's lock of interfaces: the loop
 * does not, and all that comes meanwhile finds its place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/net_device.h"
#include "tests/unit/net_bench.h"
#include "vmm/base/clock.h"

#define FEATURES (F_CTRL | F_MQ | F_GUEST_CSUM | F_CTRL_OFFLOADS)

static const struct frame_header plain;

/* Somebody else has the host's lock, and a command comes that wants it. */
static void ask_while_locked(uint8_t class, const void *data, size_t len)
{
	fake_tap.is_locked = true;
	offer_command(256, class, 0, data, len);
	while (!fake_tap.waiting && !fake_tap.was_impatient)
		clock_rest();
	/* Here the loop goes on: whoever waits is somebody else. */
	assert_false(fake_tap.was_impatient);
	assert_int_equal(got[0], UNTOUCHED);
}

static void ask_for_pairs(uint16_t pairs)
{
	ask_while_locked(4, &pairs, sizeof(pairs));
}

static void give_back(void)
{
	assert_false(fake_tap.was_impatient);
	fake_tap.is_locked = false;
	await_command();
}

static void expect_frames(unsigned pair)
{
	const unsigned rx = pair ? RX1 : RX0;
	const unsigned tx = pair ? TX1 : TX0;
	struct frame_header h;
	uint8_t frame[128];
	uint32_t id, len;

	offer_room(rx, 8, 0x1000, 1536);
	wire_send(pair, 1, 60);
	kick(2 * pair);
	assert_true(fake_ring_take(&rings[rx], &id, &len));
	offer_frame(tx, 8, &plain, 2, 100, SENT_ROOM);
	kick(2 * pair + 1);
	assert_int_equal(wire_take(pair, &h, frame, sizeof(frame)), 100);
}

static void open_pairs(unsigned pairs)
{
	config.queue_pairs = pairs;
	open_up(FEATURES);
}

static void frames_go_on_while_a_command_waits(void **state)
{
	const uint64_t none = 0;

	(void)state;
	open_pairs(2);
	ask_for_pairs(2);
	expect_frames(0);
	give_back();
	assert_int_equal(got[0], ACK_OK);
	expect_frames(1);
	ask_while_locked(5, &none, sizeof(none));
	expect_frames(0);
	expect_frames(1);
	give_back();
	assert_int_equal(got[0], ACK_OK);
	assert_int_equal(fake_tap.offloads, 0);
	ask_for_pairs(1);
	expect_frames(0);
	give_back();
	assert_int_equal(got[0], ACK_OK);
	assert_false(fake_tap.attached[1]);
	expect_frames(0);
}

/* Even one that would not have to wait. */
static void commands_are_answered_in_their_order(void **state)
{
	struct fake_ring *ring = &rings[CTRL];
	uint32_t id, len;

	(void)state;
	open_pairs(2);
	ask_for_pairs(2);
	assert_false(fake_ring_take(ring, &id, &len));
	memcpy(sent + 64, "\0\0\1", 3);
	fake_ring_desc(ring, 4, SENT_GPA + 64, 3, FAKE_NEXT, 5);
	fake_ring_desc(ring, 5, GOT_GPA + 1, 1, FAKE_WRITE, 0);
	fake_ring_offer(ring, 4);
	got[1] = UNTOUCHED;
	kick(4);
	assert_int_equal(got[1], UNTOUCHED);
	assert_false(fake_ring_take(ring, &id, &len));
	give_back();
	assert_true(fake_ring_take(ring, &id, &len));
	assert_int_equal(id, 0);
	assert_true(fake_ring_take(ring, &id, &len));
	assert_int_equal(id, 4);
	assert_int_equal(got[0], ACK_OK);
	assert_int_equal(got[1], ACK_OK);
}

/* What changes nothing asks the host for nothing. */
static void what_is_so_already_needs_no_thread(void **state)
{
	const uint64_t features = F_GUEST_CSUM;

	(void)state;
	open_pairs(2);
	assert_int_equal(set_pairs(1), ACK_OK);
	assert_int_equal(command(5, 0, &features, 8), ACK_OK);
	assert_int_equal(command(0, 0, "\1", 1), ACK_OK);
	assert_false(((struct net *)host.device)->worker.is_started);
}

/* As for a disk: the register reads as before until it has ended. */
static void a_reset_waits_and_leaves_nothing_behind(void **state)
{
	unsigned steps, i;

	(void)state;
	open_pairs(8);
	for (i = 0; i < 3; i++) {
		ask_for_pairs(8);
		steps = fake_tap.steps;
		fake_write_only(&host, MMIO_STATUS, "\0\0\0\0", 4);
		turn();
		assert_int_not_equal(fake_read32(&host, MMIO_STATUS), 0);
		assert_false(host.device->ops->settle(host.device));
		fake_tap.is_locked = false;
		fake_settle(&host);
		assert_int_equal(fake_read32(&host, MMIO_STATUS), 0);
		/* The ioctl it was in, and the one that takes it back. */
		assert_int_equal(fake_tap.steps - steps, 2);
		assert_false(fake_tap.attached[1]);
		up(FEATURES);
		assert_int_equal(set_pairs(2), ACK_OK);
		expect_frames(0);
		expect_frames(1);
		up(FEATURES);
	}
}

static void a_queue_that_goes_waits_too(void **state)
{
	(void)state;
	open_pairs(2);
	ask_for_pairs(2);
	fake_write32(&host, MMIO_QUEUE_SEL, 4);
	fake_write_only(&host, MMIO_QUEUE_READY, "\0\0\0\0", 4);
	turn();
	assert_int_equal(fake_read32(&host, MMIO_QUEUE_READY), 1);
	give_back();
	assert_int_equal(got[0], ACK_OK);
	assert_int_equal(fake_read32(&host, MMIO_QUEUE_READY), 0);
	expect_frames(1);
}

/* Before a snapshot, a mark and so on; a pause alone asks for nothing. */
static void who_holds_it_is_told_to_wait(void **state)
{
	const struct device_ops *ops;
	unsigned i;

	(void)state;
	open_pairs(2);
	ops = host.device->ops;
	ask_for_pairs(2);
	for (i = 0; i < 10; i++) {
		assert_false(ops->hold(host.device));
		turn();
	}
	fake_tap.is_locked = false;
	while (!ops->hold(host.device))
		clock_rest();
	/* The driver has its answer; what it asks for now has to wait. */
	assert_int_equal(got[0], ACK_OK);
	assert_true(fake_tap.attached[1]);
	offer_command(256, 4, 0, "\1\0", 2);
	turn();
	assert_int_equal(got[0], UNTOUCHED);
	ops->release(host.device);
	turn();
	await_command();
	assert_int_equal(got[0], ACK_OK);
	assert_false(fake_tap.attached[1]);
}

/* The machine's end: it does not wait for long, and says so. */
static void an_end_does_not_wait_for_it(void **state)
{
	const struct device_ops *ops;
	uint64_t begin;

	(void)state;
	open_pairs(2);
	ops = host.device->ops;
	ask_for_pairs(2);
	begin = clock_now_ns();
	assert_false(ops->stop(host.device));
	assert_in_range(clock_now_ns() - begin, 0, 4000000000);
	assert_true(fake_tap.waiting);
	fake_tap.is_locked = false;
	assert_true(ops->stop(host.device));
}

static void a_fault_meanwhile_is_survived(void **state)
{
	(void)state;
	open_pairs(2);
	ask_for_pairs(2);
	/* A frame to send that is to be written. */
	fake_ring_desc(&rings[TX0], 0, SENT_GPA, 100, FAKE_WRITE, 0);
	fake_ring_offer(&rings[TX0], 0);
	kick(TX0);
	assert_true(is_broken());
	give_back();
	up(FEATURES);
	assert_int_equal(set_pairs(2), ACK_OK);
	expect_frames(0);
	expect_frames(1);
}

/* Somebody else takes the host's lock, again and again, and drivers come. */
static void storms_end_in_order(void **state)
{
	static const struct limiter_config none = {.ops = {.is_given = true}};
	unsigned i;

	(void)state;
	open_pairs(4);
	limiter_set(&((struct net *)host.device)->ctrl_limiter, &none);
	for (i = 0; i < 200; i++) {
		fake_tap.is_locked = i % 3 == 0;
		offer_command(256, 4, 0, (uint8_t[]){(uint8_t)(1 + i % 4), 0},
			      2);
		if (i % 5 == 4)
			fake_write_only(&host, MMIO_STATUS, "\0\0\0\0", 4);
		fake_tap.is_locked = false;
		await_command();
		fake_settle(&host);
		if (i % 5 == 4) {
			assert_false(fake_tap.attached[1]);
			up(FEATURES);
			continue;
		}
		assert_int_equal(got[0], ACK_OK);
		assert_int_equal(fake_tap.attached[1], i % 4 >= 1);
		assert_int_equal(fake_tap.attached[3], i % 4 >= 3);
	}
	assert_false(is_broken());
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_go_on_while_a_command_waits),
		TEST(commands_are_answered_in_their_order),
		TEST(what_is_so_already_needs_no_thread),
		TEST(a_reset_waits_and_leaves_nothing_behind),
		TEST(a_queue_that_goes_waits_too),
		TEST(who_holds_it_is_told_to_wait),
		TEST(an_end_does_not_wait_for_it),
		TEST(a_fault_meanwhile_is_survived),
		TEST(storms_end_in_order),
	};

	return cmocka_run_group_tests_name("net_change", tests, NULL, NULL);
}
