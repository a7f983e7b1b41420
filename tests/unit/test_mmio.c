/* The registers of virtio-mmio: widths, times and places. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/virtio/mmio.h"
#include "devices/virtio/virtio.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/toy.h"

/* ---- registers ---------------------------------------------------------- */

static void the_device_introduces_itself(void **state)
{
	(void)state;
	assert_int_equal(fake_read32(&toy_host, MMIO_MAGIC), 0x74726976);
	assert_int_equal(fake_read32(&toy_host, MMIO_VERSION), 2);
	assert_int_equal(fake_read32(&toy_host, MMIO_DEVICE_ID), TOY_ID);
	assert_int_equal(fake_read32(&toy_host, MMIO_QUEUE_MAX), TOY_QUEUE_MAX);
	assert_true(fake_driver_offered(&toy_host) == TOY_FEATURES);
	assert_int_equal(toy_status(), 0);
	assert_int_equal(fake_read32(&toy_host, MMIO_ISR), 0);
}

static void there_are_no_features_past_the_64th(void **state)
{
	static const uint32_t halves[] = {2, 3, 32, 0x80000000, 0xffffffff};

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		fake_write32(&toy_host, MMIO_DEVICE_FEATURES_SEL, halves[i]);
		assert_int_equal(fake_read32(&toy_host, MMIO_DEVICE_FEATURES),
				 0);
	}
}

static void control_registers_are_32_bits_wide(void **state)
{
	static const uint32_t widths[] = {1, 2, 8};
	static const uint8_t ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
	uint8_t data[8];
	unsigned i, reg;

	(void)state;
	toy_set_status(ST_ACKNOWLEDGE);
	for (i = 0; i < 3; i++)
		for (reg = 0; reg + widths[i] <= MMIO_CONFIG; reg++) {
			memset(data, 0xee, sizeof(data));
			fake_read(&toy_host, reg, data, widths[i]);
			assert_int_equal(data[0], 0);
			assert_int_equal(data[widths[i] - 1], 0);
			fake_write(&toy_host, reg, ones, widths[i]);
		}
	for (reg = 0; reg + 4 <= MMIO_CONFIG; reg++)
		if (reg % 4) {
			assert_int_equal(fake_read32(&toy_host, reg), 0);
			fake_write32(&toy_host, reg, 0);
		}
	assert_int_equal(toy_status(), ST_ACKNOWLEDGE);
	assert_int_equal(toy->virtio.queue_sel, 0);
}

static void holes_and_read_only_registers_swallow_writes(void **state)
{
	unsigned reg;

	(void)state;
	for (reg = 0; reg < MMIO_CONFIG; reg += 4)
		if (reg != MMIO_STATUS)
			fake_write32(&toy_host, reg, 0xffffffff);
	assert_int_equal(fake_read32(&toy_host, MMIO_MAGIC), 0x74726976);
	assert_int_equal(fake_read32(&toy_host, MMIO_VERSION), 2);
	assert_int_equal(toy_status(), 0);
	/* What was selected does not exist, and has no size, no features. */
	assert_int_equal(fake_read32(&toy_host, MMIO_QUEUE_MAX), 0);
	assert_int_equal(fake_read32(&toy_host, MMIO_QUEUE_READY), 0);
	assert_int_equal(fake_read32(&toy_host, MMIO_DEVICE_FEATURES), 0);
	assert_int_equal(fake_host_turn(&toy_host, 8), 0);
}

static void there_is_no_shared_memory(void **state)
{
	unsigned reg;

	(void)state;
	for (reg = 0xb0; reg <= 0xbc; reg += 4)
		assert_true(fake_read32(&toy_host, reg) == 0xffffffff);
}

static void the_configuration_has_any_width_and_an_end(void **state)
{
	char data[9] = {0};

	(void)state;
	assert_int_equal(fake_read8(&toy_host, MMIO_CONFIG + 5), 'g');
	assert_int_equal(fake_read8(&toy_host, MMIO_CONFIG + 6), 0);
	fake_read(&toy_host, MMIO_CONFIG + 1, data, 2);
	assert_string_equal(data, "on");
	fake_read(&toy_host, MMIO_CONFIG, data, 8);
	assert_string_equal(data, "config");
	fake_read(&toy_host, MMIO_CONFIG + 4, data, 8);
	assert_string_equal(data, "ig");
	assert_int_equal(fake_read32(&toy_host, 0xffc), 0);
	fake_write(&toy_host, MMIO_CONFIG + 4, "XY", 2);
	fake_read(&toy_host, MMIO_CONFIG, data, 8);
	assert_string_equal(data, "confXY");
	fake_write(&toy_host, MMIO_CONFIG + 4, "------", 4);
	fake_read(&toy_host, MMIO_CONFIG, data, 8);
	assert_string_equal(data, "confXY");
}

/* ---- queues ------------------------------------------------------------- */

/* What of queue 0 the driver can set. */
struct settings {
	uint64_t size, desc, avail, used;
};

static struct settings settings(void)
{
	const struct vq *vq = &toy->virtio.queues[0];

	return (struct settings){vq->size, vq->desc_gpa, vq->avail_gpa,
				 vq->used_gpa};
}

static void scribble(void)
{
	static const uint32_t regs[] = {
		MMIO_QUEUE_SIZE, MMIO_DESC,   MMIO_DESC + 4,   MMIO_DRIVER,
		MMIO_DRIVER + 4, MMIO_DEVICE, MMIO_DEVICE + 4,
	};
	unsigned i;

	for (i = 0; i < sizeof(regs) / sizeof(regs[0]); i++)
		fake_write32(&toy_host, regs[i], 0x77777777);
}

static void queue_registers_are_frozen_but_for_their_time(void **state)
{
	const struct settings none = {0};
	struct settings before, after;

	(void)state;
	scribble();
	toy_set_status(ST_ACKNOWLEDGE);
	scribble();
	toy_set_status(ST_DRIVER);
	scribble();
	after = settings();
	assert_memory_equal(&after, &none, sizeof(none));
	fake_driver_negotiate(&toy_host, TOY_FEATURES);
	scribble();
	after = settings();
	assert_true(after.desc == 0x7777777777777777ULL);
	assert_true(after.avail == 0x7777777777777777ULL);
	assert_true(after.used == 0x7777777777777777ULL);
	assert_int_equal(after.size, 0x77777777);
	fake_ring_init(&toy_ring, &toy_host.mem, 0x1000, TOY_SIZE);
	fake_driver_queue(&toy_host, 0, &toy_ring);
	before = settings();
	scribble(); /* ready */
	toy_set_status(ST_DRIVER_OK);
	scribble(); /* up */
	after = settings();
	assert_memory_equal(&after, &before, sizeof(before));
	/* Taken away in operation, it stays as it is until a reset. */
	fake_write32(&toy_host, MMIO_QUEUE_READY, 0);
	scribble();
	fake_write32(&toy_host, MMIO_QUEUE_READY, 1);
	after = settings();
	assert_memory_equal(&after, &before, sizeof(before));
	assert_int_equal(fake_read32(&toy_host, MMIO_QUEUE_READY), 0);
	toy_set_status(0);
	after = settings();
	assert_memory_equal(&after, &none, sizeof(none));
}

static void a_queue_can_be_set_up_again_before_driver_ok(void **state)
{
	(void)state;
	fake_driver_negotiate(&toy_host, TOY_FEATURES);
	fake_ring_init(&toy_ring, &toy_host.mem, 0x1000, TOY_SIZE);
	fake_driver_queue(&toy_host, 0, &toy_ring);
	fake_write32(&toy_host, MMIO_QUEUE_READY, 0);
	assert_int_equal(fake_read32(&toy_host, MMIO_QUEUE_READY), 0);
	fake_ring_init(&toy_ring, &toy_host.mem, FAKE_HIGH, TOY_SIZE / 2);
	fake_driver_queue(&toy_host, 0, &toy_ring);
	toy_set_status(ST_DRIVER_OK);
	toy_offer();
	toy_notify(0);
	assert_int_equal(toy->served, 1);
}

static void queues_that_do_not_exist_swallow_everything(void **state)
{
	static const uint32_t bad[] = {TOY_QUEUES, VIRTIO_QUEUES_MAX, 0xffff,
				       0x10000, 0xffffffff};
	unsigned i;

	(void)state;
	fake_driver_negotiate(&toy_host, TOY_FEATURES);
	fake_ring_init(&toy_ring, &toy_host.mem, 0x1000, TOY_SIZE);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fake_driver_queue(&toy_host, bad[i], &toy_ring);
		scribble();
		assert_int_equal(fake_read32(&toy_host, MMIO_QUEUE_READY), 0);
		assert_int_equal(fake_read32(&toy_host, MMIO_QUEUE_MAX), 0);
	}
	assert_int_equal(toy_status(), ST_FEATURES_OK);
	assert_int_equal(toy->virtio.queues[TOY_QUEUES].size, 0);
}

static void only_one_means_ready(void **state)
{
	(void)state;
	fake_driver_negotiate(&toy_host, TOY_FEATURES);
	fake_ring_init(&toy_ring, &toy_host.mem, 0x1000, TOY_SIZE);
	fake_driver_queue(&toy_host, 0, &toy_ring);
	fake_write32(&toy_host, MMIO_QUEUE_READY, 0);
	fake_write32(&toy_host, MMIO_QUEUE_READY, 0x101);
	assert_int_equal(fake_read32(&toy_host, MMIO_QUEUE_READY), 0);
	fake_write32(&toy_host, MMIO_QUEUE_READY, 2);
	assert_int_equal(fake_read32(&toy_host, MMIO_QUEUE_READY), 0);
	assert_int_equal(toy_status(), ST_FEATURES_OK);
}

static void a_queue_of_nonsense_needs_a_reset(void **state)
{
	static const struct settings bad[] = {
		{0, 0x1000, 0x2000, 0x3000},
		{3, 0x1000, 0x2000, 0x3000},
		{TOY_QUEUE_MAX * 2, 0x1000, 0x2000, 0x3000},
		{32769, 0x1000, 0x2000, 0x3000},
		{0x10008, 0x1000, 0x2000, 0x3000},
		{TOY_SIZE, 0x1008, 0x2000, 0x3000},
		{TOY_SIZE, 0x1000, 0x2001, 0x3000},
		{TOY_SIZE, 0x1000, 0x2000, 0x3002},
		{TOY_SIZE, FAKE_LOW_SIZE, 0x2000, 0x3000},
		{TOY_SIZE, FAKE_LOW_SIZE - 16, 0x2000, 0x3000},
		{TOY_SIZE, 0x1000, FAKE_LOW_SIZE - 2, 0x3000},
		{TOY_SIZE, 0x1000, 0x2000, FAKE_HIGH + FAKE_HIGH_SIZE - 4},
		{TOY_SIZE, ~15ULL, 0x2000, 0x3000},
		{TOY_SIZE, 0x1000, ~1ULL, 0x3000},
		{TOY_SIZE, 0x1000, 0x2000, ~3ULL},
		{TOY_SIZE, FAKE_SLOT, FAKE_SLOT, FAKE_SLOT},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fake_driver_negotiate(&toy_host, TOY_FEATURES);
		toy_ring.desc_gpa = bad[i].desc;
		toy_ring.avail_gpa = bad[i].avail;
		toy_ring.used_gpa = bad[i].used;
		toy_ring.size = TOY_SIZE;
		fake_driver_queue(&toy_host, 0, &toy_ring);
		/* The size has more bits than a ring of ours can have. */
		fake_write32(&toy_host, MMIO_QUEUE_READY, 0);
		fake_write32(&toy_host, MMIO_QUEUE_SIZE, (uint32_t)bad[i].size);
		fake_write32(&toy_host, MMIO_QUEUE_READY, 1);
		assert_int_equal(fake_read32(&toy_host, MMIO_QUEUE_READY), 0);
		assert_int_equal(toy_status(), ST_FEATURES_OK | ST_NEEDS_RESET);
		toy_set_status(ST_DRIVER_OK);
		assert_int_equal(toy->activations, 0);
		toy_notify(0);
		assert_int_equal(toy->kicks, 0);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, toy_setup, toy_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_device_introduces_itself),
		TEST(there_are_no_features_past_the_64th),
		TEST(control_registers_are_32_bits_wide),
		TEST(holes_and_read_only_registers_swallow_writes),
		TEST(there_is_no_shared_memory),
		TEST(the_configuration_has_any_width_and_an_end),
		TEST(queue_registers_are_frozen_but_for_their_time),
		TEST(a_queue_can_be_set_up_again_before_driver_ok),
		TEST(queues_that_do_not_exist_swallow_everything),
		TEST(only_one_means_ready),
		TEST(a_queue_of_nonsense_needs_a_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
