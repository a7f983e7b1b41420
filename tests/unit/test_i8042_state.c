/* The keyboard controller that is saved and loaded. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/i8042.h"
#include "tests/unit/fake_kvm.h"
#include "tests/unit/state_bench.h"
#include "vmm/base/log.h"

enum { PORT_DATA = 0, PORT_COMMAND = 4, FULL = 1 };

/* Where things lie in what is saved (i8042.c). */
enum { AT_PENDING = 2, AT_HAS_REPLY = 3, AT_COUNT = 6, KEYS_MAX = 32 };

static struct fake_host host;

static void add(void)
{
	struct device *d;
	struct err e;

	assert_int_equal(i8042_new(&d, &e), 0);
	assert_int_equal(fake_host_add(&host, d, &e), 0);
}

static int setup(void **state)
{
	(void)state;
	fake_host_open(&host);
	add();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_host_close(&host);
	return 0;
}

/* Another one, that has seen nothing; same guest. */
static void renew(void)
{
	fake_host_remove(&host);
	add();
}

static void command(uint8_t value)
{
	fake_write8(&host, PORT_COMMAND, value);
}

static void send(uint8_t value)
{
	fake_write8(&host, PORT_DATA, value);
}

static uint8_t take(void)
{
	return fake_read8(&host, PORT_DATA);
}

static void keys_and_replies_are_found_after(void **state)
{
	static const uint8_t chord[] = {0x38, 0xe0, 0x53, 0xe0,
					0xd3, 0xb8, 0x9d};
	struct saved a, b;
	unsigned i;

	(void)state;
	i8042_ctrl_alt_del(host.device);
	assert_int_equal(take(), 0x1d); /* the ring does not begin at 0 */
	command(0xaa);			/* a reply that goes first */
	a = state_take(&host);
	renew();
	state_put(&host, &a);
	b = state_take(&host);
	state_expect_same(&a, &b);
	assert_int_equal(take(), 0x55);
	for (i = 0; i < sizeof(chord); i++)
		assert_int_equal(take(), chord[i]);
	assert_int_equal(fake_read8(&host, PORT_COMMAND) & FULL, 0);
	state_free(&a);
	state_free(&b);
}

static void a_command_in_two_writes_is_finished_after(void **state)
{
	struct saved a;

	(void)state;
	command(0x60); /* write the command byte … */
	a = state_take(&host);
	renew();
	state_put(&host, &a);
	send(0x74);
	command(0x20);
	assert_int_equal(take(), 0x74);
	state_free(&a);
	/* The keyboard's own: set the LEDs, and which. */
	command(0x60);
	send(0x45);
	send(0xed);
	assert_int_equal(take(), 0xfa);
	a = state_take(&host);
	renew();
	state_put(&host, &a);
	send(0xee); /* an argument now, and no echo */
	assert_int_equal(take(), 0xfa);
	state_free(&a);
	/* What was discarded is forgotten. */
	a = state_take(&host);
	command(0xd1);
	state_put(&host, &a);
	send(0x00);
	assert_int_equal(host.signals[DEVICE_RESET], 0);
	state_free(&a);
}

static void a_key_that_waits_interrupts_again(void **state)
{
	struct saved a;

	(void)state;
	i8042_ctrl_alt_del(host.device);
	fake_kvm_take_edges();
	a = state_take(&host);
	assert_int_equal(fake_kvm_take_edges(), 1);
	renew();
	state_put(&host, &a);
	assert_int_equal(fake_kvm_take_edges(), 1);
	while (fake_read8(&host, PORT_COMMAND) & FULL)
		take();
	fake_kvm_take_edges();
	state_free(&a);
	a = state_take(&host);
	state_put(&host, &a);
	assert_int_equal(fake_kvm_take_edges(), 0);
	state_free(&a);
}

static void commands_and_counts_are_judged(void **state)
{
	static const uint8_t bad[][2] = {
		{AT_PENDING, 0xfe},	  {AT_PENDING, 0x20}, {AT_HAS_REPLY, 2},
		{AT_COUNT, KEYS_MAX + 1}, {AT_COUNT, 255},
	};
	struct saved a;
	struct err e;
	unsigned i;

	(void)state;
	command(0x60);
	a = state_take(&host);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const uint8_t before = a.data[bad[i][0]];

		a.data[bad[i][0]] = bad[i][1];
		state_hold(&host);
		assert_int_equal(state_load(&host, &a, &e), -EINVAL);
		assert_true(strlen(e.text) > 0);
		state_go_on(&host);
		command(0x20); /* as after power-on */
		assert_int_equal(take(), 0x65);
		a.data[bad[i][0]] = before;
	}
	state_put(&host, &a);
	send(0x40);
	command(0x20);
	assert_int_equal(take(), 0x40);
	state_free(&a);
}

static void probe(void)
{
	unsigned i;

	for (i = 0; i <= KEYS_MAX + 1; i++)
		take();
	command(0x60);
	send(0x45);
	for (i = 0; i <= KEYS_MAX + 1; i++)
		take();
	command(0xaa);
	assert_int_equal(take(), 0x55);
	i8042_ctrl_alt_del(host.device);
	assert_int_equal(take(), 0x1d);
	assert_int_equal(host.signals[DEVICE_RESET], 0);
}

static void any_bytes_are_survived(void **state)
{
	struct saved a;

	(void)state;
	i8042_ctrl_alt_del(host.device);
	command(0x60);
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
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(keys_and_replies_are_found_after),
		TEST(a_command_in_two_writes_is_finished_after),
		TEST(a_key_that_waits_interrupts_again),
		TEST(commands_and_counts_are_judged),
		TEST(any_bytes_are_survived),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
