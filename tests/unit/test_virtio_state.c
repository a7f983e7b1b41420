/* A virtio device that is saved and loaded: registers, queues, interrupts. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/fake_kvm.h"
#include "tests/unit/state_bench.h"
#include "tests/unit/toy.h"
#include "vmm/base/log.h"

/* Where things lie in what is saved (virtio_state.c, ring.c). */
enum {
	AT_STATUS = 0,
	AT_ISR = 1,
	AT_ACCEPTED = 6,
	AT_COUNT = 26,
	AT_SIZE = 30,
	AT_DESC = 34,
	AT_READY = 58,
	AT_USED_INDEX = 59,
	AT_TOLD = 61,
};

static void set16(struct saved *s, size_t at, uint16_t value)
{
	memcpy(s->data + at, &value, sizeof(value));
}

/* Loading s with what was done to it fails, and says this. */
static void expect_refused(const struct saved *s, const char *why)
{
	struct err e;

	state_hold(&toy_host);
	assert_int_equal(state_load(&toy_host, s, &e), -EINVAL);
	if (!strstr(e.text, why))
		fail_msg("\"%s\" does not say \"%s\"", e.text, why);
	state_go_on(&toy_host);
	/* As after power-on: the next driver finds it at work. */
	assert_int_equal(toy_status(), 0);
	assert_int_equal(fake_kvm.ioeventfds, 0);
}

/* One request goes all the way. */
static void expect_service(void)
{
	const unsigned served = toy->served;
	uint32_t id, len;

	toy_offer();
	toy_notify(0);
	assert_int_equal(toy->served, served + 1);
	assert_true(fake_ring_take(&toy_ring, &id, &len));
	assert_int_equal(id, 0);
}

/* ---- what is saved is what is loaded --------------------------------------
 */

static void a_device_at_rest_is_saved(void **state)
{
	struct saved a, b;

	(void)state;
	a = state_take(&toy_host);
	toy_renew();
	state_put(&toy_host, &a);
	b = state_take(&toy_host);
	state_expect_same(&a, &b);
	assert_int_equal(fake_kvm.ioeventfds, 0);
	state_free(&a);
	state_free(&b);
}

static void a_driver_on_its_way_goes_on(void **state)
{
	struct saved a, b;

	(void)state;
	fake_driver_negotiate(&toy_host, TOY_FEATURES);
	fake_ring_init(&toy_ring, &toy_host.mem, 0x1000, TOY_SIZE);
	fake_driver_queue(&toy_host, 0, &toy_ring);
	fake_write32(&toy_host, MMIO_QUEUE_SEL, 1);
	fake_write32(&toy_host, MMIO_QUEUE_SIZE, 12345);
	fake_write32(&toy_host, MMIO_DEVICE_FEATURES_SEL, 1);
	a = state_take(&toy_host);
	toy_renew();
	state_put(&toy_host, &a);
	b = state_take(&toy_host);
	state_expect_same(&a, &b);
	assert_int_equal(toy_status(), ST_FEATURES_OK);
	assert_int_equal(fake_read32(&toy_host, MMIO_DEVICE_FEATURES), 1);
	assert_int_equal(fake_read32(&toy_host, MMIO_QUEUE_READY), 0);
	assert_int_equal(toy->virtio.queues[1].size, 12345);
	fake_write32(&toy_host, MMIO_QUEUE_SEL, 0);
	assert_int_equal(fake_read32(&toy_host, MMIO_QUEUE_READY), 1);
	assert_int_equal(toy->activations, 0);
	toy_set_status(ST_DRIVER_OK);
	assert_int_equal(toy->activations, 1);
	expect_service();
	state_free(&a);
	state_free(&b);
}

static void a_request_made_before_is_served_after(void **state)
{
	struct saved a, b;

	(void)state;
	toy_up();
	expect_service();
	expect_service();
	/* Made, and nobody was told. */
	toy_offer();
	state_hold(&toy_host);
	a = state_save(&toy_host);
	toy_renew();
	assert_int_equal(fake_kvm.ioeventfds, 0);
	state_hold(&toy_host);
	assert_int_equal(state_load(&toy_host, &a, &(struct err){0}), 0);
	b = state_save(&toy_host);
	state_expect_same(&a, &b);
	assert_int_equal(toy->activations, 1);
	/* Kicks reach KVM before a vCPU may make one. */
	assert_int_equal(fake_kvm.ioeventfds, 0);
	fake_settle(&toy_host);
	assert_int_equal(fake_kvm.ioeventfds, 1);
	/* The loop may have turns before all devices are let go. */
	assert_true(fake_host_turn(&toy_host, 8) < 8);
	assert_int_equal(toy->served, 0);
	state_go_on(&toy_host);
	assert_int_equal(toy->served, 1);
	assert_true(fake_ring_take(&toy_ring, &(uint32_t){0}, &(uint32_t){0}));
	expect_service();
	state_free(&a);
	state_free(&b);
}

/* A reset in place: guest and device go back to where they were. */
static void a_device_that_worked_goes_back(void **state)
{
	uint8_t memory[0x1000], *at = guest_mem_at(&toy_host.mem, 0x1000, 4096);
	struct fake_ring before;
	struct saved a, b;
	unsigned i;

	(void)state;
	toy_up();
	expect_service();
	a = state_take(&toy_host);
	memcpy(memory, at, sizeof(memory));
	before = toy_ring;
	for (i = 0; i < 11; i++)
		expect_service();
	fake_write32(&toy_host, MMIO_QUEUE_SEL, 7);
	state_hold(&toy_host);
	memcpy(at, memory, sizeof(memory));
	toy_ring = before;
	assert_int_equal(state_load(&toy_host, &a, &(struct err){0}), 0);
	state_go_on(&toy_host);
	assert_int_equal(toy->virtio.queue_sel, 0);
	b = state_take(&toy_host);
	state_expect_same(&a, &b);
	/* It was connected before, and is after, at no cost. */
	assert_int_equal(fake_kvm.ioeventfds, 1);
	assert_int_equal(fake_kvm.connections, 1);
	expect_service();
	state_free(&a);
	state_free(&b);
}

static void kicks_follow_the_driver_that_is_loaded(void **state)
{
	struct saved down, up;

	(void)state;
	down = state_take(&toy_host);
	toy_up();
	up = state_take(&toy_host);
	assert_int_equal(fake_kvm.ioeventfds, 1);
	state_put(&toy_host, &down);
	assert_int_equal(toy_status(), 0);
	assert_int_equal(fake_kvm.ioeventfds, 0);
	state_put(&toy_host, &up);
	assert_int_equal(toy_status(), ST_DRIVER_OK);
	assert_int_equal(fake_kvm.ioeventfds, 1);
	assert_int_equal(fake_kvm.connections, 2);
	expect_service();
	state_free(&down);
	state_free(&up);
}

static void a_broken_device_stays_broken(void **state)
{
	struct saved a, b;

	(void)state;
	toy_up();
	fake_ring_offer(&toy_ring, TOY_SIZE); /* no such head */
	toy_notify(0);
	assert_int_equal(toy_status(), ST_DRIVER_OK | ST_NEEDS_RESET);
	fake_write32(&toy_host, MMIO_ACK, 3);
	a = state_take(&toy_host);
	toy_renew();
	state_put(&toy_host, &a);
	b = state_take(&toy_host);
	state_expect_same(&a, &b);
	assert_int_equal(toy_status(), ST_DRIVER_OK | ST_NEEDS_RESET);
	assert_int_equal(toy->activations, 0);
	toy_offer();
	toy_notify(0);
	assert_int_equal(toy->served, 0);
	toy_up();
	expect_service();
	state_free(&a);
	state_free(&b);
}

/* ---- nobody sleeps for ever -----------------------------------------------
 */

static void a_queue_with_event_idx_does_not_stall(void **state)
{
	struct saved a;
	unsigned i;

	(void)state;
	fake_driver_up(&toy_host, &toy_ring, FAKE_F_EVENT_IDX, 0x1000,
		       TOY_SIZE);
	for (i = 0; i < 3; i++)
		expect_service();
	/*
	 * A driver that saw the device at work and so did not notify, and a
	 * device that is held before it asks to be notified again.
	 */
	toy_ring.avail[2 + TOY_SIZE] = toy_ring.used_idx; /* used_event */
	fake_write32(&toy_host, MMIO_ACK, 1);
	state_hold(&toy_host);
	*toy_ring.avail_event = (uint16_t)(toy_ring.avail_idx - 1);
	toy_offer();
	a = state_save(&toy_host);
	toy_renew();
	fake_kvm_take_edges();
	state_put(&toy_host, &a);
	assert_int_equal(toy->served, 1);
	assert_int_equal(*toy_ring.avail_event, toy_ring.avail_idx);
	assert_int_equal(fake_kvm_take_edges(), 1);
	assert_true(fake_ring_take(&toy_ring, &(uint32_t){0}, &(uint32_t){0}));
	/* As long as it is told of what it waits for. */
	toy_ring.avail[2 + TOY_SIZE] = toy_ring.used_idx;
	expect_service();
	assert_int_equal(fake_kvm_take_edges(), 1);
	state_free(&a);
}

static void an_interrupt_that_waits_is_raised_again(void **state)
{
	struct saved a;

	(void)state;
	toy_up();
	expect_service();
	assert_int_equal(fake_read32(&toy_host, MMIO_ISR), 1);
	fake_kvm_take_edges();
	/* After a plain pause, */
	a = state_take(&toy_host);
	assert_int_equal(fake_kvm_take_edges(), 1);
	/* in another machine, */
	toy_renew();
	state_put(&toy_host, &a);
	assert_int_equal(fake_read32(&toy_host, MMIO_ISR), 1);
	assert_int_equal(fake_kvm_take_edges(), 1);
	/* and not once it was acknowledged. */
	fake_write32(&toy_host, MMIO_ACK, 1);
	state_free(&a);
	a = state_take(&toy_host);
	state_put(&toy_host, &a);
	assert_int_equal(fake_kvm_take_edges(), 0);
	state_free(&a);
}

/* Put and published, and the driver was not told yet. */
static void what_was_not_told_is_told(void **state)
{
	struct saved a;

	(void)state;
	toy_up();
	expect_service();
	fake_write32(&toy_host, MMIO_ACK, 1);
	a = state_take(&toy_host);
	set16(&a, AT_TOLD, 0);
	fake_kvm_take_edges();
	state_hold(&toy_host);
	assert_int_equal(state_load(&toy_host, &a, &(struct err){0}), 0);
	/* Before any device has its turn. */
	toy_host.device->ops->release(toy_host.device);
	assert_true(fake_kvm_take_edges() > 0);
	assert_int_equal(fake_read32(&toy_host, MMIO_ISR), 1);
	state_free(&a);
}

/* ---- what no driver can have done -----------------------------------------
 */

static void requests_in_flight_are_not_saved(void **state)
{
	struct err e;

	(void)state;
	toy_up();
	toy->is_keeping = true;
	toy_offer();
	toy_notify(0);
	state_hold(&toy_host);
	assert_int_equal(state_save_fails(&toy_host, &e), -EBUSY);
	assert_non_null(strstr(e.text, "1 requests in flight"));
	/* Nor where a device that is asked to end them has not. */
	toy->is_slow = true;
	fake_write_only(&toy_host, MMIO_STATUS, &(uint32_t){0}, 4);
	assert_int_equal(state_save_fails(&toy_host, &e), -EBUSY);
	toy->is_slow = false;
}

static void statuses_are_judged(void **state)
{
	static const uint8_t bad[] = {2,  4,  8,  5,  9,    7,	      0x10,
				      32, 13, 10, 14, 0x8c, 15 | 0x10};
	struct saved a;
	unsigned i;

	(void)state;
	toy_up();
	a = state_take(&toy_host);
	for (i = 0; i < sizeof(bad); i++) {
		a.data[AT_STATUS] = bad[i];
		expect_refused(&a, "status");
	}
	a.data[AT_STATUS] = ST_DRIVER_OK;
	a.data[AT_ISR] = 4;
	expect_refused(&a, "interrupt status");
	a.data[AT_ISR] = 0;
	a.data[AT_COUNT] = 3;
	expect_refused(&a, "3 queues");
	a.data[AT_COUNT] = TOY_QUEUES;
	state_put(&toy_host, &a);
	assert_int_equal(toy_status(), ST_DRIVER_OK);
	state_free(&a);
	/* So that each status that can be made can be loaded. */
	for (i = 1; i < 256; i++) {
		toy_set_status(0);
		toy_set_status(i);
		assert_int_equal(toy_status() & 0x30, 0);
		a = state_take(&toy_host);
		state_put(&toy_host, &a);
		state_free(&a);
	}
}

static void features_are_judged(void **state)
{
	struct saved a;

	(void)state;
	toy_up();
	a = state_take(&toy_host);
	a.data[AT_ACCEPTED] = 2; /* feature 1 */
	expect_refused(&a, "can't be had here");
	/* One that is not offered may be served all the same. */
	toy->virtio.bearable = 2;
	state_put(&toy_host, &a);
	assert_int_equal(toy->virtio.accepted, FAKE_F_VERSION_1 | 2);
	expect_service();
	a.data[AT_ACCEPTED] = 0;
	a.data[AT_ACCEPTED + 4] = 0;
	expect_refused(&a, "VERSION_1");
	/* Before FEATURES_OK they are what the driver likes. */
	toy->virtio.bearable = 0;
	state_free(&a);
	toy_set_status(ST_ACKNOWLEDGE);
	toy_set_status(ST_DRIVER);
	fake_write32(&toy_host, MMIO_DRIVER_FEATURES, 0xffffffff);
	a = state_take(&toy_host);
	state_put(&toy_host, &a);
	assert_int_equal(toy->virtio.accepted, 0xffffffff);
	state_free(&a);
}

static void queues_are_judged(void **state)
{
	struct saved a;

	(void)state;
	toy_up();
	expect_service();
	a = state_take(&toy_host);
	a.data[AT_SIZE] = 7;
	expect_refused(&a, "7 entries");
	a.data[AT_SIZE] = 2 * TOY_QUEUE_MAX;
	expect_refused(&a, "32 entries");
	a.data[AT_SIZE] = 0;
	expect_refused(&a, "0 entries");
	a.data[AT_SIZE] = TOY_SIZE;
	a.data[AT_DESC] ^= 1;
	expect_refused(&a, "not aligned");
	a.data[AT_DESC] ^= 1;
	a.data[AT_DESC + 5] = 0xff;
	expect_refused(&a, "not in memory");
	a.data[AT_DESC + 5] = 0;
	a.data[AT_READY] = 2;
	expect_refused(&a, "yes or no");
	a.data[AT_READY] = 1;
	set16(&a, AT_TOLD, 0xfff0);
	expect_refused(&a, "told of");
	set16(&a, AT_TOLD, 1);
	state_put(&toy_host, &a);
	expect_service();
	/* Ready, and nothing was agreed on. */
	a.data[AT_STATUS] = ST_DRIVER;
	a.data[AT_ISR] = 0;
	a.len -= 4; /* no indices */
	memmove(a.data + AT_USED_INDEX, a.data + AT_USED_INDEX + 4,
		a.len - AT_USED_INDEX);
	expect_refused(&a, "no features were agreed on");
	state_free(&a);
}

/* The driver's own: its queue faults, and its machine is loaded. */
static void absurd_indices_in_guest_memory_fault_the_queue(void **state)
{
	struct saved a;

	(void)state;
	toy_up();
	state_hold(&toy_host);
	a = state_save(&toy_host);
	toy_ring.avail[1] = 1000;
	toy_ring.used_head[1] = 4711;
	toy_renew();
	state_put(&toy_host, &a);
	assert_int_equal(toy_status(), ST_DRIVER_OK | ST_NEEDS_RESET);
	state_free(&a);
}

static void probe(void)
{
	static unsigned turn;

	if (turn++ % 16) {
		toy_set_status(0);
		assert_int_equal(toy_status(), 0);
		return;
	}
	toy_up();
	expect_service();
}

static void any_bytes_are_survived(void **state)
{
	struct saved a;

	(void)state;
	fake_driver_up(&toy_host, &toy_ring, TOY_FEATURES, 0x1000, TOY_SIZE);
	expect_service();
	a = state_take(&toy_host);
	state_mutate(&toy_host, &a, probe);
	state_free(&a);
}

static int quiet(void **state)
{
	(void)state;
	return log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, toy_setup, toy_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_device_at_rest_is_saved),
		TEST(a_driver_on_its_way_goes_on),
		TEST(a_request_made_before_is_served_after),
		TEST(a_device_that_worked_goes_back),
		TEST(kicks_follow_the_driver_that_is_loaded),
		TEST(a_broken_device_stays_broken),
		TEST(a_queue_with_event_idx_does_not_stall),
		TEST(an_interrupt_that_waits_is_raised_again),
		TEST(what_was_not_told_is_told),
		TEST(requests_in_flight_are_not_saved),
		TEST(statuses_are_judged),
		TEST(features_are_judged),
		TEST(queues_are_judged),
		TEST(absurd_indices_in_guest_memory_fault_the_queue),
		TEST(any_bytes_are_survived),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
