/* How a guest resets, turns itself off, and tells that it is up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/i8042.h"
#include "devices/power.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/fake_kvm.h"
#include "vmm/base/log.h"

enum { DATA = 0, COMMAND = 4, STATUS = 4 };
enum { FULL = 0x01, IDLE = 0x14 };

static struct fake_host host;

static int add(int (*make)(struct device **out, struct err *e))
{
	struct device *d;
	struct err e;

	fake_host_open(&host);
	assert_int_equal(make(&d, &e), 0);
	return fake_host_add(&host, d, &e);
}

static int setup_i8042(void **state)
{
	(void)state;
	return add(i8042_new);
}

static int setup_sleep(void **state)
{
	(void)state;
	return add(sleep_new);
}

static int setup_boot_timer(void **state)
{
	(void)state;
	return add(boot_timer_new);
}

static int teardown(void **state)
{
	(void)state;
	fake_host_close(&host);
	return 0;
}

static unsigned resets(void)
{
	return host.signals[DEVICE_RESET];
}

static unsigned all_signals(void)
{
	return host.signals[DEVICE_RESET] + host.signals[DEVICE_POWEROFF] +
	       host.signals[DEVICE_BOOTED];
}

static uint8_t status(void)
{
	return fake_read8(&host, STATUS);
}

static uint8_t take(void)
{
	return fake_read8(&host, DATA);
}

static void command(uint8_t value)
{
	fake_write8(&host, COMMAND, value);
}

static void send(uint8_t value)
{
	fake_write8(&host, DATA, value);
}

/* A controller command that answers with one byte. */
static uint8_t ask(uint8_t value)
{
	command(value);
	assert_int_equal(status(), IDLE | FULL);
	return take();
}

static void expect_bytes(const uint8_t *bytes, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		assert_int_equal(status(), IDLE | FULL);
		assert_int_equal(take(), bytes[i]);
	}
	assert_int_equal(status(), IDLE);
}

/* ---- i8042 -------------------------------------------------------------- */

static void the_controller_starts_empty(void **state)
{
	(void)state;
	assert_int_equal(status(), IDLE);
	assert_int_equal(take(), 0);
	assert_int_equal(status(), IDLE);
	assert_int_equal(fake_kvm.edges, 0);
}

static void linux_finds_a_controller_and_no_mouse(void **state)
{
	uint8_t ctr;

	(void)state;
	assert_int_equal(ask(0xaa), 0x55);
	assert_int_equal(ask(0xab), 0x00);
	assert_int_not_equal(ask(0xa9), 0x00);
	ctr = ask(0x20);
	assert_int_equal(ctr & 0x45, 0x45);
	command(0x60);
	send(ctr | 0x10);
	assert_int_equal(ask(0x20), ctr | 0x10);
	command(0xae);
	assert_int_equal(ask(0x20), ctr);
	command(0xad);
	assert_int_equal(ask(0x20), ctr | 0x10);
	command(0xa8);
	assert_int_equal(ask(0x20) & 0x20, 0);
	command(0xa7);
	assert_int_equal(ask(0x20) & 0x20, 0x20);
	assert_int_equal(resets(), 0);
}

static void the_reset_line_has_three_names(void **state)
{
	unsigned value, want = 0;

	(void)state;
	command(0xfe);
	assert_int_equal(resets(), ++want);
	command(0xd1);
	send(0xdf); /* bit 0 high */
	assert_int_equal(resets(), want);
	assert_int_equal(ask(0xd0), 0xdf);
	command(0xd1);
	send(0x02);
	assert_int_equal(resets(), ++want);
	for (value = 0xf0; value < 0x100; value++) {
		command((uint8_t)value);
		want += !(value & 1);
		assert_int_equal(resets(), want);
	}
	assert_int_equal(all_signals(), want);
}

static void no_other_command_resets(void **state)
{
	unsigned value;

	(void)state;
	for (value = 0; value < 0xf0; value++) {
		command((uint8_t)value);
		if (value != 0xd1)
			send(0x00);
		while (status() & FULL)
			take();
		command(0x60); /* undo what the value may have done */
		send(0x45);
	}
	assert_int_equal(all_signals(), 0);
}

static void a_command_forgets_the_one_before(void **state)
{
	(void)state;
	command(0xd1);
	command(0xae);
	send(0x00); /* for the keyboard now, not the output port */
	assert_int_equal(resets(), 0);
	assert_int_equal(take(), 0xfa);
}

static void the_ports_between_are_not_ours(void **state)
{
	unsigned port;

	(void)state;
	for (port = 1; port < 4; port++) {
		fake_write8(&host, port, 0xfe);
		assert_int_equal(fake_read8(&host, port), 0xff);
	}
	assert_int_equal(all_signals(), 0);
	assert_int_equal(status(), IDLE);
}

static void the_keyboard_answers(void **state)
{
	static const uint8_t reset[] = {0xfa, 0xaa};
	static const uint8_t id[] = {0xfa, 0xab, 0x83};
	static const uint8_t acks[] = {0xfa, 0xfa, 0xfa};
	static const uint8_t echo[] = {0xee};

	(void)state;
	send(0xff);
	expect_bytes(reset, sizeof(reset));
	send(0xf2);
	expect_bytes(id, sizeof(id));
	send(0xee);
	expect_bytes(echo, sizeof(echo));
	send(0xf4);
	expect_bytes(acks, 1);
	/* An argument is no command, even where it looks like one. */
	send(0xed);
	send(0xff);
	send(0xf4);
	expect_bytes(acks, 3);
}

static void every_key_byte_is_an_edge(void **state)
{
	(void)state;
	send(0xff);
	assert_int_equal(fake_kvm_take_edges(), 1);
	assert_int_equal(take(), 0xfa);
	assert_int_equal(fake_kvm_take_edges(), 1);
	assert_int_equal(take(), 0xaa);
	assert_int_equal(fake_kvm_take_edges(), 0);
	/* With its interrupt off it is polled. */
	command(0x60);
	send(0x44);
	send(0xf4);
	assert_int_equal(fake_kvm_take_edges(), 0);
	assert_int_equal(take(), 0xfa);
}

static void ctrl_alt_del_is_pressed_and_released(void **state)
{
	static const uint8_t set1[] = {0x1d, 0x38, 0xe0, 0x53,
				       0xe0, 0xd3, 0xb8, 0x9d};
	static const uint8_t set2[] = {0x14, 0x11, 0xe0, 0x71, 0xe0, 0xf0,
				       0x71, 0xf0, 0x11, 0xf0, 0x14};

	(void)state;
	i8042_ctrl_alt_del(host.device);
	assert_int_equal(fake_kvm_take_edges(), 1);
	expect_bytes(set1, sizeof(set1));
	assert_int_equal(fake_kvm_take_edges(), sizeof(set1) - 1);
	command(0x60);
	send(0x05); /* untranslated */
	i8042_ctrl_alt_del(host.device);
	expect_bytes(set2, sizeof(set2));
}

static void ctrl_alt_del_comes_whole_or_not_at_all(void **state)
{
	unsigned i, n;

	(void)state;
	log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
	send(0xf4); /* one byte, so that the chords don't fit evenly */
	for (i = 0; i < 20; i++)
		i8042_ctrl_alt_del(host.device);
	for (n = 0; status() & FULL; n++)
		take();
	assert_int_equal(n % 8, 1);
	assert_true(n > 8);
	command(0xad); /* keyboard off: nobody listens */
	i8042_ctrl_alt_del(host.device);
	assert_int_equal(status(), IDLE);
	command(0xae);
	assert_int_equal(status(), IDLE);
	command(0x60);
	send(0x44); /* no interrupt asked for */
	i8042_ctrl_alt_del(host.device);
	assert_int_equal(status(), IDLE);
}

static void who_never_reads_loses_only_keys(void **state)
{
	unsigned i, n;

	(void)state;
	for (i = 0; i < 1000; i++)
		send(0xf2);
	for (n = 0; status() & FULL; n++)
		take();
	assert_true(n >= 16 && n <= 64);
	assert_int_equal(ask(0xaa), 0x55);
}

static void a_keyboard_that_is_off_keeps_its_keys(void **state)
{
	static const uint8_t reset[] = {0xfa, 0xaa};

	(void)state;
	command(0xad);
	send(0xff);
	assert_int_equal(status(), IDLE);
	assert_int_equal(take(), 0);
	assert_int_equal(ask(0xaa), 0x55); /* replies come all the same */
	assert_int_equal(fake_kvm_take_edges(), 0);
	command(0xae);
	assert_int_equal(fake_kvm_take_edges(), 1);
	expect_bytes(reset, sizeof(reset));
}

static void without_a_line_keys_can_be_polled(void **state)
{
	static const uint8_t reset[] = {0xfa, 0xaa};

	(void)state;
	fake_kvm.fail_irq = true;
	send(0xff);
	expect_bytes(reset, sizeof(reset));
	assert_int_equal(fake_kvm.edges, 0);
}

static void a_hostile_guest_breaks_no_controller(void **state)
{
	struct fake_random r = {.state = 8042};
	uint64_t value;
	unsigned i;

	(void)state;
	log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
	for (i = 0; i < 100000; i++) {
		value = fake_random(&r);
		if (value & 1)
			fake_write(&host, fake_random_below(&r, 5), &value,
				   1U << fake_random_below(&r, 3));
		else
			fake_read(&host, fake_random_below(&r, 5), &value, 4);
		if (i % 100 == 0)
			i8042_ctrl_alt_del(host.device);
	}
	assert_int_equal(all_signals(), resets());
	command(0x60);
	send(0x45);
	while (status() & FULL)
		take();
	assert_int_equal(ask(0xaa), 0x55);
}

/* ---- sleep register ----------------------------------------------------- */

static void only_s5_with_enable_turns_off(void **state)
{
	unsigned value, want = 0;

	(void)state;
	for (value = 0; value < 256; value++) {
		fake_write8(&host, 0, (uint8_t)value);
		want += (value & 0x3c) == (0x20 | 5 << 2);
		assert_int_equal(host.signals[DEVICE_POWEROFF], want);
	}
	assert_int_equal(want, 16);
	assert_int_equal(all_signals(), want);
}

static void the_sleep_status_turns_nothing_off(void **state)
{
	(void)state;
	fake_write8(&host, 1, 0x34);
	assert_int_equal(all_signals(), 0);
	assert_int_equal(fake_read8(&host, 0), 0);
	assert_int_equal(fake_read8(&host, 1), 0);
}

static void a_wide_write_is_its_first_byte(void **state)
{
	const uint8_t off[2] = {0x34, 0}, on[2] = {0, 0x34};

	(void)state;
	fake_write(&host, 0, on, 2);
	assert_int_equal(all_signals(), 0);
	fake_write(&host, 0, off, 2);
	assert_int_equal(host.signals[DEVICE_POWEROFF], 1);
}

/* ---- boot timer --------------------------------------------------------- */

static void only_123_says_that_the_guest_is_up(void **state)
{
	unsigned value;

	(void)state;
	for (value = 0; value < 256; value++)
		fake_write8(&host, 0, (uint8_t)value);
	assert_int_equal(host.signals[DEVICE_BOOTED], 1);
	for (value = 1; value < 0x1000; value++)
		fake_write8(&host, value, 123);
	assert_int_equal(all_signals(), 1);
	fake_write32(&host, 0, 123);
	assert_int_equal(all_signals(), 2);
	assert_int_equal(fake_read8(&host, 0), 0);
}

#define TEST_I8042(f) cmocka_unit_test_setup_teardown(f, setup_i8042, teardown)
#define TEST_SLEEP(f) cmocka_unit_test_setup_teardown(f, setup_sleep, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_I8042(the_controller_starts_empty),
		TEST_I8042(linux_finds_a_controller_and_no_mouse),
		TEST_I8042(the_reset_line_has_three_names),
		TEST_I8042(no_other_command_resets),
		TEST_I8042(a_command_forgets_the_one_before),
		TEST_I8042(the_ports_between_are_not_ours),
		TEST_I8042(the_keyboard_answers),
		TEST_I8042(every_key_byte_is_an_edge),
		TEST_I8042(a_keyboard_that_is_off_keeps_its_keys),
		TEST_I8042(ctrl_alt_del_is_pressed_and_released),
		TEST_I8042(who_never_reads_loses_only_keys),
		TEST_I8042(without_a_line_keys_can_be_polled),
		TEST_SLEEP(only_s5_with_enable_turns_off),
		TEST_SLEEP(the_sleep_status_turns_nothing_off),
		TEST_SLEEP(a_wide_write_is_its_first_byte),
		cmocka_unit_test_setup_teardown(
			only_123_says_that_the_guest_is_up, setup_boot_timer,
			teardown),
		/* These two turn the log off. */
		TEST_I8042(ctrl_alt_del_comes_whole_or_not_at_all),
		TEST_I8042(a_hostile_guest_breaks_no_controller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
