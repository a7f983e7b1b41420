/* virtio-net where there is not enough for all: whose turn it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/fake_tap.h"
#include "tests/unit/net_bench.h"
#include "vmm/base/clock.h"

static const struct frame_header plain;

enum { FRAME = 100, FRAMES = 160, AHEAD = 16 };

/* Two pairs that are enabled, by the one command there is for it. */
static void up_pairs(void)
{
	static const uint8_t enable[4] = {4, 0, 2, 0};
	uint32_t id, len;

	open_up(F_MQ | F_CTRL | F_MRG_RXBUF);
	memcpy(sent, enable, sizeof(enable));
	fake_ring_desc(&rings[CTRL], 0, SENT_GPA, 4, FAKE_NEXT, 1);
	fake_ring_desc(&rings[CTRL], 1, GOT_GPA, 1, FAKE_WRITE, 0);
	fake_ring_offer(&rings[CTRL], 0);
	kick(2 * config.queue_pairs);
	await_command();
	assert_true(fake_ring_take(&rings[CTRL], &id, &len));
	assert_int_equal(got[0], 0);
}

static long take(unsigned pair)
{
	static uint8_t frame[2048];
	struct frame_header h;

	return wire_take(pair, &h, frame, sizeof(frame));
}

/* Both pairs ask all the time; returns how often each of two rings was served.
 */
static void share(const unsigned used[2], void (*again)(unsigned pair),
		  unsigned served[2])
{
	uint32_t id, len;
	unsigned i;

	served[0] = served[1] = 0;
	for (i = 0; i < 2 * AHEAD; i++)
		again(i % 2);
	while (served[0] + served[1] < FRAMES) {
		fake_host_wait(&host);
		for (i = 0; i < 2; i++)
			while (fake_ring_take(&rings[used[i]], &id, &len)) {
				served[i]++;
				again(i);
			}
		/* Kicks while it says no change nobody's turn. */
		fake_write32(&host, MMIO_NOTIFY, 1);
	}
}

static void send_again(unsigned pair)
{
	static unsigned at[2];

	/* What went out makes room on the wire. */
	while (take(pair) >= 0)
		;
	offer_frame(pair ? TX1 : TX0, (uint16_t)(at[pair]++ % 32 * 4), &plain,
		    1, FRAME, SENT_ROOM);
}

static void a_limit_is_shared_by_the_pairs_that_send(void **state)
{
	static const unsigned rings_used[2] = {TX0, TX1};
	unsigned served[2];

	(void)state;
	config.queue_pairs = 2;
	config.tx.ops = (struct limiter_bucket){4, 0, 4, true};
	up_pairs();
	share(rings_used, send_again, served);
	assert_in_range(served[0], FRAMES / 4, 3 * FRAMES / 4);
}

static void receive_again(unsigned pair)
{
	static unsigned at[2];

	offer_room(pair ? RX1 : RX0, (uint16_t)(at[pair]++ % 32),
		   0x1000 + pair * 0x20000ULL, 1536);
	wire_send(pair, 1, FRAME);
}

static void a_limit_is_shared_by_the_pairs_that_receive(void **state)
{
	static const unsigned rings_used[2] = {RX0, RX1};
	unsigned served[2];

	(void)state;
	config.queue_pairs = 2;
	config.rx.ops = (struct limiter_bucket){4, 0, 4, true};
	up_pairs();
	share(rings_used, receive_again, served);
	assert_in_range(served[0], FRAMES / 4, 3 * FRAMES / 4);
}

/*
 * Each change of offloads takes the lock of all the host's interfaces. A driver
 * that comes and goes waits, itself, when it asks for more than its share.
 */
static void drivers_that_come_and_go_set_the_tap_at_a_rate(void **state)
{
	enum { A_SECOND = 64, ROUNDS = 400 };
	const struct device_ops *ops;
	const uint64_t begin = clock_now_ns();
	uint64_t seconds;
	unsigned i, before;

	(void)state;
	open_up(F_GUEST_CSUM);
	ops = host.device->ops;
	before = fake_tap.sets;
	for (i = 0; i < ROUNDS; i++) {
		assert_int_equal(
			fake_driver_negotiate(
				&host,
				FAKE_F_VERSION_1 | (i % 2 ? F_GUEST_CSUM : 0)),
			ST_FEATURES_OK);
		fake_write_only(&host, MMIO_STATUS, "\17\0\0", 4);
		if (!ops->settle(host.device))
			break;
		/* One that wants what is there costs nothing. */
		fake_write32(&host, MMIO_STATUS, 0);
	}
	seconds = (clock_now_ns() - begin) / 1000000000 + 1;
	assert_in_range(fake_tap.sets - before, 1, A_SECOND * (1 + seconds));
	assert_int_not_equal(i, ROUNDS);
	/* And in time it has what it wants. */
	fake_settle(&host);
	assert_int_equal(fake_tap.offloads, i % 2 ? 1 : 0);
}

static void nothing_moves_before_the_tap_is_as_the_driver_wants_it(void **state)
{
	uint32_t id, len;

	(void)state;
	open_up(F_GUEST_CSUM);
	assert_int_equal(fake_driver_negotiate(&host, FAKE_F_VERSION_1),
			 ST_FEATURES_OK);
	fake_ring_init(&rings[TX0], &host.mem, 0x3000, RING);
	fake_driver_queue(&host, 1, &rings[TX0]);
	offer_frame(TX0, 0, &plain, 1, FRAME, SENT_ROOM);
	fake_write_only(&host, MMIO_STATUS, "\17\0\0", 4);
	turn();
	assert_int_equal(take(0), -1);
	fake_settle(&host);
	turn();
	assert_int_equal(take(0), FRAME);
	assert_true(fake_ring_take(&rings[TX0], &id, &len));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_limit_is_shared_by_the_pairs_that_send),
		TEST(a_limit_is_shared_by_the_pairs_that_receive),
		TEST(drivers_that_come_and_go_set_the_tap_at_a_rate),
		TEST(nothing_moves_before_the_tap_is_as_the_driver_wants_it),
	};

	/* Whoever waits for ever fails. */
	alarm(60);
	return cmocka_run_group_tests_name("net turns", tests, NULL, NULL);
}
