/*
 * How long a network interface waits for a driver's next frame: a driver that
 * takes its time from one to the next, and a clock that goes on when it is
 * looked at, so that each run is the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/fake_kvm.h"
#include "tests/unit/fake_tap.h"
#include "tests/unit/net_bench.h"
#include "vmm/base/clock.h"

enum { LOOK_NS = 200, LEN = 60, WARM = 64, US = 1000 };

static const struct frame_header plain;

/* The driver, and what it saw. */
static struct {
	bool is_running; /* it sends while the device waits */
	uint64_t gap_ns; /* from one frame to the next */
	uint64_t sent_ns;
	unsigned left;	  /* frames to send */
	bool is_answered; /* the last of them */
	unsigned kicks;
} driver;

static uint64_t now_ns;

static void send_one(void)
{
	struct fake_ring *r = &rings[TX0];
	const uint16_t old = r->avail_idx;
	uint32_t id, len;

	while (fake_ring_take(r, &id, &len))
		;
	offer_frame(TX0, (uint16_t)(old % 64 * 4), &plain, 1, LEN, SENT_ROOM);
	driver.left--;
	driver.sent_ns = now_ns;
	if (!driver.left && driver.is_answered)
		wire_send(0, 1, LEN);
	if (*r->avail_event != old)
		return;
	driver.kicks++;
	fake_write32(&host, MMIO_NOTIFY, 1);
}

/* These stand for those of clock.c: each look takes a moment. */
uint64_t clock_now_ns(void)
{
	now_ns += LOOK_NS;
	if (driver.is_running && driver.left &&
	    now_ns - driver.sent_ns >= driver.gap_ns)
		send_one();
	return now_ns;
}

uint64_t clock_cpu_ns(void)
{
	return now_ns;
}

void clock_rest(void)
{
	now_ns += 1000 * US;
}

static void serve(void)
{
	uint8_t frame[LEN];
	struct frame_header h;

	driver.is_running = true;
	assert_in_range(fake_host_turn(&host, 10000), 0, 9999);
	driver.is_running = false;
	while (wire_take(0, &h, frame, sizeof(frame)) >= 0)
		;
}

/* So many frames, each gap_ns after the one before. */
static void send_row(unsigned count, uint64_t gap_ns)
{
	driver.gap_ns = gap_ns;
	driver.left = count;
	driver.kicks = 0;
	while (driver.left) {
		now_ns = driver.sent_ns + gap_ns;
		send_one();
		serve();
	}
}

static int setup(void **state)
{
	bench_setup(state);
	open_up(FAKE_F_EVENT_IDX);
	driver.is_running = driver.is_answered = false;
	driver.sent_ns = now_ns = 1000000 * US;
	return 0;
}

static void a_row_of_frames_is_kicked_for_once(void **state)
{
	static const uint64_t gaps[] = {1 * US, 5 * US, 40 * US};
	unsigned i;

	(void)state;
	for (i = 0; i < 3; i++) {
		send_row(WARM, gaps[i]);
		send_row(1000, gaps[i]);
		assert_in_range(driver.kicks, 0, 1000 / 8);
	}
	assert_int_equal(counter("tx_packets"), 3 * (WARM + 1000));
}

/* No row: each frame is for one that came. */
static void who_answers_is_not_waited_for(void **state)
{
	uint64_t begin;
	unsigned i;

	(void)state;
	for (i = 0; i < 300; i++) {
		offer_room(RX0, (uint16_t)(i % 64), i % 64 * 2048ULL, 2048);
		wire_send(0, i, LEN);
		serve();
		now_ns += 20 * US;
		driver.left = 1;
		driver.kicks = 0;
		send_one();
		begin = now_ns;
		serve();
		assert_int_equal(driver.kicks, 1);
		assert_in_range(now_ns - begin, 0, 4 * LOOK_NS);
		now_ns += 20 * US;
	}
}

/* How long the device waits for a frame after a row. */
static uint64_t wait_after_row(void)
{
	send_row(WARM, 40 * US);
	return now_ns - driver.sent_ns;
}

static void what_comes_ends_a_wait(void **state)
{
	(void)state;
	assert_in_range(wait_after_row(), 100 * US, 200 * US);
	driver.is_answered = true;
	assert_in_range(wait_after_row(), 0, 15 * US);
}

static void who_stops_is_given_up_at_once(void **state)
{
	uint64_t begin;
	unsigned i;

	(void)state;
	send_row(WARM, 5 * US);
	begin = now_ns;
	for (i = 0; i < 100; i++) {
		now_ns += 1000 * US;
		driver.left = 1;
		send_one();
		serve();
	}
	/* A wait of four gaps, and looks at the clock. */
	assert_in_range(now_ns - begin - 100 * 1000 * US, 0,
			30 * US + 100 * 4 * LOOK_NS);
}

/* A frame each time just before the device gives up, without end. */
static void a_turn_ends_whatever_the_driver_does(void **state)
{
	uint64_t begin, longest = 0;
	unsigned i;

	(void)state;
	driver.gap_ns = 290 * US;
	for (i = 0; i < 200; i++) {
		now_ns = driver.sent_ns + driver.gap_ns;
		driver.left = 1000;
		send_one();
		begin = now_ns;
		driver.is_running = true;
		fake_host_turn(&host, 1);
		driver.is_running = false;
		if (now_ns - begin > longest)
			longest = now_ns - begin;
		driver.left = 0;
		serve();
	}
	assert_in_range(longest, 250 * US, 2000 * US);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, bench_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(a_row_of_frames_is_kicked_for_once),
		TEST(who_answers_is_not_waited_for),
		TEST(what_comes_ends_a_wait),
		TEST(who_stops_is_given_up_at_once),
		TEST(a_turn_ends_whatever_the_driver_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
