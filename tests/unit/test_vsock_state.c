/*
 * virtio-vsock that is saved and loaded: connections go on or are ended, and
 * the driver hears of it before it hears of anything else.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/vsock_device.h"
#include "tests/unit/fake_kvm.h"
#include "tests/unit/state_bench.h"
#include "tests/unit/vsock_bench.h"
#include "vmm/base/log.h"

#define EVENTS_GPA 0xa0000ULL
enum { EVENTS = 8 };

static uint32_t *event_at(unsigned i)
{
	return guest_mem_at(&host.mem, EVENTS_GPA + i * 4ULL, 4);
}

static void offer_event(unsigned i)
{
	*event_at(i) = 99;
	fake_ring_desc(&rings[2], (uint16_t)i, EVENTS_GPA + i * 4ULL, 4,
		       FAKE_WRITE, 0);
	fake_ring_offer(&rings[2], (uint16_t)i);
}

/* As Linux: they lie ready from the beginning. */
static void give_events(unsigned count)
{
	unsigned i;

	for (i = 0; i < count; i++)
		offer_event(i);
	fake_write32(&host, MMIO_NOTIFY, 2);
	settle();
}

/* The driver takes an event, and then its buffer is offered again. */
static bool hears_reset(uint32_t *id)
{
	uint32_t len;

	if (!fake_ring_take(&rings[2], id, &len))
		return false;
	assert_int_equal(len, 4);
	assert_int_equal(*event_at(*id), 0);
	return true;
}

static void acknowledge(uint32_t id)
{
	offer_event(id);
	fake_write32(&host, MMIO_NOTIFY, 2);
	settle();
}

/* Another device, that has seen nothing; same guest. */
static void renew(void)
{
	struct err e;

	fake_host_remove(&host);
	fake_kvm.ioeventfds = 0;
	assert_int_equal(open_vsock(&e), 0);
}

/* ---- what goes on ---------------------------------------------------------
 */

static void a_pause_leaves_connections_as_they_are(void **state)
{
	int theirs = from_host(HOST_BASE, 1);
	int ours = from_guest(80, 2, 1 << 16);
	struct saved a;

	(void)state;
	give_events(EVENTS);
	state_hold(&host);
	host_says(theirs, "while it was held");
	a = state_save(&host);
	settle();
	guest_expects_nothing();
	state_go_on(&host);
	guest_expects_text(HOST_BASE, 1, "while it was held");
	guest_writes(80, 2, "and out");
	host_hears(ours, "and out");
	assert_int_equal(connections(), 2);
	assert_false(hears_reset(&(uint32_t){0}));
	close(from_host(HOST_BASE + 1, 7));
	close(theirs);
	close(ours);
	state_free(&a);
}

/* A buffer that the guest filled and a process did not read yet, and so on. */
static void to_save_twice_is_to_save_once(void **state)
{
	struct saved a, b;
	int fd;

	(void)state;
	give_events(EVENTS);
	fd = from_host(HOST_BASE, 1);
	a = state_take(&host);
	b = state_take(&host);
	state_expect_same(&a, &b);
	state_free(&b);
	renew();
	state_hold(&host);
	assert_int_equal(state_load(&host, &a, &(struct err){0}), 0);
	b = state_save(&host);
	state_expect_same(&a, &b);
	state_go_on(&host);
	state_free(&a);
	state_free(&b);
	close(fd);
}

/* ---- what ends ------------------------------------------------------------
 */

static void a_loaded_guest_hears_that_connections_are_gone(void **state)
{
	struct saved a;
	uint32_t id;
	int fd;

	(void)state;
	give_events(EVENTS);
	fd = from_host(HOST_BASE, 1);
	a = state_take(&host);
	fake_kvm_take_edges();
	renew();
	host_hears_end(fd);
	close(fd);
	state_put(&host, &a);
	assert_int_equal(connections(), 0);
	assert_true(fake_kvm_take_edges() > 0);
	assert_true(hears_reset(&id));
	/* It would take a new one for one of the old: not before it says so. */
	fd = host_connects();
	host_says(fd, "CONNECT 5\n");
	settle();
	guest_expects_nothing();
	/* What it still says to the old one is answered, later. */
	guest_says(VSOCK_OP_RW, HOST_BASE, 1);
	guest_expects_nothing();
	acknowledge(id);
	guest_expects(VSOCK_OP_RST, HOST_BASE, 1);
	/* Ports go on where they were, so that nobody's is another's. */
	guest_expects(VSOCK_OP_REQUEST, HOST_BASE + 1, 5);
	guest_says(VSOCK_OP_RESPONSE, HOST_BASE + 1, 5);
	host_hears(fd, "OK 1073741825\n");
	/* Once. */
	assert_false(hears_reset(&id));
	close(fd);
	state_free(&a);
}

static void connections_of_what_was_discarded_are_closed(void **state)
{
	struct saved a;
	uint32_t id;
	int fd, other;

	(void)state;
	give_events(EVENTS);
	a = state_take(&host);
	fd = from_host(HOST_BASE, 1);
	other = host_connects(); /* has said nothing yet */
	settle();
	state_put(&host, &a);
	host_hears_end(fd);
	host_hears_end(other);
	assert_int_equal(connections(), 0);
	assert_true(hears_reset(&id));
	acknowledge(id);
	close(fd);
	close(other);
	fd = from_host(HOST_BASE, 1);
	close(fd);
	state_free(&a);
}

/* With EVENT_IDX it notifies only of the buffer that we ask for. */
static void the_kick_that_acknowledges_is_asked_for(void **state)
{
	struct saved a;
	uint32_t id;
	unsigned i;

	(void)state;
	assert_int_equal(fake_driver_negotiate(&host, FAKE_F_VERSION_1 |
							      FAKE_F_EVENT_IDX),
			 ST_FEATURES_OK);
	for (i = 0; i < 3; i++) {
		fake_ring_init(&rings[i], &host.mem, rings[i].desc_gpa, RING);
		fake_driver_queue(&host, i, &rings[i]);
	}
	fake_write32(&host, MMIO_STATUS, ST_DRIVER_OK);
	settle();
	give_buffers(8);
	give_events(EVENTS);
	a = state_take(&host);
	renew();
	state_put(&host, &a);
	/* That after those that lie ready. */
	assert_int_equal(*rings[2].avail_event, EVENTS);
	assert_true(hears_reset(&id));
	state_free(&a);
}

/* Loaded again before it has taken the first one in: it hears two. */
static void each_load_is_acknowledged(void **state)
{
	struct saved a;
	uint32_t first, second;
	unsigned i;
	int fd;

	(void)state;
	give_events(EVENTS);
	a = state_take(&host);
	renew();
	state_put(&host, &a);
	state_free(&a);
	a = state_take(&host);
	for (i = 0; i < 2; i++) {
		if (!i)
			renew();
		state_put(&host, &a);
		state_free(&a);
		a = state_take(&host);
	}
	state_free(&a);
	assert_true(hears_reset(&first));
	assert_true(hears_reset(&second));
	fd = host_connects();
	host_says(fd, "CONNECT 5\n");
	acknowledge(first);
	guest_expects_nothing();
	acknowledge(second);
	guest_expects_nothing();
	assert_true(hears_reset(&first));
	acknowledge(first);
	guest_expects(VSOCK_OP_REQUEST, HOST_BASE, 5);
	close(fd);
}

static void the_drivers_buffer_may_come_late(void **state)
{
	struct saved a;
	uint32_t id;
	int fd;

	(void)state;
	a = state_take(&host);
	renew();
	state_put(&host, &a);
	assert_false(hears_reset(&id));
	fd = host_connects();
	host_says(fd, "CONNECT 5\n");
	settle();
	guest_expects_nothing();
	give_events(1);
	assert_true(hears_reset(&id));
	guest_expects_nothing();
	acknowledge(id);
	guest_expects(VSOCK_OP_REQUEST, HOST_BASE, 5);
	close(fd);
	state_free(&a);
}

static void a_driver_without_an_event_queue_is_not_waited_for(void **state)
{
	struct saved a;
	int fd;

	(void)state;
	assert_int_equal(fake_driver_negotiate(&host, FAKE_F_VERSION_1),
			 ST_FEATURES_OK);
	fake_ring_init(&rings[0], &host.mem, rings[0].desc_gpa, RING);
	fake_ring_init(&rings[1], &host.mem, rings[1].desc_gpa, RING);
	fake_driver_queue(&host, 0, &rings[0]);
	fake_driver_queue(&host, 1, &rings[1]);
	fake_write32(&host, MMIO_STATUS, ST_DRIVER_OK);
	give_buffers(8);
	a = state_take(&host);
	renew();
	state_put(&host, &a);
	fd = from_host(HOST_BASE, 3);
	close(fd);
	state_free(&a);
}

static void without_a_driver_nothing_is_owed(void **state)
{
	struct saved a;
	int fd;

	(void)state;
	give_events(EVENTS);
	fake_write32(&host, MMIO_STATUS, 0);
	a = state_take(&host);
	renew();
	state_put(&host, &a);
	driver_up();
	give_buffers(8);
	give_events(EVENTS);
	assert_false(hears_reset(&(uint32_t){0}));
	fd = from_host(HOST_BASE, 3);
	close(fd);
	state_free(&a);
}

/* It has heard of it by its own reset, and counts from the beginning. */
static void a_driver_that_is_reset_is_not_waited_for(void **state)
{
	struct saved a;
	int fd;

	(void)state;
	give_events(EVENTS);
	a = state_take(&host);
	renew();
	state_put(&host, &a);
	assert_true(hears_reset(&(uint32_t){0}));
	driver_up();
	give_buffers(8);
	give_events(1);
	assert_false(hears_reset(&(uint32_t){0}));
	fd = from_host(HOST_BASE, 3);
	close(fd);
	state_free(&a);
}

/* RSTs that wait are for connections that are gone anyway. */
static void a_sender_that_was_stalled_goes_on(void **state)
{
	struct saved a;
	uint32_t id, len;
	unsigned i;
	int fd;

	(void)state;
	give_events(EVENTS);
	refills = false;
	/* More than there are buffers and places for refusals. */
	for (i = 0; i < 32 + VSOCK_REFUSALS_MAX + 20; i++)
		guest_says(VSOCK_OP_RW, 80, 1000 + i);
	assert_int_not_equal(rings[1].used_head[1], rings[1].avail_idx);
	a = state_take(&host);
	renew();
	state_put(&host, &a);
	assert_int_equal(rings[1].used_head[1], rings[1].avail_idx);
	while (fake_ring_take(&rings[1], &id, &len))
		;
	assert_true(hears_reset(&id));
	acknowledge(id);
	while (fake_ring_take(&rings[0], &id, &len))
		;
	refills = true;
	give_buffers(32);
	while (guest_gets(&(struct vsock_packet){0}, NULL))
		;
	fd = from_guest(80, 2, 1 << 16);
	close(fd);
	state_free(&a);
}

/* ---- hostile ones ---------------------------------------------------------
 */

static void a_port_that_is_none_is_refused(void **state)
{
	struct saved a;
	struct err e;

	(void)state;
	a = state_take(&host);
	/* From the end: the port, whether an event is out, what says it is
	 * heard. */
	a.data[a.len - 4] = 0x80;
	state_hold(&host);
	assert_int_equal(state_load(&host, &a, &e), -EINVAL);
	assert_non_null(strstr(e.text, "port"));
	state_go_on(&host);
	assert_int_equal(fake_read32(&host, MMIO_STATUS), 0);
	state_free(&a);
}

static void probe(void)
{
	static unsigned turn;
	struct vsock_packet p;
	int fd;

	if (turn++ % 64) {
		fake_write32(&host, MMIO_STATUS, 0);
		assert_int_equal(fake_read32(&host, MMIO_STATUS), 0);
		return;
	}
	driver_up();
	give_buffers(8);
	fd = host_connects();
	host_says(fd, "CONNECT 5\n");
	settle();
	/* From whatever port it came to be at. */
	assert_true(guest_gets(&p, NULL));
	assert_int_equal(p.op, VSOCK_OP_REQUEST);
	guest_says(VSOCK_OP_RESPONSE, p.src_port, 5);
	close(fd);
	settle();
}

static void any_bytes_are_survived(void **state)
{
	struct saved a;
	int fd;

	(void)state;
	give_events(EVENTS);
	fd = from_host(HOST_BASE, 1);
	a = state_take(&host);
	state_mutate(&host, &a, probe);
	state_free(&a);
	close(fd);
}

static int quiet(void **state)
{
	(void)state;
	return log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
}

int main(void)
{
#define UP(test) \
	cmocka_unit_test_setup_teardown(test, bench_setup_up, bench_teardown)
	const struct CMUnitTest tests[] = {
		UP(a_pause_leaves_connections_as_they_are),
		UP(to_save_twice_is_to_save_once),
		UP(a_loaded_guest_hears_that_connections_are_gone),
		UP(connections_of_what_was_discarded_are_closed),
		UP(the_kick_that_acknowledges_is_asked_for),
		UP(each_load_is_acknowledged),
		UP(the_drivers_buffer_may_come_late),
		UP(a_driver_without_an_event_queue_is_not_waited_for),
		UP(without_a_driver_nothing_is_owed),
		UP(a_driver_that_is_reset_is_not_waited_for),
		UP(a_sender_that_was_stalled_goes_on),
		UP(a_port_that_is_none_is_refused),
		UP(any_bytes_are_survived),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
