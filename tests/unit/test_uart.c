/* The 16550A: what Linux's driver relies on, and readers that don't read. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/uart.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/fake_kvm.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR, FCR = IIR };
enum { RX = 1, TX = 2, LINE = 4, MODEM = 8 }; /* IER */
enum { SAYS_MODEM = 0, SAYS_NONE = 1, SAYS_TX = 2, SAYS_RX = 4, SAYS_LINE = 6 };
enum { DTR = 1, RTS = 2, OUT1 = 4, OUT2 = 8, LOOP = 16 }; /* MCR */
enum { CTS = 0x10, DSR = 0x20, RI = 0x40, DCD = 0x80 };	  /* MSR */
enum { FIFO = 64, RING = 64 * 1024, PIPE = 4096 };

static struct fake_host host;
static int out_read, out_write, in_read, in_write;

static void begin(int out_fd, int in_fd)
{
	struct device *d;
	struct err e;

	fake_host_open(&host);
	assert_int_equal(uart_new(&d, out_fd, in_fd, &e), 0);
	assert_int_equal(fake_host_add(&host, d, &e), 0);
}

static int setup_pipes(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	out_read = fds[0];
	out_write = fds[1];
	assert_true(fcntl(out_read, F_SETFL, O_NONBLOCK) == 0);
	assert_int_equal(fcntl(out_write, F_SETPIPE_SZ, PIPE), PIPE);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	in_read = fds[0];
	in_write = fds[1];
	return 0;
}

static int setup(void **state)
{
	setup_pipes(state);
	begin(out_write, in_read);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_host_close(&host);
	fd_close(&out_read);
	fd_close(&out_write);
	fd_close(&in_read);
	fd_close(&in_write);
	return 0;
}

static uint8_t get(unsigned reg)
{
	return fake_read8(&host, reg);
}

static void put(unsigned reg, uint8_t value)
{
	fake_write8(&host, reg, value);
}

static void settle(void)
{
	assert_true(fake_host_turn(&host, 64) < 64);
}

static void send_text(const char *text)
{
	for (; *text; text++)
		put(DATA, (uint8_t)*text);
}

static void expect_output(const char *text)
{
	char buf[64] = {0};

	settle();
	assert_true(read(out_read, buf, sizeof(buf) - 1) >= -1);
	assert_string_equal(buf, text);
}

static void type(const char *text)
{
	assert_int_equal(write(in_write, text, strlen(text)), strlen(text));
	settle();
}

static unsigned edges(void)
{
	return fake_kvm_take_edges();
}

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
	begin(-1, -1);
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

/* ---- input -------------------------------------------------------------- */

static void input_arrives_with_an_interrupt(void **state)
{
	(void)state;
	put(MCR, OUT2);
	put(IER, RX);
	type("ab");
	assert_int_equal(edges(), 1);
	assert_int_equal(get(LSR), 0x61);
	assert_int_equal(get(IIR), SAYS_RX);
	assert_int_equal(get(DATA), 'a');
	/* News, though the old has not been read yet. */
	type("c");
	assert_int_equal(edges(), 1);
	assert_int_equal(get(DATA), 'b');
	assert_int_equal(get(DATA), 'c');
	assert_int_equal(get(DATA), 0);
	assert_int_equal(get(IIR), SAYS_NONE);
	assert_int_equal(edges(), 0);
}

static void input_waits_for_who_listens_later(void **state)
{
	(void)state;
	type("early");
	assert_int_equal(edges(), 0);
	put(MCR, OUT2);
	assert_int_equal(edges(), 0);
	put(IER, RX);
	assert_int_equal(edges(), 1);
	assert_int_equal(get(DATA), 'e');
}

/* Reads all there is, as a guest that polls; returns how much. */
static unsigned read_numbers(unsigned from)
{
	while (get(LSR) & 1) {
		assert_int_equal(get(DATA), from % 251);
		from++;
		settle();
	}
	return from;
}

static void more_input_than_the_fifo_holds_waits_outside(void **state)
{
	uint8_t numbers[1000];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(numbers); i++)
		numbers[i] = (uint8_t)(i % 251);
	assert_int_equal(write(in_write, numbers, sizeof(numbers)),
			 sizeof(numbers));
	/* A full FIFO doesn't keep the loop busy. */
	settle();
	assert_int_equal(read_numbers(0), sizeof(numbers));
	type("x");
	assert_int_equal(get(DATA), 'x');
}

static void clearing_the_fifo_lets_input_go_on(void **state)
{
	uint8_t many[FIFO];

	(void)state;
	memset(many, 'a', sizeof(many));
	assert_int_equal(write(in_write, many, sizeof(many)), sizeof(many));
	settle();
	put(FCR, 2);
	assert_int_equal(get(LSR), 0x60);
	settle();
	type("b");
	assert_int_equal(get(DATA), 'b');
}

static void the_end_of_input_is_the_end(void **state)
{
	(void)state;
	assert_int_equal(write(in_write, "bye", 3), 3);
	fd_close(&in_write);
	settle();
	assert_int_equal(get(DATA), 'b');
	assert_int_equal(get(DATA), 'y');
	assert_int_equal(get(DATA), 'e');
	settle();
	assert_int_equal(get(LSR), 0x60);
	send_text("still here");
	expect_output("still here");
}

static void input_may_be_a_file(void **state)
{
	uint8_t numbers[300];
	CLEAN_FD int fd = memfd_create("input", MFD_CLOEXEC);
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(numbers); i++)
		numbers[i] = (uint8_t)(i % 251);
	assert_int_equal(write(fd, numbers, sizeof(numbers)), sizeof(numbers));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	begin(out_write, fd);
	settle();
	assert_int_equal(read_numbers(0), sizeof(numbers));
	fake_host_close(&host); /* before fd is */
	fake_host_open(&host);
}

static void both_ways_may_be_one_descriptor(void **state)
{
	char buf[8] = {0};
	int fds[2];

	(void)state;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	begin(fds[0], fds[0]);
	assert_int_equal(write(fds[1], "in", 2), 2);
	settle();
	assert_int_equal(get(DATA), 'i');
	assert_int_equal(get(DATA), 'n');
	send_text("out");
	settle();
	assert_int_equal(read(fds[1], buf, sizeof(buf)), 3);
	assert_string_equal(buf, "out");
	close(fds[1]);
	settle();
	close(fds[0]);
}

static void a_descriptor_that_is_none_is_refused(void **state)
{
	struct device *d;
	struct err e = {0};

	(void)state;
	fake_host_open(&host);
	assert_int_equal(uart_new(&d, 1 << 20, -1, &e), -EBADF);
	assert_true(e.text[0]);
}

static void a_line_that_can_not_be_made_stops_the_start(void **state)
{
	struct device *d;
	struct err e = {0};

	(void)state;
	fake_host_open(&host);
	assert_int_equal(uart_new(&d, out_write, in_read, &e), 0);
	fake_kvm.fail_irq = true;
	assert_int_equal(fake_host_add(&host, d, &e), -ENOSPC);
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

#define TEST(f)	    cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TEST_OWN(f) cmocka_unit_test_setup_teardown(f, setup_pipes, teardown)

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
		TEST(input_arrives_with_an_interrupt),
		TEST(input_waits_for_who_listens_later),
		TEST(more_input_than_the_fifo_holds_waits_outside),
		TEST(clearing_the_fifo_lets_input_go_on),
		TEST(the_end_of_input_is_the_end),
		TEST_OWN(input_may_be_a_file),
		TEST_OWN(both_ways_may_be_one_descriptor),
		TEST_OWN(a_descriptor_that_is_none_is_refused),
		TEST_OWN(a_line_that_can_not_be_made_stops_the_start),
		/* Turns the log off. */
		TEST(a_hostile_driver_breaks_nothing),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
