/* virtio-net that is saved and loaded: frames, the taps, the address, limits.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/net_device.h"
#include "tests/unit/fake_kvm.h"
#include "tests/unit/net_bench.h"
#include "tests/unit/state_bench.h"
#include "vmm/base/log.h"

#define GUEST_OFFLOADS                                              \
	(F_GUEST_CSUM | F_GUEST_TSO4 | F_GUEST_TSO6 | F_GUEST_ECN | \
	 F_GUEST_UFO | F_GUEST_USO4 | F_GUEST_USO6)

static const struct frame_header plain;

/* What the taps of renew() are like. */
static struct fake_tap other;

/* Another interface on a tap of its own, that has seen nothing; same guest. */
static void renew(void)
{
	struct device *d;
	struct err e;

	fake_host_remove(&host);
	fake_kvm.ioeventfds = 0;
	fake_tap_reset();
	fake_tap.is_single = other.is_single;
	fake_tap.fail_attach = other.fail_attach;
	if (other.can)
		fake_tap.can = other.can;
	other = (struct fake_tap){0};
	assert_int_equal(net_new(&d, &config, &e), 0);
	assert_int_equal(fake_host_add(&host, d, &e), 0);
}

/* Guest and device, as they were: else commands would be given twice. */
struct moment {
	struct saved saved;
	struct fake_ring rings[RINGS];
	uint8_t memory[RINGS * 0x2000];
};

static void keep(struct moment *m)
{
	m->saved = state_take(&host);
	memcpy(m->rings, rings, sizeof(rings));
	memcpy(m->memory, guest_mem_at(&host.mem, 0x1000, sizeof(m->memory)),
	       sizeof(m->memory));
}

static void go_back(const struct moment *m)
{
	state_hold(&host);
	memcpy(rings, m->rings, sizeof(rings));
	memcpy(guest_mem_at(&host.mem, 0x1000, sizeof(m->memory)), m->memory,
	       sizeof(m->memory));
	state_put(&host, &m->saved);
}

static void expect_refused(const struct saved *s, const char *why)
{
	struct err e;

	state_hold(&host);
	assert_int_equal(state_load(&host, s, &e), -EINVAL);
	if (!strstr(e.text, why))
		fail_msg("\"%s\" does not say \"%s\"", e.text, why);
	state_go_on(&host);
	assert_int_equal(fake_read32(&host, MMIO_STATUS), 0);
}

/* Frame n from the tap, by a buffer that is offered for it. */
static void expect_received(unsigned pair, unsigned n)
{
	const unsigned rx = pair ? RX1 : RX0;
	const uint64_t at = 0x1000 * (pair + 1);
	uint32_t id, len;

	offer_room(rx, 0, at, 1536);
	wire_send(pair, n, 60);
	kick(2 * pair);
	assert_true(fake_ring_take(&rings[rx], &id, &len));
	assert_int_equal(len, HEADER + 60);
	assert_int_equal(got[at + HEADER + 17], pattern(n, 17));
}

static void expect_sent(unsigned pair, unsigned n)
{
	struct frame_header h;
	uint8_t frame[256];

	assert_int_equal(wire_take(pair, &h, frame, sizeof(frame)), 100);
	assert_int_equal(frame[17], pattern(n, 17));
}

/* ---- frames ---------------------------------------------------------------
 */

static void buffers_and_frames_are_found_after(void **state)
{
	struct saved a, b;
	uint32_t id, len;

	(void)state;
	open_up(F_MRG_RXBUF | FAKE_F_EVENT_IDX);
	expect_received(0, 1);
	offer_room(RX0, 0, 0x1000, 1536);
	kick(0);
	state_hold(&host);
	/* Nobody was told of it. */
	offer_frame(TX0, 0, &plain, 5, 100, 64);
	kick(1);
	assert_int_equal(
		wire_take(0, &(struct frame_header){0}, &(uint8_t){0}, 1), -1);
	a = state_save(&host);
	renew();
	state_hold(&host);
	assert_int_equal(state_load(&host, &a, &(struct err){0}), 0);
	b = state_save(&host);
	state_expect_same(&a, &b);
	state_go_on(&host);
	expect_sent(0, 5);
	assert_int_equal(*rings[TX0].avail_event, rings[TX0].avail_idx);
	wire_send(0, 6, 60);
	turn();
	assert_true(fake_ring_take(&rings[RX0], &id, &len));
	assert_int_equal(got[0x1000 + HEADER + 17], pattern(6, 17));
	expect_received(0, 7);
	state_free(&a);
	state_free(&b);
}

/* Part of it lies in the guest's buffers, for which it waits for more. */
static void a_pause_loses_no_frame(void **state)
{
	uint32_t id, len, i;
	struct saved a;

	(void)state;
	open_up(F_MRG_RXBUF);
	offer_room(RX0, 0, 0, 700);
	kick(0);
	wire_send(0, 9, 1400);
	turn();
	assert_false(fake_ring_take(&rings[RX0], &id, &len));
	state_hold(&host);
	state_hold(&host);
	/* The buffer is the driver's by now. */
	memset(got, 0xaa, 4096);
	a = state_save(&host);
	state_go_on(&host);
	offer_room(RX0, 1, 700, 2000);
	kick(0);
	assert_true(fake_ring_take(&rings[RX0], &id, &len));
	assert_int_equal(len, 700);
	assert_true(fake_ring_take(&rings[RX0], &id, &len));
	assert_int_equal(len, HEADER + 1400 - 700);
	for (i = 0; i < 1400; i++)
		assert_int_equal(got[HEADER + i], pattern(9, i));
	assert_int_equal(counter("rx_dropped"), 0);
	state_free(&a);
}

/* They are for a guest that is no more. */
static void frames_of_what_was_discarded_are_thrown_away(void **state)
{
	struct saved a;
	uint32_t id, len;

	(void)state;
	open_up(F_MRG_RXBUF);
	a = state_take(&host);
	offer_room(RX0, 0, 0, 700);
	kick(0);
	wire_send(0, 1, 1400); /* the last of it waits */
	turn();
	state_hold(&host);
	wire_send(0, 2, 60);
	wire_send(0, 3, 60);
	fake_ring_init(&rings[RX0], &host.mem, rings[RX0].desc_gpa, RING);
	assert_int_equal(state_load(&host, &a, &(struct err){0}), 0);
	state_go_on(&host);
	offer_room(RX0, 0, 0x3000, 1536);
	kick(0);
	assert_false(fake_ring_take(&rings[RX0], &id, &len));
	wire_send(0, 4, 60);
	turn();
	assert_true(fake_ring_take(&rings[RX0], &id, &len));
	assert_int_equal(got[0x3000 + HEADER + 17], pattern(4, 17));
	assert_int_equal(counter("rx_dropped"), 2);
	state_free(&a);
}

/* A tap that takes nothing holds one machine up, and not the next. */
static void a_blocked_tap_is_left_behind(void **state)
{
	struct saved a;
	unsigned n;

	(void)state;
	fake_tap.send_buffer = 1;
	open_up(0);
	for (n = 0; n < 60; n++) {
		fake_ring_desc(&rings[TX0], (uint16_t)n, SENT_GPA, HEADER + 100,
			       0, 0);
		fake_ring_offer(&rings[TX0], (uint16_t)n);
	}
	kick(1);
	n = rings[TX0].used_head[1];
	assert_true(n < 60);
	a = state_take(&host);
	renew();
	state_put(&host, &a);
	assert_int_equal(rings[TX0].used_head[1], 60);
	state_free(&a);
}

/* ---- what the tap is to do ------------------------------------------------
 */

static void offloads_are_on_again(void **state)
{
	const uint64_t less = F_GUEST_CSUM | F_GUEST_TSO6;
	static struct moment all, some, none;

	(void)state;
	open_up(GUEST_OFFLOADS | F_CTRL | F_CTRL_OFFLOADS);
	keep(&all);
	assert_int_equal(command(5, 0, &less, 8), ACK_OK);
	keep(&some);
	fake_write32(&host, MMIO_STATUS, 0);
	keep(&none);
	renew();
	assert_int_equal(fake_tap.offloads, 0);
	go_back(&some);
	assert_int_equal(fake_tap.offloads, 0x05);
	go_back(&all);
	assert_int_equal(fake_tap.offloads, 0x7f);
	/* Nobody's frames come as they did; as after a reset. */
	go_back(&none);
	assert_int_equal(fake_tap.offloads, 0x7f);
	go_back(&some);
	assert_int_equal(fake_tap.offloads, 0x05);
	/* What is as it should be costs nothing. */
	fake_tap.sets = 0;
	go_back(&some);
	assert_int_equal(fake_tap.sets, 0);
	state_free(&all.saved);
	state_free(&some.saved);
	state_free(&none.saved);
}

/* A guest that was held in the middle: DRIVER_OK, and the tap not set up. */
static void what_was_not_settled_is_settled_after(void **state)
{
	const uint32_t ok = ST_DRIVER_OK;
	struct saved a;

	(void)state;
	assert_int_equal(open_net(&(struct err){0}), 0);
	assert_int_equal(
		fake_driver_negotiate(&host, GUEST_OFFLOADS | FAKE_F_VERSION_1),
		ST_FEATURES_OK);
	fake_write_only(&host, MMIO_STATUS, &ok, sizeof(ok));
	assert_int_equal(fake_tap.offloads, 0);
	state_hold(&host);
	a = state_save(&host);
	renew();
	state_put(&host, &a);
	assert_int_equal(fake_tap.offloads, 0x7f);
	state_free(&a);
}

static void a_tap_that_can_less_is_taken(void **state)
{
	struct saved a;

	(void)state;
	open_up(GUEST_OFFLOADS | F_CTRL | F_CTRL_OFFLOADS);
	a = state_take(&host);
	other.can = 0x01;
	renew();
	state_put(&host, &a);
	assert_int_equal(fake_tap.offloads, 0x01);
	expect_received(0, 1);
	state_free(&a);
	/* Unless the guest leaves to it what it can't do. */
	up(F_CSUM);
	a = state_take(&host);
	a.data[7] |= 0x08; /* HOST_TSO4 */
	expect_refused(&a, "can't be had here");
	state_free(&a);
}

static void pairs_are_on_again(void **state)
{
	static struct moment two, one, down;

	(void)state;
	config.queue_pairs = 2;
	open_up(F_CTRL | F_MQ);
	keep(&one);
	assert_int_equal(set_pairs(2), ACK_OK);
	expect_received(1, 3);
	keep(&two);
	renew();
	assert_false(fake_tap.attached[1]);
	go_back(&two);
	assert_true(fake_tap.attached[1]);
	expect_received(0, 1);
	expect_received(1, 2);
	offer_frame(TX1, 0, &plain, 8, 100, 64);
	kick(3);
	expect_sent(1, 8);
	/* And edges come from it: no kick. */
	offer_room(RX1, 0, 0x5000, 1536);
	kick(2);
	wire_send(1, 4, 60);
	turn();
	assert_true(
		fake_ring_take(&rings[RX1], &(uint32_t){0}, &(uint32_t){0}));
	go_back(&one);
	assert_false(fake_tap.attached[1]);
	go_back(&two);
	assert_true(fake_tap.attached[1]);
	fake_write32(&host, MMIO_STATUS, 0);
	assert_false(fake_tap.attached[1]);
	keep(&down);
	go_back(&two);
	assert_true(fake_tap.attached[1]);
	go_back(&down);
	assert_false(fake_tap.attached[1]);
	state_free(&one.saved);
	state_free(&two.saved);
	state_free(&down.saved);
}

static void other_taps_are_refused_or_made_do_with(void **state)
{
	struct saved a;

	(void)state;
	config.queue_pairs = 2;
	open_up(F_CTRL | F_MQ);
	assert_int_equal(set_pairs(2), ACK_OK);
	a = state_take(&host);
	other.is_single = true;
	renew();
	expect_refused(&a, "can't be had here");
	/* The host does not give the queue that it could have. */
	other.fail_attach = 1;
	renew();
	state_put(&host, &a);
	assert_false(fake_tap.attached[1]);
	expect_received(0, 1);
	state_free(&a);
	/* Where the driver has no use for the others, their number counts. */
	up(F_CTRL);
	a = state_take(&host);
	other.is_single = true;
	renew();
	expect_refused(&a, "multi_queue");
	state_free(&a);
}

/* ---- a tap that comes late -------------------------------------------------
 */

/* A device without one, loaded from *s; held. */
static void load_tapless(const struct saved *s)
{
	struct err e;

	config.tap_name = NULL;
	renew();
	config.tap_name = "tap0";
	state_hold(&host);
	assert_int_equal(state_load(&host, s, &e), 0);
	while (!host.device->ops->settle(host.device))
		;
	assert_int_equal(fake_tap.queues, 0);
	assert_int_equal(fake_tap.sets, 0);
}

static void a_tap_may_come_after_the_load(void **state)
{
	struct saved a;
	struct err e;

	(void)state;
	open_up(GUEST_OFFLOADS | F_CTRL | F_CTRL_OFFLOADS | F_CSUM);
	a = state_take(&host);
	load_tapless(&a);
	assert_int_equal(net_set_tap(host.device, "tap0", -1, &e), 0);
	assert_int_equal(state_load(&host, &a, &e), 0);
	state_go_on(&host);
	assert_int_equal(fake_tap.offloads, 0x7f);
	expect_received(0, 1);
	/* It is judged like any other. */
	other.can = 0x01;
	a.data[7] |= 0x08; /* HOST_TSO4 */
	load_tapless(&a);
	assert_int_equal(net_set_tap(host.device, "tap0", -1, &e), 0);
	expect_refused(&a, "can't be had here");
	load_tapless(&a);
	fake_tap.fail_open = true;
	assert_true(net_set_tap(host.device, "tap0", -1, &e) < 0);
	state_free(&a);
}

static void as_many_queues_as_the_tap_before(void **state)
{
	struct saved one, two;
	struct err e;

	(void)state;
	config.queue_pairs = 2;
	open_up(F_CTRL | F_MQ);
	assert_int_equal(set_pairs(2), ACK_OK);
	two = state_take(&host);
	load_tapless(&two);
	assert_int_equal(net_set_tap(host.device, "tap0", -1, &e), 0);
	assert_int_equal(state_load(&host, &two, &e), 0);
	state_go_on(&host);
	assert_true(fake_tap.attached[1]);
	expect_received(1, 2);
	load_tapless(&two);
	fake_tap.is_single = true;
	assert_int_equal(net_set_tap(host.device, "tap0", -1, &e), -EINVAL);
	assert_non_null(strstr(e.text, "make it with multi_queue"));
	other.is_single = true;
	renew();
	up(F_CTRL);
	one = state_take(&host);
	load_tapless(&one);
	fake_tap.is_single = true;
	assert_int_equal(net_set_tap(host.device, "tap0", -1, &e), 0);
	assert_int_equal(state_load(&host, &one, &e), 0);
	state_go_on(&host);
	expect_received(0, 1);
	state_free(&one);
	state_free(&two);
}

/* ---- the address ----------------------------------------------------------
 */

static void expect_address(const char *want)
{
	char mac[6];

	fake_read(&host, MMIO_CONFIG, mac, 4);
	fake_read(&host, MMIO_CONFIG + 4, mac + 4, 2);
	assert_memory_equal(mac, want, 6);
}

static void an_address_is_the_drivers_or_the_configs(void **state)
{
	static struct moment given, set;

	(void)state;
	config.has_mac = true;
	memcpy(config.mac, "\2\1\1\1\1\1", 6);
	open_up(F_CTRL | F_MAC);
	keep(&given);
	assert_int_equal(command(1, 1, "\2\7\7\7\7\7", 6), ACK_OK);
	keep(&set);
	go_back(&given);
	expect_address("\2\1\1\1\1\1");
	/* A clone has another. */
	memcpy(config.mac, "\2\2\2\2\2\2", 6);
	renew();
	go_back(&given);
	expect_address("\2\2\2\2\2\2");
	go_back(&set);
	expect_address("\2\7\7\7\7\7");
	fake_write32(&host, MMIO_STATUS, 0);
	expect_address("\2\2\2\2\2\2");
	state_free(&given.saved);
	state_free(&set.saved);
}

/* ---- hostile ones ---------------------------------------------------------
 */

/* From the end: the address, the limiters of 96 bytes, pairs, offloads. */
enum { FROM_OFFLOADS = 4, FROM_PAIRS = 8, FROM_MAC = 8 + 96 + 6 };

static void taps_and_addresses_are_judged(void **state)
{
	struct saved a;
	uint8_t *end;

	(void)state;
	config.queue_pairs = 2;
	open_up(F_CTRL | F_MQ | F_GUEST_CSUM);
	assert_int_equal(command(1, 1, "\2\7\7\7\7\7", 6), ACK_OK);
	a = state_take(&host);
	end = a.data + a.len;
	end[-FROM_PAIRS] = 0;
	expect_refused(&a, "0 pairs");
	end[-FROM_PAIRS] = 3;
	expect_refused(&a, "3 pairs");
	end[-FROM_PAIRS] = 2;
	end[-FROM_OFFLOADS] = 0x03;
	expect_refused(&a, "0x2 was not agreed on");
	end[-FROM_OFFLOADS] = 0x01;
	end[-FROM_MAC] = 3;
	expect_refused(&a, "of a group");
	memset(end - FROM_MAC, 0, 6);
	expect_refused(&a, "zero");
	end[-FROM_MAC] = 2;
	state_put(&host, &a);
	expect_address("\2\0\0\0\0\0");
	state_free(&a);
	up(F_CTRL);
	a = state_take(&host);
	a.data[a.len - FROM_PAIRS] = 2;
	expect_refused(&a, "without MQ");
	state_free(&a);
}

static void probe(void)
{
	static unsigned turn_count;

	if (turn_count++ % 64) {
		fake_write32(&host, MMIO_STATUS, 0);
		assert_int_equal(fake_read32(&host, MMIO_STATUS), 0);
		return;
	}
	up(F_CTRL);
	expect_received(0, 5);
}

static void any_bytes_are_survived(void **state)
{
	/* A guest has 64 a second; nobody waits for that here. */
	static const struct limiter_config none = {.ops = {.is_given = true}};
	struct saved a;

	(void)state;
	config.queue_pairs = 2;
	open_up(F_CTRL | F_MQ | F_GUEST_CSUM | F_MRG_RXBUF);
	limiter_set(&((struct net *)host.device)->ctrl_limiter, &none);
	assert_int_equal(command(1, 1, "\2\7\7\7\7\7", 6), ACK_OK);
	assert_int_equal(set_pairs(2), ACK_OK);
	a = state_take(&host);
	state_mutate(&host, &a, probe);
	state_free(&a);
}

static int quiet(void **state)
{
	(void)state;
	return log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, bench_setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(buffers_and_frames_are_found_after),
		TEST(a_pause_loses_no_frame),
		TEST(frames_of_what_was_discarded_are_thrown_away),
		TEST(a_blocked_tap_is_left_behind),
		TEST(offloads_are_on_again),
		TEST(what_was_not_settled_is_settled_after),
		TEST(a_tap_that_can_less_is_taken),
		TEST(pairs_are_on_again),
		TEST(other_taps_are_refused_or_made_do_with),
		TEST(a_tap_may_come_after_the_load),
		TEST(as_many_queues_as_the_tap_before),
		TEST(an_address_is_the_drivers_or_the_configs),
		TEST(taps_and_addresses_are_judged),
		TEST(any_bytes_are_survived),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
