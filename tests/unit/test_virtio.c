/* Status, features and the life of queues, over the MMIO transport. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/virtio/mmio.h"
#include "devices/virtio/virtio.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/fake_kvm.h"
#include "tests/unit/toy.h"
#include "vmm/base/log.h"

/* ---- features ----------------------------------------------------------- */

static void features_are_accepted_at_their_time_only(void **state)
{
	(void)state;
	fake_write32(&toy_host, MMIO_DRIVER_FEATURES, TOY_FEATURE);
	assert_true(toy->virtio.accepted == 0);
	toy_set_status(ST_ACKNOWLEDGE);
	fake_write32(&toy_host, MMIO_DRIVER_FEATURES, TOY_FEATURE);
	assert_true(toy->virtio.accepted == 0);
	toy_set_status(ST_DRIVER);
	fake_write32(&toy_host, MMIO_DRIVER_FEATURES, 0xffffffff);
	fake_write32(&toy_host, MMIO_DRIVER_FEATURES, TOY_FEATURE);
	assert_true(toy->virtio.accepted == TOY_FEATURE);
	fake_write32(&toy_host, MMIO_DRIVER_FEATURES_SEL, 2);
	fake_write32(&toy_host, MMIO_DRIVER_FEATURES, 0xffffffff);
	fake_write32(&toy_host, MMIO_DRIVER_FEATURES_SEL, 0xffffffff);
	fake_write32(&toy_host, MMIO_DRIVER_FEATURES, 0xffffffff);
	assert_true(toy->virtio.accepted == TOY_FEATURE);
	fake_write32(&toy_host, MMIO_DRIVER_FEATURES_SEL, 1);
	fake_write32(&toy_host, MMIO_DRIVER_FEATURES, 1);
	toy_set_status(ST_FEATURES_OK);
	assert_int_equal(toy_status(), ST_FEATURES_OK);
	fake_write32(&toy_host, MMIO_DRIVER_FEATURES, 0);
	assert_true(toy->virtio.accepted == (TOY_FEATURE | FAKE_F_VERSION_1));
}

static void unwanted_features_are_refused(void **state)
{
	static const uint64_t bad[] = {
		0,
		TOY_FEATURE,
		FAKE_F_VERSION_1 | 1,
		FAKE_F_VERSION_1 | 1ULL << 33,
		FAKE_F_VERSION_1 | 1ULL << 34,
		~0ULL,
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(fake_driver_negotiate(&toy_host, bad[i]),
				 ST_DRIVER);
	/* DRIVER_OK without an agreement is no way round. */
	toy_set_status(ST_DRIVER_OK);
	assert_int_equal(toy_status(), ST_DRIVER | ST_NEEDS_RESET);
	assert_int_equal(toy->activations, 0);
	assert_int_equal(fake_driver_negotiate(&toy_host, TOY_FEATURES),
			 ST_FEATURES_OK);
}

static void a_refused_driver_may_ask_for_less(void **state)
{
	(void)state;
	assert_int_equal(fake_driver_negotiate(&toy_host, TOY_FEATURES | 1),
			 ST_DRIVER);
	fake_write32(&toy_host, MMIO_DRIVER_FEATURES_SEL, 0);
	fake_write32(&toy_host, MMIO_DRIVER_FEATURES, 0);
	toy_set_status(ST_FEATURES_OK);
	assert_int_equal(toy_status(), ST_FEATURES_OK);
}

/* ---- status ------------------------------------------------------------- */

static void steps_may_not_be_left_out(void **state)
{
	static const uint32_t bad[][2] = {
		{0, 2},
		{0, 4},
		{0, 8},
		{0, 10},
		{0, 12},
		{0, 14},
		{ST_ACKNOWLEDGE, ST_ACKNOWLEDGE | 8},
		{ST_ACKNOWLEDGE, ST_ACKNOWLEDGE | 4},
		{ST_DRIVER, ST_DRIVER | 4},
		{ST_DRIVER, ST_DRIVER_OK},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		toy_set_status(0);
		if (bad[i][0])
			toy_set_status(bad[i][0]);
		toy_set_status(bad[i][1]);
		assert_true(toy_status() & ST_NEEDS_RESET);
		assert_int_equal(toy_status() & ~(uint32_t)ST_NEEDS_RESET,
				 bad[i][0]);
	}
	/* Nobody is up, so nobody is interrupted. */
	assert_int_equal(fake_kvm.edges, 0);
	assert_int_equal(toy->activations, 0);
}

static void bits_may_not_be_cleared_but_all(void **state)
{
	(void)state;
	toy_up();
	fake_kvm_take_edges();
	toy_set_status(ST_FEATURES_OK);
	assert_int_equal(toy_status(), ST_DRIVER_OK | ST_NEEDS_RESET);
	assert_int_equal(fake_kvm_take_edges(), 1);
	assert_int_equal(fake_read32(&toy_host, MMIO_ISR), VIRTIO_ISR_CONFIG);
	/* Once: the second offence is no news. */
	toy_set_status(ST_ACKNOWLEDGE);
	assert_int_equal(fake_kvm_take_edges(), 0);
	toy_set_status(0);
	assert_int_equal(toy_status(), 0);
	assert_int_equal(fake_read32(&toy_host, MMIO_ISR), 0);
}

static void the_driver_can_not_say_needs_reset(void **state)
{
	(void)state;
	toy_set_status(ST_ACKNOWLEDGE | ST_NEEDS_RESET);
	assert_int_equal(toy_status(), ST_ACKNOWLEDGE);
}

static void a_driver_that_gave_up_gets_silence(void **state)
{
	(void)state;
	toy_up();
	fake_kvm_take_edges();
	toy_set_status(ST_DRIVER_OK | ST_FAILED);
	assert_int_equal(toy->quiets, 2); /* the reset's, and this one */
	toy_offer();
	toy_notify(0);
	assert_int_equal(toy->served, 0);
	assert_int_equal(fake_kvm_take_edges(), 0);
	toy_up();
	toy_offer();
	toy_notify(0);
	assert_int_equal(toy->served, 1);
}

static void failing_before_the_end_never_activates(void **state)
{
	(void)state;
	fake_driver_negotiate(&toy_host, TOY_FEATURES);
	toy_set_status(ST_DRIVER_OK | ST_FAILED);
	toy_set_status(ST_DRIVER_OK | ST_FAILED);
	assert_int_equal(toy->activations, 0);
	assert_int_equal(fake_kvm.ioeventfds, 0);
}

static void every_pair_of_statuses_is_survived(void **state)
{
	uint32_t a, b, now;

	(void)state;
	log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
	for (a = 0; a < 256; a++)
		for (b = 0; b < 256; b++) {
			toy_set_status(0);
			toy_set_status(a);
			toy_set_status(b);
			now = toy_status();
			/* Never up without an agreement on features. */
			assert_false(now & VIRTIO_FEATURES_OK);
			assert_false(now & VIRTIO_DRIVER_OK);
		}
	assert_int_equal(toy->activations, 0);
}

/* ---- at work ------------------------------------------------------------ */

static void notifying_before_driver_ok_does_nothing(void **state)
{
	(void)state;
	fake_write32(&toy_host, MMIO_NOTIFY, 0);
	assert_int_equal(fake_host_turn(&toy_host, 8), 0);
	fake_driver_negotiate(&toy_host, TOY_FEATURES);
	fake_ring_init(&toy_ring, &toy_host.mem, 0x1000, TOY_SIZE);
	toy_notify(0);
	fake_driver_queue(&toy_host, 0, &toy_ring);
	toy_offer();
	toy_notify(0);
	assert_int_equal(toy->kicks, 0);
	assert_int_equal(fake_kvm.ioeventfds, 0);
	/* What was offered before is found when the driver comes up. */
	toy_set_status(ST_DRIVER_OK);
	assert_true(fake_host_turn(&toy_host, 8) < 8);
	assert_int_equal(toy->served, 1);
}

static void a_request_is_served_and_interrupts(void **state)
{
	uint32_t id, len;

	(void)state;
	toy_up();
	assert_int_equal(fake_kvm_take_edges(), 0);
	toy_offer();
	toy_notify(0);
	assert_int_equal(fake_kvm_take_edges(), 1);
	assert_int_equal(fake_read32(&toy_host, MMIO_ISR), VIRTIO_ISR_USED);
	fake_write32(&toy_host, MMIO_ACK, ~(uint32_t)VIRTIO_ISR_USED);
	assert_int_equal(fake_read32(&toy_host, MMIO_ISR), VIRTIO_ISR_USED);
	fake_write32(&toy_host, MMIO_ACK, 0xffffffff);
	assert_int_equal(fake_read32(&toy_host, MMIO_ISR), 0);
	assert_true(fake_ring_take(&toy_ring, &id, &len));
	assert_int_equal(id, 0);
	assert_false(fake_ring_take(&toy_ring, &id, &len));
	/* Queues that don't exist, or were never made ready. */
	toy_notify(1);
	toy_notify(2);
	toy_notify(0xffffffff);
	assert_int_equal(toy->served, 1);
}

static void kvm_takes_over_notifications_while_the_driver_is_up(void **state)
{
	(void)state;
	assert_int_equal(fake_kvm.ioeventfds, 0);
	toy_up();
	assert_int_equal(fake_kvm.ioeventfds, 1);
	assert_true(fake_kvm.gpa == FAKE_SLOT + MMIO_NOTIFY);
	assert_int_equal(fake_kvm.len, 4);
	assert_int_equal(fake_kvm.fd, toy->virtio.kick_fd);
	toy_set_status(ST_DRIVER_OK); /* again: no second one */
	assert_int_equal(fake_kvm.connections, 1);
	toy_set_status(0);
	assert_int_equal(fake_kvm.ioeventfds, 0);
	toy_set_status(0);
	assert_int_equal(fake_kvm.strays, 0);
}

static void without_ioeventfd_the_register_does(void **state)
{
	(void)state;
	fake_kvm.fail_ioeventfd = true;
	toy_up();
	toy_offer();
	toy_notify(0);
	assert_int_equal(toy->served, 1);
	toy_set_status(0);
	assert_int_equal(fake_kvm.strays, 0);
}

static void a_broken_chain_stops_the_device_until_reset(void **state)
{
	(void)state;
	toy_up();
	fake_ring_offer(&toy_ring, TOY_SIZE);
	toy_notify(0);
	assert_int_equal(toy_status(), ST_DRIVER_OK | ST_NEEDS_RESET);
	assert_int_equal(fake_read32(&toy_host, MMIO_ISR), VIRTIO_ISR_CONFIG);
	assert_int_equal(fake_kvm_take_edges(), 1);
	toy_offer();
	toy_notify(0);
	assert_int_equal(toy->served, 0);
	assert_int_equal(fake_kvm_take_edges(), 0);
	toy_up();
	toy_offer();
	toy_notify(0);
	assert_int_equal(toy->served, 1);
	assert_int_equal(toy->virtio.queues[0].faults, 1);
}

static void a_reset_ends_what_is_in_flight(void **state)
{
	struct vq *vq = &toy->virtio.queues[0];
	uint8_t before[256], *memory;

	(void)state;
	toy->is_keeping = true;
	toy_up();
	toy_offer();
	toy_notify(0);
	assert_true(toy->has_kept);
	toy_set_status(0);
	assert_false(toy->has_kept);
	assert_int_equal(toy->resets, 2);
	assert_int_equal(vq->in_flight, 0);
	/* A completion that comes late touches no memory of the guest's. */
	memory = guest_mem_at(&toy_host.mem, 0x1000, sizeof(before));
	memcpy(before, memory, sizeof(before));
	vq_push(vq, 0, 1);
	mutex_lock(&toy->virtio.device.lock);
	virtio_notify(&toy->virtio, vq);
	mutex_unlock(&toy->virtio.device.lock);
	assert_memory_equal(memory, before, sizeof(before));
	assert_int_equal(fake_kvm_take_edges(), 0);
}

static void a_queue_can_be_taken_away_while_others_work(void **state)
{
	struct fake_ring other;
	unsigned quiets;

	(void)state;
	fake_driver_negotiate(&toy_host, TOY_FEATURES);
	fake_ring_init(&toy_ring, &toy_host.mem, 0x1000, TOY_SIZE);
	fake_driver_queue(&toy_host, 0, &toy_ring);
	fake_ring_init(&other, &toy_host.mem, FAKE_HIGH, TOY_SIZE);
	fake_driver_queue(&toy_host, 1, &other);
	toy_set_status(ST_DRIVER_OK);
	fake_host_turn(&toy_host, 8);
	quiets = toy->quiets;
	fake_write32(&toy_host, MMIO_QUEUE_SEL, 0);
	fake_write32(&toy_host, MMIO_QUEUE_READY, 0);
	assert_int_equal(toy->quiets, quiets + 1);
	toy_offer();
	fake_ring_desc(&other, 0, 0x8000, 1, 0, 0);
	fake_ring_offer(&other, 0);
	toy_notify(1);
	assert_int_equal(toy->served, 1);
	assert_false(toy->virtio.queues[0].live);
	assert_int_equal(other.used_head[1], 1);
	assert_int_equal(toy_ring.used_head[1], 0);
}

static void config_changes_are_told_to_who_is_up(void **state)
{
	(void)state;
	mutex_lock(&toy->virtio.device.lock);
	virtio_config_changed(&toy->virtio);
	mutex_unlock(&toy->virtio.device.lock);
	assert_int_equal(fake_read32(&toy_host, MMIO_GENERATION), 1);
	assert_int_equal(fake_kvm_take_edges(), 0);
	toy_up();
	mutex_lock(&toy->virtio.device.lock);
	virtio_config_changed(&toy->virtio);
	mutex_unlock(&toy->virtio.device.lock);
	assert_int_equal(fake_read32(&toy_host, MMIO_GENERATION), 2);
	assert_int_equal(fake_read32(&toy_host, MMIO_ISR), VIRTIO_ISR_CONFIG);
	assert_int_equal(fake_kvm_take_edges(), 1);
}

static void a_storm_of_resets_leaks_nothing(void **state)
{
	const int fd = toy->virtio.kick_fd;
	unsigned i;

	(void)state;
	for (i = 0; i < 10000; i++) {
		toy_up();
		toy_offer();
		fake_write32(&toy_host, MMIO_NOTIFY, 0);
		if (i % 2)
			fake_host_turn(&toy_host, 8);
		assert_int_equal(fake_kvm.ioeventfds, 1);
		toy_set_status(0);
		assert_int_equal(fake_kvm.ioeventfds, 0);
		/* A notification that outlived its queue finds nothing. */
		assert_true(fake_host_turn(&toy_host, 8) < 8);
	}
	assert_int_equal(toy->activations, 10000);
	assert_int_equal(toy->served, 5000);
	assert_int_equal(toy->virtio.kick_fd, fd);
	assert_int_equal(fake_kvm.irqs, 1);
	assert_int_equal(fake_kvm.strays, 0);
}

static void a_reset_forgets_what_the_driver_chose(void **state)
{
	(void)state;
	toy_up();
	fake_write32(&toy_host, MMIO_DEVICE_FEATURES_SEL, 1);
	fake_write32(&toy_host, MMIO_DRIVER_FEATURES_SEL, 1);
	fake_write32(&toy_host, MMIO_QUEUE_SEL, 99);
	toy_set_status(0);
	assert_true(toy->virtio.accepted == 0);
	assert_int_equal(fake_read32(&toy_host, MMIO_DEVICE_FEATURES),
			 (uint32_t)TOY_FEATURES);
	assert_int_equal(fake_read32(&toy_host, MMIO_QUEUE_MAX), TOY_QUEUE_MAX);
	toy_set_status(ST_ACKNOWLEDGE);
	toy_set_status(ST_DRIVER);
	fake_write32(&toy_host, MMIO_DRIVER_FEATURES, TOY_FEATURE);
	assert_true(toy->virtio.accepted == TOY_FEATURE);
}

static void queues_work_by_the_features_agreed_on(void **state)
{
	static const uint64_t features[] = {0, FAKE_F_EVENT_IDX,
					    FAKE_F_INDIRECT,
					    FAKE_F_EVENT_IDX | FAKE_F_INDIRECT};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		fake_driver_up(&toy_host, &toy_ring, features[i], 0x1000,
			       TOY_SIZE);
		assert_int_equal(toy->virtio.queues[0].event_idx,
				 !!(features[i] & FAKE_F_EVENT_IDX));
		assert_int_equal(toy->virtio.queues[0].indirect,
				 !!(features[i] & FAKE_F_INDIRECT));
	}
}

static void stopping_ends_what_is_in_flight(void **state)
{
	struct device *d = toy_host.device;

	(void)state;
	toy_up();
	toy->is_keeping = true;
	toy_offer();
	toy_notify(0);
	assert_true(toy->has_kept);
	d->ops->stop(d);
	assert_int_equal(toy->quiets, 2); /* the first by the driver's reset */
	assert_false(toy->has_kept);
}

static void a_device_that_can_not_start_can_be_freed(void **state)
{
	struct err e = {0};

	(void)state;
	fake_host_open(&toy_host);
	fake_kvm.fail_irq = true;
	toy = calloc(1, sizeof(*toy));
	assert_non_null(toy);
	virtio_init(&toy->virtio, &toy_ops, &mmio_transport, "toy", 0,
		    TOY_QUEUES, TOY_QUEUE_MAX);
	assert_int_equal(fake_host_add(&toy_host, &toy->virtio.device, &e),
			 -ENOSPC);
	assert_true(e.text[0]);
}

static void a_device_may_leave_everything_out(void **state)
{
	(void)state;
	fake_write32(&toy_host, MMIO_CONFIG, 0xffffffff);
	assert_int_equal(fake_read8(&toy_host, MMIO_CONFIG), 'c');
	toy_up();
	toy_offer();
	toy_notify(0);
	assert_int_equal(toy->served, 1);
	toy_set_status(0);
	assert_int_equal(toy_status(), 0);
}

/* ---- at random ---------------------------------------------------------- */

static void check_invariants(void)
{
	const struct virtio *v = &toy->virtio;
	const uint8_t up_and_well =
		v->status &
		(VIRTIO_DRIVER_OK | VIRTIO_NEEDS_RESET | VIRTIO_FAILED);
	unsigned i;

	for (i = 0; i < TOY_QUEUES; i++) {
		if (v->queues[i].live)
			assert_true(v->queues[i].ready);
		if (v->queues[i].live)
			assert_int_equal(up_and_well, VIRTIO_DRIVER_OK);
	}
	assert_true(fake_kvm.ioeventfds <= 1);
	if (v->status & VIRTIO_FEATURES_OK)
		assert_true((v->accepted & ~v->offered) == 0);
	assert_int_equal(fake_kvm.strays, 0);
}

static void random_access(struct fake_random *r)
{
	static const uint32_t steps[] = {0, ST_ACKNOWLEDGE, ST_DRIVER,
					 ST_FEATURES_OK, ST_DRIVER_OK};
	static const uint32_t widths[] = {1, 2, 4, 8};
	uint8_t data[8];
	uint64_t value;

	switch (fake_random_below(r, 10)) {
	case 0:
		toy_set_status(steps[fake_random_below(r, 5)]);
		break;
	case 1:
		toy_up();
		break;
	case 2:
		toy_offer();
		toy_notify(0);
		break;
	case 3:
		fake_ring_offer(&toy_ring,
				(uint16_t)fake_random_below(r, TOY_SIZE));
		toy_notify(fake_random_below(r, 3));
		break;
	case 4:
		fake_read(&toy_host, fake_random_below(r, 0xff8), data,
			  widths[fake_random_below(r, 4)]);
		break;
	default:
		value = fake_random(r);
		if (value % 3 == 0)
			value &= 0xff;
		fake_write(&toy_host, fake_random_below(r, 0x110 / 4) * 4UL,
			   &value, widths[fake_random_below(r, 9) ? 2 : 3]);
	}
}

static void a_hostile_driver_breaks_nothing(void **state)
{
	struct fake_random r = {.state = 0x6d6179666c79};
	unsigned i;

	(void)state;
	log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
	toy_up();
	for (i = 0; i < 100000; i++) {
		random_access(&r);
		check_invariants();
		assert_true(fake_host_turn(&toy_host, 8) < 8);
	}
	assert_true(toy->activations > 1000);
	assert_true(toy->served > 1000);
	toy_up();
	toy->served = 0;
	toy_offer();
	toy_notify(0);
	assert_int_equal(toy->served, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, toy_setup, toy_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(features_are_accepted_at_their_time_only),
		TEST(unwanted_features_are_refused),
		TEST(a_refused_driver_may_ask_for_less),
		TEST(steps_may_not_be_left_out),
		TEST(bits_may_not_be_cleared_but_all),
		TEST(the_driver_can_not_say_needs_reset),
		TEST(a_driver_that_gave_up_gets_silence),
		TEST(failing_before_the_end_never_activates),
		TEST(notifying_before_driver_ok_does_nothing),
		TEST(a_request_is_served_and_interrupts),
		TEST(kvm_takes_over_notifications_while_the_driver_is_up),
		TEST(without_ioeventfd_the_register_does),
		TEST(a_broken_chain_stops_the_device_until_reset),
		TEST(a_reset_ends_what_is_in_flight),
		TEST(a_queue_can_be_taken_away_while_others_work),
		TEST(config_changes_are_told_to_who_is_up),
		TEST(a_storm_of_resets_leaks_nothing),
		TEST(a_reset_forgets_what_the_driver_chose),
		TEST(queues_work_by_the_features_agreed_on),
		TEST(stopping_ends_what_is_in_flight),
		cmocka_unit_test_teardown(
			a_device_that_can_not_start_can_be_freed, toy_teardown),
		cmocka_unit_test_setup_teardown(
			a_device_may_leave_everything_out, toy_setup_bare,
			toy_teardown),
		/* These two turn the log off. */
		TEST(every_pair_of_statuses_is_survived),
		TEST(a_hostile_driver_breaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
