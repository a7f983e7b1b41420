/* virtio-net, from the tap to the guest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/virtio/virtio.h"
#include "tests/unit/fake_kvm.h"
#include "tests/unit/net_bench.h"
#include "vmm/base/log.h"

enum { BUFFER = 1536 };

/* The frame in the buffer at `at`, header and all. */
static struct frame_header header_at(uint64_t at)
{
	struct frame_header h;

	memcpy(&h, got + at, sizeof(h));
	return h;
}

static void expect_bytes(uint64_t at, unsigned n, size_t from, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (got[at + i] != pattern(n, from + i))
			fail_msg("byte %zu of frame %u differs", from + i, n);
}

/* Takes one used buffer of queue RX0. */
static void expect_used(uint32_t want_id, uint32_t want_len)
{
	uint32_t id, len;

	assert_true(fake_ring_take(&rings[RX0], &id, &len));
	assert_int_equal(id, want_id);
	assert_int_equal(len, want_len);
}

static void expect_none(void)
{
	uint32_t id, len;

	assert_false(fake_ring_take(&rings[RX0], &id, &len));
}

/* A full ring of buffers of a size, one behind the other. */
static void fill(uint32_t size)
{
	uint16_t i;

	for (i = 0; i < RING; i++)
		offer_room(RX0, i, (uint64_t)i * size, size);
}

static uint16_t in_flight(void)
{
	return ((struct virtio *)host.device)->queues[RX0].in_flight;
}

/* ---- one chain a frame --------------------------------------------------- */

static void a_frame_arrives_behind_its_header(void **state)
{
	struct frame_header h;

	(void)state;
	open_up(0);
	memset(got, UNTOUCHED, 4096);
	offer_room(RX0, 0, 0, BUFFER);
	wire_send(0, 1, 60);
	turn();
	expect_used(0, HEADER + 60);
	h = header_at(0);
	assert_int_equal(h.num_buffers, 1);
	assert_int_equal(h.flags, 0);
	expect_bytes(HEADER, 1, 0, 60);
	assert_int_equal(got[HEADER + 60], UNTOUCHED);
	assert_int_equal(fake_kvm_take_edges(), 1);
	assert_int_equal(counter("rx_packets"), 1);
	assert_int_equal(counter("rx_bytes"), 60);
}

static void a_chain_may_be_split_anywhere(void **state)
{
	unsigned piece;
	uint16_t i;

	(void)state;
	open_up(0);
	for (piece = 1; piece < 40; piece++) {
		for (i = 0; i < 100; i++)
			fake_ring_desc(&rings[RX0], i,
				       GOT_GPA + (uint64_t)i * piece, piece,
				       FAKE_WRITE | (i < 99 ? FAKE_NEXT : 0),
				       i + 1);
		fake_ring_offer(&rings[RX0], 0);
		wire_send(0, piece, 60);
		kick(RX0);
		expect_used(0, HEADER + 60);
		assert_int_equal(header_at(0).num_buffers, 1);
		expect_bytes(HEADER, piece, 0, 60);
	}
}

static void a_frame_too_long_for_a_chain_is_dropped(void **state)
{
	(void)state;
	open_up(0);
	offer_room(RX0, 0, 0, HEADER + 100);
	wire_send(0, 1, 101);
	wire_send(0, 2, 5000);
	wire_send(0, 3, 100);
	turn();
	expect_used(0, HEADER + 100);
	expect_bytes(HEADER, 3, 0, 100);
	expect_none();
	assert_int_equal(counter("rx_dropped"), 2);
	assert_int_equal(counter("rx_packets"), 1);
	assert_false(is_broken());
}

/* ---- merged -------------------------------------------------------------- */

static void a_long_frame_fills_several_buffers(void **state)
{
	static const size_t lengths[] = {60, BUFFER - HEADER,
					 BUFFER - HEADER + 1, 9000, 65550};
	uint64_t at;
	size_t left, part;
	unsigned i, count;

	(void)state;
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		if (!i)
			open_up(F_MRG_RXBUF);
		else
			up(F_MRG_RXBUF);
		fill(BUFFER);
		wire_send(0, i, lengths[i]);
		turn();
		left = HEADER + lengths[i];
		count = (unsigned)((left + BUFFER - 1) / BUFFER);
		assert_int_equal(header_at(0).num_buffers, count);
		for (at = 0; left; left -= part, at += BUFFER) {
			part = left < BUFFER ? left : BUFFER;
			expect_used((uint32_t)(at / BUFFER), (uint32_t)part);
		}
		expect_none();
		expect_bytes(HEADER, i, 0, lengths[i]);
	}
}

static void buffers_of_a_byte_will_do(void **state)
{
	uint32_t i;

	(void)state;
	open_up(F_MRG_RXBUF);
	fill(1);
	wire_send(0, 5, RING - HEADER);
	turn();
	assert_int_equal(header_at(0).num_buffers, RING);
	for (i = 0; i < RING; i++)
		expect_used(i, 1);
	expect_bytes(HEADER, 5, 0, RING - HEADER);
	/* A byte more never fits; what is shorter does, with the same ones. */
	fill(1);
	wire_send(0, 6, RING - HEADER + 1);
	wire_send(0, 7, 40);
	kick(RX0);
	assert_int_equal(header_at(0).num_buffers, 40 + HEADER);
	expect_bytes(HEADER, 7, 0, 40);
	assert_int_equal(counter("rx_dropped"), 1);
}

static void a_frame_waits_for_the_rest_of_its_buffers(void **state)
{
	uint16_t i;

	(void)state;
	open_up(F_MRG_RXBUF);
	offer_room(RX0, 0, 0, BUFFER);
	wire_send(0, 1, 9000);
	wire_send(0, 2, 60);
	kick(RX0);
	expect_none();
	assert_int_equal(fake_host_turn(&host, 4), 0);
	for (i = 1; i < 5; i++) {
		offer_room(RX0, i, (uint64_t)i * BUFFER, BUFFER);
		kick(RX0);
		expect_none();
	}
	offer_room(RX0, 5, 5 * BUFFER, BUFFER);
	offer_room(RX0, 6, 6 * BUFFER, BUFFER);
	kick(RX0);
	for (i = 0; i < 5; i++)
		expect_used(i, BUFFER);
	expect_used(5, 9000 + HEADER - 5 * BUFFER);
	assert_int_equal(header_at(0).num_buffers, 6);
	expect_bytes(HEADER, 1, 0, 9000);
	expect_used(6, 60 + HEADER);
	assert_int_equal(counter("rx_dropped"), 0);
	assert_int_equal(counter("rx_packets"), 2);
}

static void long_frames_arrive_after_short_ones(void **state)
{
	unsigned round, i;
	uint32_t id, len, at;
	size_t left;

	(void)state;
	open_up(F_MRG_RXBUF);
	fill(BUFFER);
	for (round = 0; round < 5; round++) {
		for (i = 0; i < 150; i++) {
			wire_send(0, i, 60);
			turn();
			assert_true(fake_ring_take(&rings[RX0], &id, &len));
			assert_int_equal(len, HEADER + 60);
			offer_room(RX0, (uint16_t)id, (uint64_t)id * BUFFER,
				   BUFFER);
			kick(RX0);
		}
		/* So few are taken that this one does not fit. */
		assert_true(in_flight() <= 3);
		wire_send(0, round, 60000);
		turn();
		at = 0;
		for (left = HEADER + 60000; left; left -= len) {
			assert_true(fake_ring_take(&rings[RX0], &id, &len));
			if (!at)
				assert_int_equal(
					header_at(id * BUFFER).num_buffers, 40);
			for (i = at ? 0 : HEADER; i < len; i++)
				if (got[id * BUFFER + i] !=
				    pattern(round, at + i - HEADER))
					fail_msg("byte %u differs", at + i);
			at += len;
			offer_room(RX0, (uint16_t)id, (uint64_t)id * BUFFER,
				   BUFFER);
		}
	}
	assert_int_equal(counter("rx_dropped"), 0);
}

static void what_is_longer_than_any_frame_is_dropped(void **state)
{
	(void)state;
	open_up(F_MRG_RXBUF);
	fill(64);
	wire_send(0, 1, FRAME_MAX + 1);
	wire_send(0, 2, 2 * FRAME_MAX);
	wire_send(0, 3, 60);
	turn();
	expect_used(0, 64);
	expect_used(1, 8);
	expect_bytes(HEADER, 3, 0, 60);
	assert_int_equal(counter("rx_dropped"), 2);
}

static void segments_beyond_one_read_are_dropped_too(void **state)
{
	uint16_t i;

	(void)state;
	/* Each chain is 200 segments of a byte: five of them fit one readv. */
	open_up(F_MRG_RXBUF);
	for (i = 0; i < 200; i++)
		fake_ring_desc(&rings[RX0], i, GOT_GPA + i, 1,
			       FAKE_WRITE | (i < 199 ? FAKE_NEXT : 0), i + 1);
	for (i = 0; i < 100; i++)
		fake_ring_offer(&rings[RX0], 0);
	wire_send(0, 1, 5000);
	wire_send(0, 2, 100);
	turn();
	assert_int_equal(counter("rx_dropped"), 1);
	expect_used(0, HEADER + 100);
	expect_bytes(HEADER, 2, 0, 100);
}

/* ---- buffers and kicks --------------------------------------------------- */

static void without_buffers_the_tap_is_left_alone(void **state)
{
	unsigned i;

	(void)state;
	open_up(F_MRG_RXBUF);
	for (i = 0; i < 100; i++) {
		wire_send(0, i, 60);
		turn();
	}
	expect_none();
	assert_int_equal(fake_host_turn(&host, 4), 0);
	assert_true(counter("rx_no_buffers") > 0);
	assert_int_equal(counter("rx_dropped"), 0);
	fill(BUFFER);
	kick(RX0);
	for (i = 0; i < 100; i++) {
		expect_used(i, HEADER + 60);
		expect_bytes((uint64_t)i * BUFFER + HEADER, i, 0, 60);
	}
	expect_none();
}

/* 2.7.10: the driver tells only when it passes avail_event. */
static void frames_by_the_hundred_thousand_need_every_kick(void **state)
{
	struct fake_random r = {.state = 1514};
	struct fake_ring *ring = &rings[RX0];
	unsigned sent_frames = 0, taken = 0, i, n;
	uint16_t old, next = 0;
	uint32_t id, len, held = 0;

	(void)state;
	open_up(F_MRG_RXBUF | FAKE_F_EVENT_IDX);
	while (taken < 100000) {
		n = fake_random_below(&r, 6);
		for (i = 0; i < n && sent_frames - taken < 64; i++)
			wire_send(0, sent_frames++, 20);
		turn();
		while (fake_ring_take(ring, &id, &len)) {
			assert_int_equal(len, HEADER + 20);
			expect_bytes((uint64_t)id * 64 + HEADER, taken++, 0,
				     20);
			held--;
		}
		n = fake_random_below(&r, 6);
		old = ring->avail_idx;
		for (i = 0; i < n && held < 16; i++, held++, next++)
			offer_room(RX0, next % 16, (next % 16) * 64ULL, 64);
		if ((uint16_t)(ring->avail_idx - *ring->avail_event - 1) <
		    (uint16_t)(ring->avail_idx - old))
			kick(RX0);
	}
	assert_false(is_broken());
	assert_int_equal(counter("rx_dropped"), 0);
	assert_true(counter("rx_no_buffers") > 1000);
}

static void turns_are_bounded(void **state)
{
	unsigned i;

	(void)state;
	open_up(0);
	fill(BUFFER);
	for (i = 0; i < RING; i++)
		wire_send(0, i, 60);
	assert_int_equal(fake_host_turn(&host, 1), 1);
	assert_true(rings[RX0].used_head[1] < RING);
	turn();
	assert_int_equal(rings[RX0].used_head[1], RING);
	assert_true(fake_kvm_take_edges() <= RING / 32);
}

static void buffers_are_given_back_by_a_reset_and_at_the_end(void **state)
{
	(void)state;
	open_up(F_MRG_RXBUF);
	fill(BUFFER);
	wire_send(0, 1, 60);
	turn();
	expect_used(0, HEADER + 60);
	assert_true(in_flight() > 1);
	host.device->ops->stop(host.device);
	assert_int_equal(in_flight(), 0);
	/* They are the next again. */
	wire_send(0, 2, 60);
	turn();
	expect_used(1, HEADER + 60);
	expect_bytes(BUFFER + HEADER, 2, 0, 60);
	fake_write32(&host, MMIO_STATUS, 0);
	memset(got, UNTOUCHED, GOT_ROOM);
	wire_send(0, 3, 60);
	turn();
	assert_int_equal(got[2 * BUFFER], UNTOUCHED);
}

static void a_frame_half_there_is_lost_by_a_reset(void **state)
{
	(void)state;
	open_up(F_MRG_RXBUF);
	offer_room(RX0, 0, 0, 100);
	wire_send(0, 1, 200);
	kick(RX0);
	up(F_MRG_RXBUF);
	fill(100);
	wire_send(0, 2, 60);
	turn();
	expect_used(0, HEADER + 60);
	expect_bytes(HEADER, 2, 0, 60);
	assert_int_equal(counter("rx_dropped"), 1);
}

/* ---- rules --------------------------------------------------------------- */

static void flags_need_guest_csum(void **state)
{
	const struct frame_header h = {.flags = 2};

	(void)state;
	open_up(0);
	offer_room(RX0, 0, 0, BUFFER);
	wire_send_as(0, &h, 1, 60);
	turn();
	assert_int_equal(header_at(0).flags, 0);
	up(F_GUEST_CSUM);
	offer_room(RX0, 0, 0, BUFFER);
	wire_send_as(0, &h, 1, 60);
	turn();
	assert_int_equal(header_at(0).flags, 2);
}

static void an_mtu_holds_for_all_but_segments(void **state)
{
	const struct frame_header tso = {
		.flags = 1, .gso_type = 1, .gso_size = 900};

	(void)state;
	config.mtu = 1000;
	open_up(F_MTU | F_MRG_RXBUF | F_GUEST_CSUM | F_GUEST_TSO4);
	fill(BUFFER);
	wire_send(0, 1, 1018);
	wire_send(0, 2, 1019);
	wire_send_as(0, &tso, 3, 5000);
	turn();
	expect_used(0, HEADER + 1018);
	assert_int_equal(header_at(BUFFER).num_buffers, 4);
	assert_int_equal(header_at(BUFFER).gso_type, 1);
	expect_bytes(BUFFER + HEADER, 3, 0, 5000);
	assert_int_equal(counter("rx_dropped"), 1);
}

static void a_readable_receive_buffer_is_broken(void **state)
{
	(void)state;
	open_up(0);
	fake_ring_desc(&rings[RX0], 0, GOT_GPA, 100, 0, 0);
	fake_ring_offer(&rings[RX0], 0);
	wire_send(0, 1, 60);
	turn();
	assert_true(is_broken());
	up(0);
	fake_ring_desc(&rings[RX0], 0, GOT_GPA, 100, FAKE_NEXT, 1);
	fake_ring_desc(&rings[RX0], 1, GOT_GPA, 100, FAKE_WRITE, 0);
	fake_ring_offer(&rings[RX0], 0);
	wire_send(0, 2, 60);
	turn();
	assert_true(is_broken());
}

static void more_buffers_than_the_queue_holds_are_not_taken(void **state)
{
	unsigned i;

	(void)state;
	open_up(F_MRG_RXBUF);
	fill(16);
	wire_send(0, 1, 60);
	turn();
	/* Nearly all are with us already. */
	for (i = 0; i < 20; i++)
		offer_room(RX0, 0, 0, 16);
	for (i = 0; i < 10; i++) {
		wire_send(0, i, 2);
		turn();
		assert_true(in_flight() <= RING);
	}
}

static void a_tap_that_is_gone_is_no_endless_loop(void **state)
{
	(void)state;
	open_up(0);
	offer_room(RX0, 0, 0, BUFFER);
	log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
	close(fake_tap.wire[0]);
	fake_tap.wire[0] = -1;
	turn();
	assert_true(counter("tap_read_fails") > 0);
	assert_int_equal(fake_host_turn(&host, 4), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_frame_arrives_behind_its_header),
		TEST(a_chain_may_be_split_anywhere),
		TEST(a_frame_too_long_for_a_chain_is_dropped),
		TEST(a_long_frame_fills_several_buffers),
		TEST(buffers_of_a_byte_will_do),
		TEST(a_frame_waits_for_the_rest_of_its_buffers),
		TEST(long_frames_arrive_after_short_ones),
		TEST(what_is_longer_than_any_frame_is_dropped),
		TEST(segments_beyond_one_read_are_dropped_too),
		TEST(without_buffers_the_tap_is_left_alone),
		TEST(frames_by_the_hundred_thousand_need_every_kick),
		TEST(turns_are_bounded),
		TEST(buffers_are_given_back_by_a_reset_and_at_the_end),
		TEST(a_frame_half_there_is_lost_by_a_reset),
		TEST(flags_need_guest_csum),
		TEST(an_mtu_holds_for_all_but_segments),
		TEST(a_readable_receive_buffer_is_broken),
		TEST(more_buffers_than_the_queue_holds_are_not_taken),
		/* Turns the log off. */
		TEST(a_tap_that_is_gone_is_no_endless_loop),
	};

	return cmocka_run_group_tests_name("net_rx", tests, NULL, NULL);
}
