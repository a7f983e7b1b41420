/* A serial port in a machine of its own, for its tests. */
#include "tests/unit/uart_bench.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/uart.h"
#include "tests/unit/fake_kvm.h"
#include "vmm/base/fd.h"

struct fake_host host;
int out_read, out_write, in_read, in_write;

void uart_begin(int out_fd, int in_fd)
{
	struct device *d;
	struct err e;

	fake_host_open(&host);
	assert_int_equal(uart_new(&d, out_fd, in_fd, &e), 0);
	assert_int_equal(fake_host_add(&host, d, &e), 0);
	/* Input is for guests that have been here. */
	get(SCR);
	settle();
}

int uart_setup_pipes(void **state)
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

int uart_setup(void **state)
{
	uart_setup_pipes(state);
	uart_begin(out_write, in_read);
	return 0;
}

int uart_teardown(void **state)
{
	(void)state;
	fake_host_close(&host);
	fd_close(&out_read);
	fd_close(&out_write);
	fd_close(&in_read);
	fd_close(&in_write);
	return 0;
}

uint8_t get(unsigned reg)
{
	return fake_read8(&host, reg);
}

void put(unsigned reg, uint8_t value)
{
	fake_write8(&host, reg, value);
}

void settle(void)
{
	assert_true(fake_host_turn(&host, 64) < 64);
}

void send_text(const char *text)
{
	for (; *text; text++)
		put(DATA, (uint8_t)*text);
}

void expect_output(const char *text)
{
	char buf[64] = {0};

	settle();
	assert_true(read(out_read, buf, sizeof(buf) - 1) >= -1);
	assert_string_equal(buf, text);
}

void type(const char *text)
{
	assert_int_equal(write(in_write, text, strlen(text)), strlen(text));
	settle();
}

unsigned edges(void)
{
	return fake_kvm_take_edges();
}
