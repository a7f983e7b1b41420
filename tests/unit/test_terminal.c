/*
 * The serial port on a terminal, whose other end is a person: it may be slow,
 * stop reading for good, and type at any moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/uart.h"
#include "tests/unit/fake_driver.h"
#include "tests/unit/fake_kvm.h"
#include "vmm/base/fd.h"

enum { DATA, IER, IIR, LCR, MCR, LSR };
enum { IER_RX = 1, IER_TX = 2, OUT2 = 8, SAYS_TX = 2, SAYS_RX = 4 };
enum { RING = 64 * 1024 };

static struct fake_host host;
static int person, terminal; /* both ends of a pseudo-terminal */

static int setup(void **state)
{
	struct termios raw;
	struct device *d;
	struct err e;

	(void)state;
	person = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(person >= 0);
	assert_int_equal(grantpt(person) | unlockpt(person), 0);
	terminal = open(ptsname(person), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(terminal >= 0);
	assert_int_equal(tcgetattr(terminal, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(terminal, TCSANOW, &raw), 0);
	fake_host_open(&host);
	assert_int_equal(uart_new(&d, terminal, terminal, &e), 0);
	return fake_host_add(&host, d, &e);
}

static int teardown(void **state)
{
	(void)state;
	fake_host_close(&host);
	fd_close(&person);
	fd_close(&terminal);
	return 0;
}

static void settle(void)
{
	assert_true(fake_host_turn(&host, 64) < 64);
}

static void send(unsigned count)
{
	while (count--)
		fake_write8(&host, DATA, 'x');
}

/* Bytes pass a terminal in a kernel thread's time: wait until they are there.
 */
static bool is_there(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 100) > 0 && p.revents & POLLIN;
}

static void type(const char *text)
{
	assert_int_equal(write(person, text, strlen(text)), strlen(text));
	assert_true(is_there(terminal));
	settle();
}

/* What the person sees until nothing comes any more. */
static size_t read_all(void)
{
	char buf[4096];
	size_t total = 0;
	ssize_t n;

	while (is_there(person) && (n = read(person, buf, sizeof(buf))) > 0)
		total += (size_t)n;
	return total;
}

/*
 * A terminal says that it has room when there is a byte of it, and a blocking
 * write of more would then wait. The alarm ends this test if we do.
 */
static void a_terminal_that_stops_reading_holds_nobody(void **state)
{
	size_t seen = 0, before;

	(void)state;
	alarm(10);
	for (int i = 0; i < 40; i++) {
		send(5000);
		settle();
	}
	/* What was not dropped arrives when the person reads again. */
	do {
		before = seen;
		seen += read_all();
		settle();
	} while (seen != before);
	assert_true(seen >= RING);
	assert_true(seen < 40 * 5000);
	send(3);
	settle();
	assert_int_equal(read_all(), 3);
	alarm(0);
}

static void our_flags_are_not_the_terminal_s(void **state)
{
	(void)state;
	send(1);
	settle();
	assert_false(fcntl(terminal, F_GETFL) & O_NONBLOCK);
}

static void what_is_typed_is_heard_while_the_transmitter_waits(void **state)
{
	(void)state;
	fake_write8(&host, MCR, OUT2);
	fake_write8(&host, IER, IER_RX | IER_TX);
	assert_int_equal(fake_kvm_take_edges(), 1); /* it is empty */
	type("y");
	assert_int_equal(fake_kvm_take_edges(), 1);
	assert_int_equal(fake_read8(&host, IIR), SAYS_RX);
	assert_int_equal(fake_read8(&host, DATA), 'y');
	assert_int_equal(fake_read8(&host, IIR), SAYS_TX);
	/* And the other way round. */
	type("z");
	assert_int_equal(fake_kvm_take_edges(), 1);
	send(1);
	assert_int_equal(fake_kvm_take_edges(), 1);
}

static void *slow_person(void *arg)
{
	const struct timespec nap = {.tv_nsec = 10 * 1000 * 1000};
	size_t *seen = arg;

	nanosleep(&nap, NULL);
	*seen = read_all();
	return NULL;
}

/* What the person sees after a stop, with or without looking during it. */
static size_t last_words(bool is_looking)
{
	size_t seen = 0;
	pthread_t thread;

	for (int i = 0; i < 40; i++) {
		send(5000);
		settle();
	}
	if (is_looking)
		assert_int_equal(
			pthread_create(&thread, NULL, slow_person, &seen), 0);
	host.device->ops->stop(host.device);
	if (is_looking)
		pthread_join(thread, NULL);
	else
		seen = read_all();
	return seen;
}

static void last_words_wait_for_a_slow_reader(void **state)
{
	size_t most = 0, held;

	(void)state;
	held = last_words(false);
	/* A person who is not given the processor meanwhile proves nothing. */
	for (int i = 0; i < 5 && most < held + RING / 2; i++)
		most = last_words(true);
	assert_true(most >= held + RING / 2);
}

static void a_terminal_that_is_gone_is_no_error(void **state)
{
	(void)state;
	fd_close(&person);
	send(100);
	settle();
	send(100);
	settle();
	assert_int_equal(fake_read8(&host, LSR) & 1, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_terminal_that_stops_reading_holds_nobody),
		TEST(our_flags_are_not_the_terminal_s),
		TEST(what_is_typed_is_heard_while_the_transmitter_waits),
		TEST(last_words_wait_for_a_slow_reader),
		TEST(a_terminal_that_is_gone_is_no_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
