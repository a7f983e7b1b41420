/* virtio-net, from the guest to the tap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/fake_kvm.h"
#include "tests/unit/net_bench.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

#define OFFLOADS                                                        \
	(F_CSUM | F_HOST_TSO4 | F_HOST_TSO6 | F_HOST_ECN | F_HOST_UFO | \
	 F_HOST_USO)

static uint8_t frame[2 * FRAME_MAX];
static const struct frame_header plain;

static void expect_frame(unsigned n, size_t len)
{
	struct frame_header h;
	size_t i;

	assert_int_equal(wire_take(0, &h, frame, sizeof(frame)), len);
	assert_memory_equal(&h, &plain, HEADER);
	for (i = 0; i < len; i++)
		if (frame[i] != pattern(n, i))
			fail_msg("byte %zu of frame %u differs", i, n);
}

static void expect_silence(void)
{
	struct frame_header h;

	assert_int_equal(wire_take(0, &h, frame, sizeof(frame)), -1);
}

static unsigned take_used(void)
{
	unsigned n = 0;
	uint32_t id, len;

	for (; fake_ring_take(&rings[TX0], &id, &len); n++)
		assert_int_equal(len, 0);
	return n;
}

static void frames_reach_the_wire(void **state)
{
	static const size_t lengths[] = {14, 60, 1514, 9000, 65550, 65554};
	unsigned i;

	(void)state;
	open_up(0);
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		offer_frame(TX0, 0, &plain, i, lengths[i], SENT_ROOM);
		kick(TX0);
		expect_frame(i, lengths[i]);
		assert_int_equal(take_used(), 1);
	}
	assert_int_equal(counter("tx_packets"), 6);
	assert_int_equal(counter("tx_bytes"),
			 14 + 60 + 1514 + 9000 + 65550 + 65554);
	assert_int_equal(counter("tx_dropped"), 0);
	assert_int_equal(fake_kvm_take_edges(), 6);
}

static void frames_may_be_split_anywhere(void **state)
{
	size_t piece;

	(void)state;
	open_up(0);
	for (piece = 1; piece < 100; piece++) {
		offer_frame(TX0, 0, &plain, (unsigned)piece, 240, piece);
		kick(TX0);
		expect_frame((unsigned)piece, 240);
	}
	assert_false(is_broken());
}

static void absurd_lengths_are_dropped(void **state)
{
	static const size_t lengths[] = {0, 1, 13, 65555, 200000};
	unsigned i;

	(void)state;
	open_up(0);
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		offer_frame(TX0, 0, &plain, i, lengths[i], SENT_ROOM);
		kick(TX0);
		assert_int_equal(take_used(), 1);
	}
	expect_silence();
	assert_int_equal(counter("tx_malformed"), 5);
	assert_int_equal(counter("tx_dropped"), 5);
	assert_false(is_broken());
}

/* ---- headers ------------------------------------------------------------- */

struct header_case {
	uint64_t features;
	struct frame_header h;
	bool passes;
};

/* Frames of 200 bytes. */
static const struct header_case cases[] = {
	{0, {.flags = 0}, true},
	/* Checksums: their place must be in the frame. */
	{F_CSUM, {.flags = 1, .csum_start = 34, .csum_offset = 16}, true},
	{0, {.flags = 1, .csum_start = 34, .csum_offset = 16}, false},
	{F_CSUM, {.flags = 1, .csum_start = 198, .csum_offset = 0}, true},
	{F_CSUM, {.flags = 1, .csum_start = 198, .csum_offset = 1}, false},
	{F_CSUM,
	 {.flags = 1, .csum_start = 65535, .csum_offset = 65535},
	 false},
	/* Segments: of a kind that was negotiated, sized, with a checksum. */
	{OFFLOADS, {.flags = 1, .gso_type = 1, .gso_size = 100}, true},
	{OFFLOADS, {.flags = 1, .gso_type = 0x81, .gso_size = 100}, true},
	{OFFLOADS, {.flags = 1, .gso_type = 3, .gso_size = 100}, true},
	{OFFLOADS, {.flags = 1, .gso_type = 4, .gso_size = 100}, true},
	{OFFLOADS, {.flags = 1, .gso_type = 0x84, .gso_size = 100}, true},
	{OFFLOADS, {.flags = 1, .gso_type = 5, .gso_size = 100}, true},
	{OFFLOADS, {.flags = 1, .gso_type = 1, .gso_size = 0}, false},
	{OFFLOADS, {.flags = 0, .gso_type = 1, .gso_size = 100}, false},
	{OFFLOADS, {.flags = 1, .gso_type = 2, .gso_size = 100}, false},
	{OFFLOADS, {.flags = 1, .gso_type = 6, .gso_size = 100}, false},
	{OFFLOADS, {.flags = 1, .gso_type = 0x80, .gso_size = 100}, false},
	{OFFLOADS, {.flags = 1, .gso_type = 0x83, .gso_size = 100}, false},
	{OFFLOADS, {.flags = 1, .gso_type = 0xff, .gso_size = 100}, false},
	{F_CSUM, {.flags = 1, .gso_type = 1, .gso_size = 100}, false},
	{F_CSUM | F_HOST_TSO4,
	 {.flags = 1, .gso_type = 4, .gso_size = 9},
	 false},
	{F_CSUM | F_HOST_TSO6,
	 {.flags = 1, .gso_type = 1, .gso_size = 9},
	 false},
	{F_CSUM | F_HOST_TSO4,
	 {.flags = 1, .gso_type = 0x81, .gso_size = 9},
	 false},
	{F_HOST_TSO4, {.flags = 1, .gso_type = 1, .gso_size = 9}, false},
};

static void only_headers_that_make_sense_pass(void **state)
{
	struct frame_header h;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (!i)
			open_up(cases[i].features);
		else
			up(cases[i].features);
		offer_frame(TX0, 0, &cases[i].h, i, 200, SENT_ROOM);
		kick(TX0);
		assert_int_equal(take_used(), 1);
		if (wire_take(0, &h, frame, sizeof(frame)) !=
		    (cases[i].passes ? 200 : -1))
			fail_msg("case %u", i);
		if (cases[i].passes)
			assert_memory_equal(&h, &cases[i].h, HEADER);
	}
	assert_false(is_broken());
}

static void what_does_not_count_is_blotted_out(void **state)
{
	const struct frame_header odd = {.flags = 0xfe,
					 .hdr_len = 9999,
					 .gso_size = 77,
					 .num_buffers = 5};
	const struct frame_header tso = {.flags = 0xff,
					 .gso_type = 1,
					 .hdr_len = 201,
					 .gso_size = 100,
					 .num_buffers = 5};
	struct frame_header h;

	(void)state;
	open_up(OFFLOADS);
	offer_frame(TX0, 0, &odd, 0, 200, SENT_ROOM);
	kick(TX0);
	expect_frame(0, 200);
	offer_frame(TX0, 0, &tso, 0, 200, SENT_ROOM);
	kick(TX0);
	assert_int_equal(wire_take(0, &h, frame, sizeof(frame)), 200);
	assert_int_equal(h.flags, 1);
	assert_int_equal(h.hdr_len, 200);
	assert_int_equal(h.num_buffers, 0);
}

static void chains_of_the_wrong_form_are_broken(void **state)
{
	uint32_t len;

	(void)state;
	open_up(0);
	for (len = 1; len < HEADER; len++) {
		fake_ring_desc(&rings[TX0], 0, SENT_GPA, len, 0, 0);
		fake_ring_offer(&rings[TX0], 0);
		kick(TX0);
		assert_true(is_broken());
		up(0);
	}
	fake_ring_desc(&rings[TX0], 0, SENT_GPA, 100, FAKE_NEXT, 1);
	fake_ring_desc(&rings[TX0], 1, SENT_GPA, 1, FAKE_WRITE, 0);
	fake_ring_offer(&rings[TX0], 0);
	kick(TX0);
	assert_true(is_broken());
	expect_silence();
	up(0);
	offer_frame(TX0, 0, &plain, 1, 60, SENT_ROOM);
	kick(TX0);
	expect_frame(1, 60);
}

/* ---- flow ---------------------------------------------------------------- */

/* A full ring of one frame, 1000 bytes long. */
static void offer_many(unsigned count)
{
	unsigned i;

	offer_frame(TX0, 0, &plain, 9, 1000, SENT_ROOM);
	for (i = 1; i < count; i++)
		fake_ring_offer(&rings[TX0], 0);
}

static void a_full_ring_is_served_in_turns(void **state)
{
	unsigned i;

	(void)state;
	open_up(0);
	offer_many(RING);
	fake_write32(&host, MMIO_NOTIFY, TX0);
	assert_int_equal(fake_host_turn(&host, 1), 1);
	assert_true(rings[TX0].used_head[1] < RING);
	turn();
	assert_int_equal(take_used(), RING);
	assert_true(fake_kvm_take_edges() <= RING / 32);
	for (i = 0; i < RING; i++)
		expect_frame(9, 1000);
	/* At rest the device wants to hear of the next. */
	assert_int_equal(rings[TX0].used_head[0], 0);
}

static void a_tap_that_is_full_is_waited_for(void **state)
{
	unsigned got_frames = 0, rounds = 0;
	struct frame_header h;

	(void)state;
	fake_tap.send_buffer = 20000;
	open_up(0);
	offer_many(RING);
	fake_write32(&host, MMIO_NOTIFY, TX0);
	turn();
	/* Neither lost nor spun on, whatever else happens. */
	assert_true(rings[TX0].used_head[1] < RING);
	assert_int_equal(fake_host_turn(&host, 4), 0);
	kick(TX0);
	wire_send(0, 1, 60);
	turn();
	while (got_frames < RING && rounds++ < 1000) {
		while (wire_take(0, &h, frame, sizeof(frame)) == 1000)
			got_frames++;
		turn();
	}
	assert_int_equal(got_frames, RING);
	assert_int_equal(take_used(), RING);
	assert_int_equal(counter("tx_dropped"), 0);
	assert_int_equal(counter("tx_packets"), RING);
}

static void a_reset_ends_the_waiting(void **state)
{
	struct frame_header h;

	(void)state;
	fake_tap.send_buffer = 20000;
	open_up(0);
	offer_many(RING);
	kick(TX0);
	up(0);
	while (wire_take(0, &h, frame, sizeof(frame)) == 1000)
		;
	turn();
	offer_frame(TX0, 0, &plain, 3, 60, SENT_ROOM);
	kick(TX0);
	expect_frame(3, 60);
	expect_silence();
}

static void a_wire_that_is_cut_drops_frames(void **state)
{
	(void)state;
	open_up(0);
	fd_close(&fake_tap.wire[0]);
	offer_many(10);
	kick(TX0);
	assert_int_equal(take_used(), 10);
	assert_int_equal(counter("tap_write_fails"), 10);
	assert_int_equal(counter("tx_dropped"), 10);
	assert_int_equal(fake_host_turn(&host, 4), 0);
}

/* ---- a hostile driver ---------------------------------------------------- */

static void hostile_step(struct fake_random *r)
{
	static const uint64_t bases[] = {
		SENT_GPA,	    GOT_GPA,   0x1000,
		FAKE_LOW_SIZE - 64, FAKE_HIGH, FAKE_HIGH + FAKE_HIGH_SIZE - 512,
		FAKE_SLOT,	    ~0ULL - 63};
	const unsigned ring = fake_random_below(r, 4) ? TX0 : RX0;
	unsigned n = 1 + fake_random_below(r, 4);
	unsigned i;

	for (i = 0; i < 20; i++)
		sent[i] = (uint8_t)fake_random(r);
	if (fake_random_below(r, 3)) {
		sent[0] &= 1;
		sent[1] = (uint8_t)fake_random_below(r, 6);
	}
	for (i = 0; i < n; i++)
		fake_ring_desc(&rings[ring], (uint16_t)fake_random_below(r, 8),
			       bases[fake_random_below(r, 30) % 9 % 8] +
				       fake_random_below(r, 64),
			       fake_random_below(r, 40)
				       ? fake_random_below(r, 1600)
				       : (uint32_t)fake_random(r),
			       (uint16_t)fake_random_below(r, 8),
			       (uint16_t)fake_random_below(
				       r, fake_random_below(r, 20) ? 8 : 300));
	if (fake_random_below(r, 3))
		fake_ring_desc(&rings[ring], 0, SENT_GPA,
			       fake_random_below(r, 1600) + 1,
			       ring == RX0 ? FAKE_WRITE : 0, 0);
	fake_ring_offer(&rings[ring], fake_random_below(r, 30) ? 0 : 1);
	if (!fake_random_below(r, 500))
		rings[ring].avail[1] = (uint16_t)fake_random(r);
}

static void a_hostile_driver_breaks_nothing(void **state)
{
	struct fake_random r = {.state = 0x2e7};
	unsigned i, broken = 0;
	struct frame_header h;

	(void)state;
	log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
	open_up(OFFLOADS | FAKE_F_INDIRECT);
	for (i = 0; i < 50000; i++) {
		hostile_step(&r);
		if (!fake_random_below(&r, 4))
			wire_send(0, i, fake_random_below(&r, 3000));
		kick(fake_random_below(&r, 4));
		while (wire_take(0, &h, frame, sizeof(frame)) >= 0)
			assert_true(h.flags <= 1 && h.gso_type <= 0x84);
		if (is_broken()) {
			broken++;
			up((i % 2 ? OFFLOADS : F_MRG_RXBUF) | FAKE_F_INDIRECT);
		}
	}
	assert_true(broken > 5000);
	assert_true(counter("tx_packets") > 1000);
	assert_true(counter("tx_malformed") > 1000);
	assert_true(counter("rx_packets") > 1000);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(frames_reach_the_wire),
		TEST(frames_may_be_split_anywhere),
		TEST(absurd_lengths_are_dropped),
		TEST(only_headers_that_make_sense_pass),
		TEST(what_does_not_count_is_blotted_out),
		TEST(chains_of_the_wrong_form_are_broken),
		TEST(a_full_ring_is_served_in_turns),
		TEST(a_tap_that_is_full_is_waited_for),
		TEST(a_reset_ends_the_waiting),
		TEST(a_wire_that_is_cut_drops_frames),
		/* Turns the log off. */
		TEST(a_hostile_driver_breaks_nothing),
	};

	return cmocka_run_group_tests_name("net_tx", tests, NULL, NULL);
}
