/* The 16550A's input: from a terminal, a file, a socket, and to its end. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/uart.h"
#include "tests/unit/uart_bench.h"
#include "vmm/base/fd.h"

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

/* Bytes stay where they are, and the loop has nothing to watch. */
static void input_stays_outside_until_the_guest_comes(void **state)
{
	struct device *d;
	char bytes[8];
	struct err e;

	(void)state;
	fake_host_open(&host);
	assert_int_equal(uart_new(&d, out_write, in_read, &e), 0);
	assert_int_equal(fake_host_add(&host, d, &e), 0);
	type("not ours");
	assert_int_equal(read(in_read, bytes, sizeof(bytes)), sizeof(bytes));
	type("ours");
	assert_int_equal(get(LSR), 0x60);
	settle();
	assert_int_equal(get(LSR), 0x61);
	assert_int_equal(get(DATA), 'o');
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
	uart_begin(out_write, fd);
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
	uart_begin(fds[0], fds[0]);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(input_arrives_with_an_interrupt),
		TEST_OWN(input_stays_outside_until_the_guest_comes),
		TEST(input_waits_for_who_listens_later),
		TEST(more_input_than_the_fifo_holds_waits_outside),
		TEST(clearing_the_fifo_lets_input_go_on),
		TEST(the_end_of_input_is_the_end),
		TEST_OWN(input_may_be_a_file),
		TEST_OWN(both_ways_may_be_one_descriptor),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
