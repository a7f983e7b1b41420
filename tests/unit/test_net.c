/* virtio-net: configuration, features, commands, its life, its limits. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/fake_kvm.h"
#include "tests/unit/net_bench.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"

#define GUEST_OFFLOADS                                              \
	(F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN | \
	 F_GUEST_UFO | F_GUEST_USO4 | F_GUEST_USO6)
#define HOST_OFFLOADS                                                   \
	(F_CSUM | F_HOST_TSO4 | F_HOST_TSO6 | F_HOST_ECN | F_HOST_UFO | \
	 F_HOST_USO)
#define ALWAYS                                               \
	(F_MRG_RXBUF | F_STATUS | F_CTRL | FAKE_F_INDIRECT | \
	 FAKE_F_EVENT_IDX | FAKE_F_VERSION_1)

static const struct frame_header plain;

static uint8_t frame[4096];

static long take(unsigned pair)
{
	struct frame_header h;

	return wire_take(pair, &h, frame, sizeof(frame));
}

/* ---- configuration ------------------------------------------------------- */

static void what_is_offered_follows_tap_and_configuration(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(open_net(&e), 0);
	assert_int_equal(fake_driver_offered(&host), ALWAYS | GUEST_OFFLOADS |
							     HOST_OFFLOADS |
							     F_CTRL_OFFLOADS);
	bench_teardown(state);
	bench_setup(state);
	config.has_mac = true;
	config.mtu = 1400;
	config.queue_pairs = 2;
	fake_tap.can = 0x0f;
	assert_int_equal(open_net(&e), 0);
	assert_int_equal(fake_driver_offered(&host),
			 ALWAYS | F_MAC | F_MTU | F_MQ | F_GUEST_CSUM |
				 F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN |
				 F_CSUM | F_HOST_TSO4 | F_HOST_TSO6 |
				 F_HOST_ECN | F_CTRL_OFFLOADS);
	bench_teardown(state);
	bench_setup(state);
	config.queue_pairs = 8;
	fake_tap.is_single = true;
	fake_tap.can = 0;
	assert_int_equal(open_net(&e), 0);
	assert_int_equal(fake_driver_offered(&host), ALWAYS);
}

static void the_configuration_is_told(void **state)
{
	static const uint8_t mac[6] = {2, 3, 4, 5, 6, 7};
	uint8_t have[12];
	struct err e;

	(void)state;
	config.has_mac = true;
	memcpy(config.mac, mac, 6);
	config.mtu = 9000;
	config.queue_pairs = 99;
	assert_int_equal(open_net(&e), 0);
	assert_int_equal(fake_read32(&host, MMIO_DEVICE_ID), 1);
	fake_read(&host, MMIO_CONFIG, have, 4);
	fake_read(&host, MMIO_CONFIG + 4, have + 4, 4);
	fake_read(&host, MMIO_CONFIG + 8, have + 8, 4);
	assert_memory_equal(have, mac, 6);
	assert_int_equal(have[6] | have[7] << 8, 1); /* the link is up */
	assert_int_equal(have[8] | have[9] << 8, NET_PAIRS_MAX);
	assert_int_equal(have[10] | have[11] << 8, 9000);
	assert_int_equal(fake_read32(&host, MMIO_CONFIG + 12), 0);
	/* With VERSION_1 the address is set by a command. */
	fake_write32(&host, MMIO_CONFIG, ~0U);
	fake_read(&host, MMIO_CONFIG, have, 4);
	assert_memory_equal(have, mac, 4);
}

static void bad_configurations_are_refused(void **state)
{
	struct err e;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	config.has_mac = true;
	config.mac[0] = 1;
	assert_int_equal(open_net(&e), -EINVAL);
	assert_non_null(strstr(e.text, "MAC"));
	fake_host_close(&host);
	config.has_mac = false;
	config.mtu = 67;
	assert_int_equal(open_net(&e), -EINVAL);
	assert_non_null(strstr(e.text, "68"));
	fake_host_close(&host);
	config.mtu = 68;
	fake_tap.fail_open = true;
	config.tap_fd = fd;
	assert_int_equal(open_net(&e), -EBUSY);
	/* It is still the caller's. */
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	fake_host_close(&host);
	fake_tap.fail_open = false;
	config.queue_pairs = 4;
	assert_int_equal(open_net(&e), 0);
	assert_int_equal(fake_driver_offered(&host) & F_MQ, 0);
}

/* ---- commands ------------------------------------------------------------ */

static void an_address_is_set_until_the_next_reset(void **state)
{
	static const uint8_t group[6] = {1, 2, 3, 4, 5, 6};
	static const uint8_t zero[6];
	static const uint8_t mine[6] = {2, 9, 9, 9, 9, 9};
	uint8_t have[4];
	unsigned piece;

	(void)state;
	open_up(F_CTRL);
	assert_int_equal(command(1, 1, group, 6), ACK_ERR);
	assert_int_equal(command(1, 1, zero, 6), ACK_ERR);
	assert_int_equal(command(1, 1, mine, 5), ACK_ERR);
	assert_int_equal(command(1, 1, "\2\0\0\0\0\0\0", 7), ACK_ERR);
	fake_read(&host, MMIO_CONFIG, have, 4);
	assert_memory_equal(have, zero, 4);
	for (piece = 1; piece < 9; piece++) {
		assert_int_equal(command_in(piece, 1, 1, mine, 6), ACK_OK);
		fake_read(&host, MMIO_CONFIG, have, 4);
		assert_memory_equal(have, mine, 4);
		up(F_CTRL);
		fake_read(&host, MMIO_CONFIG, have, 4);
		assert_memory_equal(have, zero, 4);
	}
}

static void filters_are_taken_note_of(void **state)
{
	uint8_t table[4 + 12 + 4 + 6] = {2};

	(void)state;
	open_up(F_CTRL);
	assert_int_equal(command(0, 0, "\1", 1), ACK_OK);
	assert_int_equal(command(0, 1, "\0", 1), ACK_OK);
	assert_int_equal(command(0, 2, "\1", 1), ACK_ERR);
	assert_int_equal(command(0, 0, "\2", 1), ACK_ERR);
	assert_int_equal(command(0, 0, "", 0), ACK_ERR);
	assert_int_equal(command(0, 0, "\1\1", 2), ACK_ERR);
	table[16] = 1;
	assert_int_equal(command(1, 0, table, sizeof(table)), ACK_OK);
	assert_int_equal(command_in(1, 1, 0, table, sizeof(table)), ACK_OK);
	table[16] = 2;
	assert_int_equal(command(1, 0, table, sizeof(table)), ACK_ERR);
	table[16] = 0;
	assert_int_equal(command(1, 0, table, sizeof(table)), ACK_ERR);
	table[16] = 1;
	table[19] = 0x80;
	assert_int_equal(command(1, 0, table, sizeof(table)), ACK_ERR);
	assert_int_equal(command(1, 0, table, 3), ACK_ERR);
	/* Unknown ones, and those that were not negotiated. */
	assert_int_equal(command(2, 0, "\1\0", 2), ACK_ERR);
	assert_int_equal(command(3, 0, "", 0), ACK_ERR);
	assert_int_equal(command(4, 0, "\1\0", 2), ACK_ERR);
	assert_int_equal(command(5, 0, "\0\0\0\0\0\0\0\0", 8), ACK_ERR);
	assert_int_equal(command(255, 255, "", 0), ACK_ERR);
	up(F_CTRL_VQ);
	assert_int_equal(command(0, 0, "\1", 1), ACK_ERR);
	assert_int_equal(command(1, 0, "\0\0\0\0\0\0\0\0", 8), ACK_ERR);
	assert_int_equal(command(1, 1, "\2\0\0\0\0\0", 6), ACK_ERR);
	assert_false(is_broken());
}

static void commands_of_the_wrong_form_are_broken(void **state)
{
	(void)state;
	open_up(F_CTRL);
	fake_ring_desc(&rings[CTRL], 0, SENT_GPA, 1, FAKE_NEXT, 1);
	fake_ring_desc(&rings[CTRL], 1, GOT_GPA, 1, FAKE_WRITE, 0);
	fake_ring_offer(&rings[CTRL], 0);
	kick(2);
	assert_true(is_broken());
	up(F_CTRL);
	fake_ring_desc(&rings[CTRL], 0, SENT_GPA, 3, 0, 0);
	fake_ring_offer(&rings[CTRL], 0);
	kick(2);
	assert_true(is_broken());
	up(F_CTRL);
	assert_int_equal(command(0, 0, "\1", 1), ACK_OK);
}

static void offloads_are_what_the_driver_took(void **state)
{
	uint64_t features;

	(void)state;
	open_up(GUEST_OFFLOADS | F_CTRL | F_CTRL_OFFLOADS);
	assert_int_equal(fake_tap.offloads, 0x7f);
	features = F_GUEST_CSUM | F_GUEST_TSO6;
	assert_int_equal(command(5, 0, &features, 8), ACK_OK);
	assert_int_equal(fake_tap.offloads, 0x05);
	/* The parts that depend on others go with them. */
	features = F_GUEST_CSUM | F_GUEST_ECN | F_GUEST_USO4;
	assert_int_equal(command(5, 0, &features, 8), ACK_OK);
	assert_int_equal(fake_tap.offloads, 0x01);
	features = F_GUEST_CSUM | F_MRG_RXBUF;
	assert_int_equal(command(5, 0, &features, 8), ACK_ERR);
	assert_int_equal(command(5, 0, &features, 4), ACK_ERR);
	assert_int_equal(fake_tap.offloads, 0x01);
	/* What comes without a driver is nobody's; so nothing is changed. */
	fake_write32(&host, MMIO_STATUS, 0);
	assert_int_equal(fake_tap.offloads, 0x01);
	/* 5.1.3.1: segments without checksums make no sense. */
	up(F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN);
	assert_int_equal(fake_tap.offloads, 0);
	up(F_GUEST_CSUM | F_GUEST_TSO4 | F_CTRL | F_CTRL_OFFLOADS);
	assert_int_equal(fake_tap.offloads, 0x03);
	features = F_GUEST_CSUM | F_GUEST_TSO6;
	assert_int_equal(command(5, 0, &features, 8), ACK_ERR);
}

/* ---- several pairs ------------------------------------------------------- */

/* A frame each way, by a pair. */
static void expect_traffic(unsigned pair, bool works)
{
	const unsigned rx = pair ? RX1 : RX0;
	const unsigned tx = pair ? TX1 : TX0;
	uint32_t id, len;

	offer_room(rx, 0, 0x1000 * (pair + 1), 1536);
	wire_send(pair, 1, 60);
	kick(2 * pair);
	assert_int_equal(fake_ring_take(&rings[rx], &id, &len), works);
	offer_frame(tx, 0, &plain, 2, 100, SENT_ROOM);
	kick(2 * pair + 1);
	assert_int_equal(take(pair), works ? 100 : -1);
}

static void pairs_work_once_they_are_enabled(void **state)
{
	const uint64_t features = F_CTRL | F_MQ;
	uint16_t n;

	(void)state;
	config.queue_pairs = 3;
	open_up(features);
	assert_false(fake_tap.attached[1]);
	expect_traffic(0, true);
	expect_traffic(1, false);
	assert_int_equal(set_pairs(0), ACK_ERR);
	assert_int_equal(set_pairs(4), ACK_ERR);
	assert_int_equal(set_pairs(0xffff), ACK_ERR);
	assert_false(fake_tap.attached[1]);
	assert_int_equal(set_pairs(2), ACK_OK);
	assert_true(fake_tap.attached[1]);
	assert_false(fake_tap.attached[2]);
	/* What was offered meanwhile is served at once. */
	assert_int_equal(take(1), 100);
	rings[RX1].used_idx = rings[RX1].used_head[1];
	assert_int_equal(rings[RX1].used_idx, 1);
	for (n = 0; n < 5; n++) {
		expect_traffic(0, true);
		expect_traffic(1, true);
	}
	assert_int_equal(set_pairs(1), ACK_OK);
	assert_false(fake_tap.attached[1]);
	expect_traffic(0, true);
	assert_int_equal(set_pairs(2), ACK_OK);
	fake_write32(&host, MMIO_STATUS, 0);
	assert_false(fake_tap.attached[1]);
	up(features);
	assert_int_equal(set_pairs(2), ACK_OK);
	expect_traffic(0, true);
	expect_traffic(1, true);
	assert_false(is_broken());
}

static void pairs_that_cannot_be_had_change_nothing(void **state)
{
	(void)state;
	config.queue_pairs = 3;
	fake_tap.fail_attach = 2;
	open_up(F_CTRL | F_MQ);
	offer_room(RX1, 0, 0, 1536);
	assert_int_equal(set_pairs(3), ACK_ERR);
	assert_false(fake_tap.attached[1]);
	assert_int_equal(set_pairs(2), ACK_OK);
	assert_int_equal(set_pairs(3), ACK_ERR);
	assert_true(fake_tap.attached[1]);
	expect_traffic(0, true);
	expect_traffic(1, true);
}

/* 5.1.2: then the control queue is the third. */
static void stop_loop(struct loop_timer *t)
{
	(void)t;
	loop_stop(&host.loop);
}

/* Each of them costs the host: its neighbours' too. */
static void commands_are_held_to_a_rate(void **state)
{
	struct loop_timer t = {.fire = stop_loop};
	const uint64_t begin = clock_now_ns();
	unsigned i, done = 0;
	uint32_t id, len;

	(void)state;
	config.queue_pairs = 3;
	open_up(F_CTRL | F_MQ);
	/* Many of one that attaches and one that detaches two queues. */
	memcpy(sent, "\4\0\3\0\4\0\1\0", 8);
	fake_ring_desc(&rings[CTRL], 0, SENT_GPA, 4, FAKE_NEXT, 1);
	fake_ring_desc(&rings[CTRL], 1, GOT_GPA, 1, FAKE_WRITE, 0);
	fake_ring_desc(&rings[CTRL], 2, SENT_GPA + 4, 4, FAKE_NEXT, 1);
	for (i = 0; i < RING; i++)
		fake_ring_offer(&rings[CTRL], i % 2 ? 2 : 0);
	fake_write32(&host, MMIO_NOTIFY, 6);
	loop_arm(&host.loop, &t, begin + 500000000);
	assert_int_equal(loop_run(&host.loop, NULL), 0);
	while (fake_ring_take(&rings[CTRL], &id, &len))
		done++;
	/* Three each: 64 at once, then 64 a second of those that passed. */
	assert_in_range(done, 20,
			24 + (clock_now_ns() - begin) * 64 / 3 / 1000000000);
	/* A reset is no way around, and no harm. */
	fake_write32(&host, MMIO_STATUS, 0);
	turn();
}

static void a_driver_without_mq_finds_its_control_queue(void **state)
{
	(void)state;
	config.queue_pairs = 3;
	open_up(F_CTRL);
	assert_int_equal(command(0, 0, "\1", 1), ACK_OK);
	assert_int_equal(set_pairs(1), ACK_ERR);
	expect_traffic(0, true);
}

/* ---- life ---------------------------------------------------------------- */

static void the_link_survives_a_thousand_drivers(void **state)
{
	unsigned i;
	uint32_t id, len;

	(void)state;
	open_up(0);
	for (i = 0; i < 1000; i++) {
		offer_room(RX0, 0, 0, 1536);
		wire_send(0, i, 60);
		turn();
		assert_true(fake_ring_take(&rings[RX0], &id, &len));
		assert_int_equal(got[HEADER], pattern(i, 0));
		assert_false(fake_ring_take(&rings[RX0], &id, &len));
		offer_frame(TX0, 0, &plain, i, 60, SENT_ROOM);
		kick(TX0);
		assert_int_equal(take(0), 60);
		/* The last of these has another address, perhaps. */
		fake_write32(&host, MMIO_STATUS, 0);
		wire_send(0, 77, 100);
		wire_send(0, 78, 100);
		turn();
		up(i % 2 ? F_MRG_RXBUF : 0);
	}
	assert_int_equal(counter("rx_dropped"), 2000);
	assert_int_equal(counter("rx_packets"), 1000);
}

/* A client that was faster than the guest need not ask again. */
static void what_comes_before_the_first_driver_is_kept(void **state)
{
	uint32_t id, len;
	struct err e;

	(void)state;
	assert_int_equal(open_net(&e), 0);
	wire_send(0, 1, 60);
	turn();
	up(0);
	offer_room(RX0, 0, 0, 1536);
	kick(RX0);
	assert_true(fake_ring_take(&rings[RX0], &id, &len));
}

static char names[256];

static void note_name(struct device_counters *c, const char *name,
		      uint64_t value)
{
	(void)c;
	(void)value;
	strncat(names, name, sizeof(names) - strlen(names) - 2);
	strncat(names, " ", 2);
}

static void the_counters_have_their_names(void **state)
{
	struct device_counters c = {.put = note_name};
	struct err e;

	(void)state;
	assert_int_equal(open_net(&e), 0);
	names[0] = '\0';
	host.device->ops->count(host.device, &c);
	assert_string_equal(
		names, "rx_packets rx_bytes rx_dropped tx_packets tx_bytes "
		       "tx_dropped tx_malformed rx_no_buffers tap_read_fails "
		       "tap_write_fails rx_throttled tx_throttled "
		       "queue_chains queue_faults interrupts ");
}

/* ---- limits -------------------------------------------------------------- */

static uint64_t stop_at;
static unsigned filled;

/* Keeps both directions busy until the time is over. */
static void feed(struct loop_timer *t)
{
	uint32_t id, len;

	while (take(0) > 0)
		;
	while (fake_ring_take(&rings[TX0], &id, &len))
		;
	while ((uint16_t)(rings[TX0].avail_idx - rings[TX0].used_idx) < 64)
		fake_ring_offer(&rings[TX0], 0);
	fake_write32(&host, MMIO_NOTIFY, TX0);
	while (fake_ring_take(&rings[RX0], &id, &len))
		offer_room(RX0, (uint16_t)id, id * 1536ULL, 1536);
	fake_write32(&host, MMIO_NOTIFY, RX0);
	for (; filled < counter("rx_packets") + 64; filled++)
		wire_send(0, 1, 1000);
	if (clock_now_ns() >= stop_at)
		loop_stop(&host.loop);
	else
		loop_arm(&host.loop, t, clock_now_ns() + 1000000);
}

/* Runs both directions at once with frames of 1,000 bytes. */
static void run_for(uint64_t ns)
{
	struct loop_timer t = {.fire = feed};
	unsigned i;

	for (i = 0; i < RING / 2 && !filled; i++)
		offer_room(RX0, (uint16_t)i, i * 1536ULL, 1536);
	offer_frame(TX0, 0, &plain, 1, 1000, SENT_ROOM);
	stop_at = clock_now_ns() + ns;
	loop_arm(&host.loop, &t, 1);
	assert_int_equal(loop_run(&host.loop, NULL), 0);
	loop_disarm(&host.loop, &t);
	assert_false(is_broken());
}

static void rates_hold_and_bursts_come_once(void **state)
{
	const struct limiter_bucket bytes = {.size = 200000,
					     .burst = 300000,
					     .refill_ms = 100,
					     .is_given = true};
	const struct limiter_bucket ops = {
		.size = 100, .refill_ms = 100, .is_given = true};
	uint64_t rx, tx, begin, us;

	(void)state;
	config.rx.bytes = bytes;
	config.tx.ops = ops;
	open_up(F_MRG_RXBUF);
	filled = 0;
	begin = clock_now_ns();
	run_for(1000000000);
	us = (clock_now_ns() - begin) / 1000 + 1;
	/*
	 * 2 MB a second, what the bucket held, and the burst; the last frame is
	 * owed. On a loaded machine it runs for longer, and not all the time,
	 * so only the upper bound is exact.
	 */
	rx = counter("rx_bytes");
	assert_in_range(rx, 1500000, 500000 + 2 * us + 1000);
	/* 1,000 frames a second and what the bucket held. */
	tx = counter("tx_packets");
	assert_in_range(tx, 600, 100 + us / 1000 + 1);
	assert_true(counter("rx_throttled") > 0);
	assert_true(counter("tx_throttled") > 0);
	assert_int_equal(counter("rx_dropped") + counter("tx_dropped"), 0);
}

static void limits_can_be_lifted(void **state)
{
	const struct limiter_bucket slow = {
		.size = 1, .refill_ms = 3600000, .is_given = true};
	const struct limiter_config none = {.bytes = {.is_given = true}};
	uint64_t rx, tx;

	(void)state;
	config.rx.bytes = slow;
	config.tx.bytes = slow;
	open_up(F_MRG_RXBUF);
	filled = 0;
	run_for(20000000);
	assert_int_equal(counter("rx_packets"), 1);
	assert_int_equal(counter("tx_packets"), 1);
	net_set_limiters(host.device, &none, NULL);
	run_for(20000000);
	rx = counter("rx_packets");
	assert_true(rx > 10);
	assert_int_equal(counter("tx_packets"), 1);
	net_set_limiters(host.device, NULL, &none);
	run_for(20000000);
	tx = counter("tx_packets");
	assert_true(tx > 10);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_offered_follows_tap_and_configuration),
		TEST(the_configuration_is_told),
		TEST(bad_configurations_are_refused),
		TEST(an_address_is_set_until_the_next_reset),
		TEST(filters_are_taken_note_of),
		TEST(commands_of_the_wrong_form_are_broken),
		TEST(offloads_are_what_the_driver_took),
		TEST(pairs_work_once_they_are_enabled),
		TEST(pairs_that_cannot_be_had_change_nothing),
		TEST(a_driver_without_mq_finds_its_control_queue),
		TEST(commands_are_held_to_a_rate),
		TEST(the_link_survives_a_thousand_drivers),
		TEST(what_comes_before_the_first_driver_is_kept),
		TEST(the_counters_have_their_names),
		TEST(rates_hold_and_bursts_come_once),
		TEST(limits_can_be_lifted),
	};

	return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
