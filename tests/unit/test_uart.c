/* The 16550A: what Linux's driver relies on, and readers that don't read. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/uart.h"
#include "tests/unit/fake_kvm.h"
#include "tests/unit/uart_bench.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

/* ---- registers ---------------------------------------------------------- */

static void it_starts_idle_and_connected(void **state)
{
	(void)state;
	assert_int_equal(get(IER), 0);
	assert_int_equal(get(IIR), SAYS_NONE);
	assert_int_equal(get(LCR), 0);
	assert_int_equal(get(MCR), 0);
	assert_int_equal(get(LSR), 0x60);
	assert_int_equal(get(MSR), CTS | DSR | DCD);
	assert_int_equal(get(DATA), 0);
	assert_int_equal(edges(), 0);
}

static void the_divisor_hides_data_and_ier(void **state)
{
	(void)state;
	put(IER, RX);
	put(LCR, 0x83);
	put(DATA, 0x0c);
	put(IER, 0xff);
	assert_int_equal(get(DATA), 0x0c);
	assert_int_equal(get(IER), 0xff);
	put(LCR, 0x03);
	assert_int_equal(get(LCR), 0x03);
	assert_int_equal(get(IER), RX);
	assert_int_equal(get(DATA), 0);
	expect_output("");
	put(LCR, 0x83);
	assert_int_equal(get(DATA), 0x0c);
}

static void registers_keep_what_their_bits_can(void **state)
{
	(void)state;
	put(SCR, 0xa5);
	assert_int_equal(get(SCR), 0xa5);
	put(IER, 0xff);
	assert_int_equal(get(IER), 0x0f);
	put(MCR, 0xef);
	assert_int_equal(get(MCR), 0x0f);
	put(LSR, 0xff);
	assert_int_equal(get(LSR), 0x60);
	put(MSR, 0xff);
	assert_int_equal(get(MSR), CTS | DSR | DCD);
}

static void iir_tells_of_the_fifo(void **state)
{
	(void)state;
	put(FCR, 1);
	assert_int_equal(get(IIR), 0xc0 | SAYS_NONE);
	put(FCR, 0);
	assert_int_equal(get(IIR), SAYS_NONE);
}

static void a_wide_access_touches_one_register(void **state)
{
	const uint8_t many[8] = {'x', 0x0f, 1, 0x80, 0, 0, 0, 7};
	uint8_t data[8];

	(void)state;
	fake_write(&host, DATA, many, 8);
	assert_int_equal(get(IER), 0);
	assert_int_equal(get(LCR), 0);
	assert_int_equal(get(SCR), 0);
	fake_read(&host, LSR, data, 2);
	assert_int_equal(data[0], 0x60);
	assert_int_equal(data[1], 0);
	expect_output("x");
}

/* ---- interrupts --------------------------------------------------------- */

static void an_empty_transmitter_is_told_once(void **state)
{
	(void)state;
	put(MCR, OUT2);
	put(IER, TX);
	assert_int_equal(edges(), 1);
	put(IER, TX); /* no news */
	assert_int_equal(edges(), 0);
	assert_int_equal(get(IIR), SAYS_TX);
	assert_int_equal(get(IIR), SAYS_NONE);
	put(IER, TX | RX);
	assert_int_equal(get(IIR), SAYS_NONE);
	put(DATA, 'a');
	assert_int_equal(edges(), 1);
	assert_int_equal(get(IIR), SAYS_TX);
	assert_int_equal(edges(), 0);
	put(IER, 0);
	put(DATA, 'b');
	assert_int_equal(edges(), 0);
	assert_int_equal(get(IIR), SAYS_NONE);
	/* Linux's test for a lost interrupt: off and on again tells again. */
	put(IER, TX);
	put(IER, 0);
	put(IER, TX);
	assert_int_equal(edges(), 2);
	assert_int_equal(get(IIR), SAYS_TX);
}

static void out2_leads_the_line(void **state)
{
	(void)state;
	put(IER, TX);
	assert_int_equal(edges(), 0);
	assert_int_equal(get(LSR), 0x60);
	put(MCR, OUT2);
	assert_int_equal(edges(), 1);
	put(MCR, OUT2 | LOOP);
	put(IER, TX | RX);
	put(DATA, 'x');
	assert_int_equal(get(IIR), SAYS_RX);
	get(DATA);
	put(MCR, 0);
	assert_int_equal(edges(), 0);
	assert_int_equal(get(IIR), SAYS_TX);
}

static void the_most_urgent_reason_comes_first(void **state)
{
	unsigned i;

	(void)state;
	put(MCR, LOOP);
	put(IER, RX | TX | LINE | MODEM);
	put(MCR, LOOP | RTS);
	for (i = 0; i < FIFO + 1; i++)
		put(DATA, (uint8_t)i);
	assert_int_equal(get(IIR), SAYS_LINE);
	assert_int_equal(get(IIR), SAYS_LINE);
	assert_int_equal(get(LSR), 0x63);
	assert_int_equal(get(IIR), SAYS_RX);
	for (i = 0; i < FIFO; i++) {
		assert_int_equal(get(IIR), SAYS_RX);
		assert_int_equal(get(DATA), i);
	}
	assert_int_equal(get(LSR), 0x60);
	assert_int_equal(get(IIR), SAYS_TX);
	assert_int_equal(get(IIR), SAYS_MODEM);
	assert_int_equal(get(MSR) & 0x0f, 0x0b);
	assert_int_equal(get(IIR), SAYS_NONE);
	/* Disconnected from its line while it loops. */
	assert_int_equal(edges(), 0);
}

static void masked_reasons_are_not_said(void **state)
{
	(void)state;
	put(MCR, LOOP);
	put(DATA, 'x');
	assert_int_equal(get(IIR), SAYS_NONE);
	put(IER, RX);
	assert_int_equal(get(IIR), SAYS_RX);
	put(IER, 0);
	assert_int_equal(get(IIR), SAYS_NONE);
}

/* ---- loop-back ---------------------------------------------------------- */

static void what_loops_does_not_leave(void **state)
{
	(void)state;
	put(MCR, LOOP);
	send_text("loop");
	assert_int_equal(get(LSR), 0x61);
	assert_int_equal(get(DATA), 'l');
	assert_int_equal(get(DATA), 'o');
	put(FCR, 1 | 2); /* clears what was received */
	assert_int_equal(get(LSR), 0x60);
	expect_output("");
	put(MCR, 0);
	send_text("out");
	assert_int_equal(get(LSR), 0x60);
	expect_output("out");
}

static void modem_lines_loop_with_their_changes(void **state)
{
	(void)state;
	get(MSR);
	put(MCR, LOOP);
	assert_int_equal(get(MSR), 0x0b); /* CTS, DSR and DCD fell */
	assert_int_equal(get(MSR), 0);
	put(MCR, LOOP | RTS);
	assert_int_equal(get(MSR), CTS | 1);
	put(MCR, LOOP | DTR);
	assert_int_equal(get(MSR), DSR | 3);
	put(MCR, LOOP | OUT1); /* ringing: only its end counts */
	assert_int_equal(get(MSR), RI | 2);
	put(MCR, LOOP | OUT2);
	assert_int_equal(get(MSR), DCD | 8 | 4);
	/* What Linux's probe does: it must see exactly these. */
	put(MCR, LOOP | OUT2 | RTS);
	assert_int_equal(get(MSR) & 0xf0, DCD | CTS);
}

/* ---- output ------------------------------------------------------------- */

static void a_burst_costs_one_wake_up(void **state)
{
	(void)state;
	send_text("hello, ");
	send_text("world\n");
	assert_true(fake_host_turn(&host, 8) <= 2);
	expect_output("hello, world\n");
}

static void a_slow_reader_costs_bytes_and_nothing_else(void **state)
{
	uint8_t buf[PIPE];
	size_t got = 0, i;
	ssize_t n;

	(void)state;
	for (i = 0; i < 4 * RING; i++) {
		put(DATA, (uint8_t)(i % 251));
		if (i % 1000 == 0)
			settle();
	}
	settle();
	for (;;) {
		n = read(out_read, buf, sizeof(buf));
		if (n <= 0)
			break;
		for (i = 0; i < (size_t)n; i++, got++)
			if (buf[i] != got % 251)
				fail_msg("byte %zu is not in order", got);
		settle();
	}
	/* All the ring and the pipe could hold, and no more. */
	assert_true(got >= RING);
	assert_true(got <= RING + PIPE);
	send_text("and on it goes");
	expect_output("and on it goes");
}

static void a_reader_that_is_gone_is_no_error(void **state)
{
	(void)state;
	fd_close(&out_read);
	send_text("nobody hears");
	settle();
	send_text("this");
	settle();
	assert_int_equal(get(LSR), 0x60);
}

static void a_reader_that_leaves_a_full_pipe_is_no_error(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < 2 * PIPE; i++)
		put(DATA, 'x');
	settle();
	fd_close(&out_read);
	settle();
	assert_int_equal(get(LSR), 0x60);
}

static void without_output_bytes_vanish(void **state)
{
	unsigned i;

	(void)state;
	uart_begin(-1, -1);
	for (i = 0; i < 2 * RING; i++)
		put(DATA, 'x');
	settle();
	assert_int_equal(get(LSR), 0x60);
}

static void stopping_gives_the_last_words_a_moment(void **state)
{
	struct timespec from, to;
	char buf[16] = {0};
	unsigned i;

	(void)state;
	send_text("panic");
	host.device->ops->stop(host.device);
	assert_int_equal(read(out_read, buf, sizeof(buf)), 5);
	assert_string_equal(buf, "panic");
	for (i = 0; i < 2 * PIPE; i++)
		put(DATA, 'x');
	clock_gettime(CLOCK_MONOTONIC, &from);
	host.device->ops->stop(host.device);
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_true(to.tv_sec - from.tv_sec <= 1);
	/* And no second moment for what was given up. */
	host.device->ops->stop(host.device);
}

/* ---- its life ---------------------------------------------------------- */

static void a_descriptor_that_is_none_is_refused(void **state)
{
	struct device *d;
	struct err e = {0};

	(void)state;
	fake_host_open(&host);
	assert_int_equal(uart_new(&d, 1 << 20, -1, &e), -EBADF);
	assert_true(e.text[0]);
}

static void a_hostile_driver_breaks_nothing(void **state)
{
	struct fake_random r = {.state = 16550};
	uint8_t buf[PIPE];
	uint64_t value;
	unsigned i;

	(void)state;
	log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
	assert_int_equal(fcntl(in_write, F_SETFL, O_NONBLOCK), 0);
	for (i = 0; i < 100000; i++) {
		value = fake_random(&r);
		if (value & 1)
			get(fake_random_below(&r, 8));
		else
			fake_write(&host, fake_random_below(&r, 8), &value,
				   1U << fake_random_below(&r, 3));
		if (i % 16 == 0)
			settle();
		if (i % 64 == 0)
			(void)!write(in_write, &value, sizeof(value));
		if (i % 4096 == 0)
			(void)!read(out_read, buf, sizeof(buf));
	}
	/* Back to order. */
	put(LCR, 0);
	put(IER, 0);
	put(MCR, 0);
	do {
		settle();
	} while (read(out_read, buf, sizeof(buf)) > 0);
	while (get(LSR) & 1) {
		get(DATA);
		settle();
	}
	send_text("fine");
	expect_output("fine");
	type("y");
	assert_int_equal(get(DATA), 'y');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_starts_idle_and_connected),
		TEST(the_divisor_hides_data_and_ier),
		TEST(registers_keep_what_their_bits_can),
		TEST(iir_tells_of_the_fifo),
		TEST(a_wide_access_touches_one_register),
		TEST(an_empty_transmitter_is_told_once),
		TEST(out2_leads_the_line),
		TEST(the_most_urgent_reason_comes_first),
		TEST(masked_reasons_are_not_said),
		TEST(what_loops_does_not_leave),
		TEST(modem_lines_loop_with_their_changes),
		TEST(a_burst_costs_one_wake_up),
		TEST(a_slow_reader_costs_bytes_and_nothing_else),
		TEST(a_reader_that_is_gone_is_no_error),
		TEST(a_reader_that_leaves_a_full_pipe_is_no_error),
		TEST_OWN(without_output_bytes_vanish),
		TEST(stopping_gives_the_last_words_a_moment),
		TEST_OWN(a_descriptor_that_is_none_is_refused),
		/* Turns the log off. */
		TEST(a_hostile_driver_breaks_nothing),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
