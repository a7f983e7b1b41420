/* The serial port that is saved and loaded: registers, input, interrupts. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/uart.h"
#include "tests/unit/fake_kvm.h"
#include "tests/unit/state_bench.h"
#include "tests/unit/uart_bench.h"
#include "vmm/base/log.h"

/* Where things lie in what is saved (uart_state.c). */
enum { AT_IER, AT_LCR, AT_MCR, AT_MSR, AT_FIFO = 7, AT_COUNT = 10, AT_IN };

/* Another port on the same pipes, that has seen nothing; same guest. */
static void renew(void)
{
	struct device *d;
	struct err e;

	fake_host_remove(&host);
	assert_int_equal(uart_new(&d, out_write, in_read, &e), 0);
	assert_int_equal(fake_host_add(&host, d, &e), 0);
	settle();
	edges();
}

static void registers_and_input_are_found_after(void **state)
{
	struct saved a, b;

	(void)state;
	put(IER, RX);
	put(LCR, 0x80);
	put(DATA, 0x12);
	put(IER, 0x34);
	put(LCR, 0x03);
	put(FCR, 1);
	put(MCR, DTR | OUT2);
	put(SCR, 0x5a);
	type("abc");
	assert_int_equal(get(DATA), 'a'); /* the ring does not begin at 0 */
	type("d");
	a = state_take(&host);
	renew();
	state_put(&host, &a);
	b = state_take(&host);
	state_expect_same(&a, &b);
	assert_int_equal(get(IER), RX);
	assert_int_equal(get(LCR), 0x03);
	assert_int_equal(get(MCR), DTR | OUT2);
	assert_int_equal(get(MSR) & 0xf0, CTS | DSR | DCD);
	assert_int_equal(get(SCR), 0x5a);
	assert_int_equal(get(IIR), 0xc0 | SAYS_RX);
	assert_int_equal(get(DATA), 'b');
	assert_int_equal(get(DATA), 'c');
	assert_int_equal(get(DATA), 'd');
	assert_int_equal(get(LSR) & 1, 0);
	put(LCR, 0x83);
	assert_int_equal(get(DATA), 0x12);
	assert_int_equal(get(IER), 0x34);
	put(LCR, 0x03);
	/* And it goes on. */
	type("e");
	assert_int_equal(get(DATA), 'e');
	send_text("out");
	expect_output("out");
	state_free(&a);
	state_free(&b);
}

static void an_interrupt_that_waits_is_raised_again(void **state)
{
	struct saved a;

	(void)state;
	put(MCR, OUT2);
	put(IER, RX | TX);
	get(IIR); /* what TX said at once */
	edges();
	type("x");
	assert_int_equal(edges(), 1);
	/* After a plain pause, */
	a = state_take(&host);
	assert_int_equal(edges(), 1);
	/* in another machine, */
	renew();
	state_put(&host, &a);
	assert_int_equal(edges(), 1);
	assert_int_equal(get(IIR), SAYS_RX);
	assert_int_equal(get(DATA), 'x');
	state_free(&a);
	/* and none where nothing waits. */
	a = state_take(&host);
	state_put(&host, &a);
	assert_int_equal(edges(), 0);
	state_free(&a);
	/* Linux waits for this one whenever it sends. */
	put(DATA, 'y');
	assert_int_equal(edges(), 1);
	a = state_take(&host);
	renew();
	state_put(&host, &a);
	assert_int_equal(edges(), 1);
	assert_int_equal(get(IIR), SAYS_TX);
	/* Not through OUT2. */
	state_free(&a);
	put(DATA, 'z');
	put(MCR, 0);
	edges();
	a = state_take(&host);
	renew();
	state_put(&host, &a);
	assert_int_equal(edges(), 0);
	put(MCR, OUT2);
	assert_int_equal(edges(), 1);
	state_free(&a);
}

static void output_is_written_once(void **state)
{
	char buf[16] = {0};
	struct saved a;

	(void)state;
	/* The loop had no turn yet, and has none before the save. */
	send_text("before");
	state_hold(&host);
	a = state_save(&host);
	assert_int_equal(read(out_read, buf, sizeof(buf)), 6);
	assert_string_equal(buf, "before");
	state_go_on(&host);
	expect_output("");
	send_text("after");
	state_hold(&host);
	assert_int_equal(state_load(&host, &a, &(struct err){0}), 0);
	state_go_on(&host);
	/* Said is said, also by what is discarded. */
	expect_output("after");
	renew();
	state_put(&host, &a);
	expect_output("");
	state_free(&a);
}

/* A reader that is slow keeps no save waiting, and loses nothing. */
static void output_that_waits_stays_with_who_took_it(void **state)
{
	static char buf[RING];
	struct saved a;
	size_t got = 0;
	ssize_t n;
	unsigned i;

	(void)state;
	for (i = 0; i < 3 * PIPE; i++)
		put(DATA, (uint8_t)('a' + i % 26));
	state_hold(&host);
	a = state_save(&host);
	assert_true(a.len < 100);
	state_put(&host, &a);
	while ((n = read(out_read, buf + got, sizeof(buf) - got)) > 0) {
		got += (size_t)n;
		settle();
	}
	assert_int_equal(got, 3 * PIPE);
	for (i = 0; i < 3 * PIPE; i++)
		assert_int_equal(buf[i], 'a' + i % 26);
	state_free(&a);
}

/* The guest that is loaded has room where the one before had none. */
static void reading_goes_on_where_there_is_room(void **state)
{
	struct saved a, full;
	unsigned i;

	(void)state;
	a = state_take(&host);
	for (i = 0; i < 2 * FIFO; i++)
		type("i");
	full = state_take(&host);
	assert_int_equal(full.data[AT_COUNT], FIFO);
	state_put(&host, &a);
	for (i = 0; i < FIFO; i++)
		assert_int_equal(get(DATA), 'i');
	settle();
	assert_int_equal(get(LSR) & 1, 0);
	/* And the other way round. */
	state_put(&host, &full);
	type("j");
	for (i = 0; i < FIFO; i++)
		assert_int_equal(get(DATA), 'i');
	settle();
	assert_int_equal(get(DATA), 'j');
	state_free(&a);
	state_free(&full);
}

static void registers_are_judged(void **state)
{
	static const struct {
		uint8_t at, value;
		const char *why;
	} bad[] = {
		{AT_IER, 0x10, "IER"},	   {AT_MCR, 0x20, "MCR"},
		{AT_MSR, 0x00, "MSR"},	   {AT_MSR, 0xf0, "MSR"},
		{AT_FIFO, 2, "yes or no"}, {AT_COUNT, FIFO + 1, "65 bytes"},
		{AT_COUNT, 255, "255"},
	};
	struct saved a;
	struct err e;
	unsigned i;

	(void)state;
	put(SCR, 7);
	a = state_take(&host);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const uint8_t before = a.data[bad[i].at];

		a.data[bad[i].at] = bad[i].value;
		state_hold(&host);
		assert_int_equal(state_load(&host, &a, &e), -EINVAL);
		if (!strstr(e.text, bad[i].why))
			fail_msg("\"%s\"", e.text);
		state_go_on(&host);
		assert_int_equal(get(SCR), 0); /* as after power-on */
		a.data[bad[i].at] = before;
	}
	state_put(&host, &a);
	assert_int_equal(get(SCR), 7);
	state_free(&a);
}

static void probe(void)
{
	put(LCR, 0);
	put(MCR, 0);
	put(IER, 0);
	put(FCR, 3);
	get(LSR);
	type("p");
	assert_int_equal(get(DATA), 'p');
	assert_int_equal(get(LSR), 0x60);
	put(DATA, 'q');
	expect_output("q");
}

static void any_bytes_are_survived(void **state)
{
	struct saved a;

	(void)state;
	put(IER, RX | TX);
	put(MCR, OUT2);
	type("typed");
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
	const struct CMUnitTest tests[] = {
		TEST(registers_and_input_are_found_after),
		TEST(an_interrupt_that_waits_is_raised_again),
		TEST(output_is_written_once),
		TEST(output_that_waits_stays_with_who_took_it),
		TEST(reading_goes_on_where_there_is_room),
		TEST(registers_are_judged),
		TEST(any_bytes_are_survived),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
