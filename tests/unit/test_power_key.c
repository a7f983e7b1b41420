/* The power key: what Linux's drivers do with its controller, and its state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/power_key.h"
#include "tests/unit/fake_kvm.h"
#include "tests/unit/state_bench.h"

/* Arm DDI 0190, 3.2. */
enum {
	DATA = 0x3fc,
	DIRECTION = 0x400,
	SENSE = 0x404,
	BOTH_EDGES = 0x408,
	EVENT = 0x40c,
	MASK = 0x410,
	PENDING = 0x414,
	RAISED = 0x418,
	CLEAR = 0x41c,
	ID = 0xfe0,
};
enum { KEY = 8, KEY_DATA = KEY << 2 };

static struct fake_host host;

static void add(void)
{
	struct device *d;
	struct err e;

	assert_int_equal(power_key_new(&d, &e), 0);
	assert_int_equal(fake_host_add(&host, d, &e), 0);
}

static int setup(void **state)
{
	(void)state;
	fake_host_open(&host);
	add();
	fake_kvm_take_edges();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_host_close(&host);
	return 0;
}

/* As gpio-keys asks of its line: both edges. */
static void listen(void)
{
	fake_write8(&host, MASK, 0);
	fake_write8(&host, DIRECTION, 0);
	fake_write8(&host, SENSE, 0);
	fake_write8(&host, BOTH_EDGES, KEY);
	fake_write8(&host, MASK, KEY);
}

/* As its handler does: which lines, then cleared, then their values. */
static uint8_t handle(void)
{
	const uint8_t raised = fake_read8(&host, RAISED);

	fake_write8(&host, CLEAR, raised);
	assert_int_equal(fake_read8(&host, RAISED), 0);
	return raised;
}

static void wait_for(uint8_t level)
{
	unsigned i;

	for (i = 0; i < 60000 && fake_read8(&host, KEY_DATA) != level; i++)
		fake_host_wait(&host);
	assert_int_equal(fake_read8(&host, KEY_DATA), level);
}

static void it_is_found_by_its_id(void **state)
{
	/* AMBA: a byte a word, part 0x061 by 0x41, and the cell's own. */
	static const uint8_t id[] = {0x61, 0x10, 0x04, 0x00,
				     0x0d, 0xf0, 0x05, 0xb1};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(id); i++)
		assert_int_equal(fake_read32(&host, ID + 4 * i), id[i]);
}

static void a_press_goes_down_and_up(void **state)
{
	(void)state;
	listen();
	assert_int_equal(fake_kvm_take_edges(), 0);
	power_key_press(host.device);
	assert_int_equal(fake_kvm_take_edges(), 1);
	assert_int_equal(handle(), KEY);
	assert_int_equal(fake_read8(&host, KEY_DATA), KEY);
	assert_int_equal(fake_read8(&host, DATA), KEY);
	assert_int_equal(fake_read8(&host, (uint8_t)~KEY << 2), 0);
	wait_for(0);
	assert_int_equal(fake_kvm_take_edges(), 1);
	assert_int_equal(handle(), KEY);
}

/* Once more while it is down: it stays down longer, and is one press. */
static void a_press_of_what_is_down_is_none(void **state)
{
	(void)state;
	listen();
	power_key_press(host.device);
	power_key_press(host.device);
	assert_int_equal(fake_kvm_take_edges(), 1);
	handle();
	assert_int_equal(fake_read8(&host, KEY_DATA), KEY);
	wait_for(0);
	assert_int_equal(fake_kvm_take_edges(), 1);
}

static void only_the_edge_that_is_wanted_interrupts(void **state)
{
	(void)state;
	listen();
	fake_write8(&host, BOTH_EDGES, 0);
	fake_write8(&host, EVENT, 0); /* falling */
	power_key_press(host.device);
	assert_int_equal(fake_kvm_take_edges(), 0);
	assert_int_equal(fake_read8(&host, PENDING), 0);
	wait_for(0);
	assert_int_equal(fake_kvm_take_edges(), 1);
	handle();
	fake_write8(&host, EVENT, KEY);
	power_key_press(host.device);
	assert_int_equal(fake_kvm_take_edges(), 1);
	handle();
	wait_for(0);
	assert_int_equal(fake_kvm_take_edges(), 0);
}

static void a_level_interrupts_while_it_lasts(void **state)
{
	(void)state;
	listen();
	fake_write8(&host, BOTH_EDGES, 0);
	fake_write8(&host, SENSE, KEY);
	fake_write8(&host, EVENT, KEY);
	fake_write8(&host, CLEAR, 0xff);
	fake_kvm_take_edges();
	power_key_press(host.device);
	assert_int_equal(fake_kvm_take_edges(), 1);
	fake_write8(&host, CLEAR, KEY);
	assert_int_equal(fake_read8(&host, RAISED), KEY);
	assert_true(fake_kvm_take_edges() > 0);
	wait_for(0);
	handle();
	assert_int_equal(fake_read8(&host, PENDING), 0);
}

static void what_was_masked_interrupts_when_it_is_not(void **state)
{
	(void)state;
	listen();
	power_key_press(host.device);
	fake_write8(&host, MASK, 0);
	fake_kvm_take_edges();
	assert_int_equal(fake_read8(&host, PENDING), KEY);
	assert_int_equal(fake_read8(&host, RAISED), 0);
	fake_write8(&host, MASK, KEY);
	assert_int_equal(fake_kvm_take_edges(), 1);
}

/* Nobody is interrupted who has not asked; and lines are driven by the guest,
 * the key's too. */
static void a_guest_without_a_driver_hears_nothing(void **state)
{
	(void)state;
	power_key_press(host.device);
	assert_int_equal(fake_read8(&host, DATA), 0);
	assert_int_equal(fake_kvm_take_edges(), 0);
	fake_write8(&host, DIRECTION, 0xff);
	fake_write8(&host, 0x55 << 2, 0xff);
	assert_int_equal(fake_read8(&host, DATA), 0x55);
	fake_write8(&host, 0x0f << 2, 0xa0);
	assert_int_equal(fake_read8(&host, DATA), 0x50);
	assert_int_equal(fake_kvm_take_edges(), 0);
}

static void a_key_that_was_down_comes_up_after_a_load(void **state)
{
	struct saved a, b;

	(void)state;
	listen();
	power_key_press(host.device);
	a = state_take(&host);
	fake_host_remove(&host);
	add();
	fake_kvm_take_edges();
	state_put(&host, &a);
	assert_int_equal(fake_kvm_take_edges(), 1);
	b = state_take(&host);
	state_expect_same(&a, &b);
	fake_kvm_take_edges();
	assert_int_equal(handle(), KEY);
	assert_int_equal(fake_read8(&host, KEY_DATA), KEY);
	wait_for(0);
	assert_int_equal(fake_kvm_take_edges(), 1);
	state_free(&a);
	state_free(&b);
}

static void probe(void)
{
	listen();
	fake_write8(&host, CLEAR, 0xff);
	fake_kvm_take_edges();
	fake_read8(&host, DATA);
}

static void any_bytes_are_survived(void **state)
{
	struct saved a;

	(void)state;
	listen();
	a = state_take(&host);
	state_mutate(&host, &a, probe);
	state_free(&a);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(it_is_found_by_its_id),
		TEST(a_press_goes_down_and_up),
		TEST(a_press_of_what_is_down_is_none),
		TEST(only_the_edge_that_is_wanted_interrupts),
		TEST(a_level_interrupts_while_it_lasts),
		TEST(what_was_masked_interrupts_when_it_is_not),
		TEST(a_guest_without_a_driver_hears_nothing),
		TEST(a_key_that_was_down_comes_up_after_a_load),
		TEST(any_bytes_are_survived),
	};

	return cmocka_run_group_tests_name("power_key", tests, NULL, NULL);
}
