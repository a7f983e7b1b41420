/*
 * The serial port's output into a file that takes its time: the loop does not
 * wait for it, and nothing is lost but what does not fit.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/uart_device.h"
#include "tests/unit/uart_bench.h"
#include "vmm/base/clock.h"

/* ---- devices/uart_sink.h, without a file ---------------------------------
 */

enum { ROOM = 1 << 20, PIECE = 4096 };

static struct {
	_Atomic bool may_wait;
	bool turns_slow; /* the next write is slow, and all after it wait */
	_Atomic bool is_stuck;
	_Atomic unsigned stuck; /* who writes meanwhile */
	_Atomic bool was_impatient;
	_Atomic bool fails;
	_Atomic size_t bytes;
	uint8_t text[ROOM];
	pthread_t writer;
} file;

int uart_sink_open(struct uart_sink *s, int fd, struct err *e)
{
	(void)e;
	*s = (struct uart_sink){.fd = fd};
	return 0;
}

void uart_sink_bound(struct uart_sink *s)
{
	(void)s;
}

void uart_sink_close(struct uart_sink *s)
{
	s->fd = -1;
}

bool uart_sink_may_wait(struct uart_sink *s)
{
	(void)s;
	return file.may_wait;
}

ssize_t uart_sink_write(struct uart_sink *s, const void *bytes, size_t len)
{
	const uint64_t end = clock_now_ns() + 5000000000ULL;

	(void)s;
	file.writer = pthread_self();
	file.stuck++;
	while (file.is_stuck && clock_now_ns() < end)
		clock_rest();
	if (file.is_stuck)
		file.was_impatient = true;
	file.stuck--;
	if (file.fails)
		return -EIO;
	len = len < PIECE ? len : PIECE;
	assert_true(file.bytes + len <= ROOM);
	memcpy(file.text + file.bytes, bytes, len);
	file.bytes += len;
	if (file.turns_slow)
		file.may_wait = true;
	return (ssize_t)len;
}

/* ---- a port on it ---------------------------------------------------------
 */

static struct uart *port(void)
{
	return (struct uart *)host.device;
}

static int setup(void **state)
{
	(void)state;
	memset(&file, 0, sizeof(file));
	file.may_wait = true;
	uart_begin(1, -1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	file.is_stuck = false;
	fake_host_close(&host);
	return 0;
}

static bool is_idle(void)
{
	bool is;

	mutex_lock(&host.device->lock);
	is = !port()->out_worker.in_flight &&
	     port()->out_read == port()->out_written;
	mutex_unlock(&host.device->lock);
	return is;
}

static void await_idle(void)
{
	while (!is_idle()) {
		settle();
		clock_rest();
	}
}

static uint8_t byte_at(size_t at)
{
	return (uint8_t)(at * 7 + at / 251);
}

/* Bytes from number at on; the loop has its turn now and then. */
static void say(size_t at, size_t count)
{
	size_t i;

	for (i = at; i < at + count; i++) {
		put(DATA, byte_at(i));
		if (i % 64 == 63)
			settle();
	}
	settle();
}

static void expect_said(size_t from, size_t at, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (file.text[from + i] != byte_at(at + i))
			fail_msg("byte %zu is %u", from + i,
				 file.text[from + i]);
}

static void become_stuck(void)
{
	file.is_stuck = true;
	say(0, 1);
	while (!file.stuck && !file.was_impatient)
		clock_rest();
	/* Here the loop goes on: whoever waits is somebody else. */
	assert_false(file.was_impatient);
}

static void the_loop_goes_on_while_a_file_is_stuck(void **state)
{
	(void)state;
	become_stuck();
	/* The ring takes so much, and no more; the guest never waits. */
	say(1, RING + 1000);
	assert_int_equal(file.bytes, 0);
	assert_int_equal(port()->dropped, 1001);
	assert_true(host.device->ops->hold(host.device));
	host.device->ops->release(host.device);
	file.is_stuck = false;
	await_idle();
	assert_int_equal(file.bytes, RING);
	expect_said(0, 0, RING);
	assert_false(pthread_equal(file.writer, pthread_self()));
	/* And it goes on from there. */
	say(5, 300);
	await_idle();
	assert_int_equal(file.bytes, RING + 300);
	expect_said(RING, 5, 300);
	assert_false(file.was_impatient);
}

/* What comes just when the writer has had all is not left behind. */
static void nothing_is_left_behind(void **state)
{
	size_t at = 0;
	unsigned i;

	(void)state;
	for (i = 0; i < 3000; i++) {
		const size_t count = 1 + i % 97;

		say(at, count);
		at += count;
		if (i % 7 == 0)
			await_idle();
	}
	await_idle();
	assert_int_equal(file.bytes, at);
	expect_said(0, 0, at);
	assert_int_equal(port()->dropped, 0);
}

static void a_file_that_turns_slow_gets_a_thread(void **state)
{
	(void)state;
	file.may_wait = false;
	say(0, 10);
	assert_int_equal(file.bytes, 10);
	assert_true(pthread_equal(file.writer, pthread_self()));
	assert_false(port()->out_worker.is_started);
	file.turns_slow = true;
	say(10, 3 * PIECE);
	await_idle();
	assert_false(pthread_equal(file.writer, pthread_self()));
	assert_int_equal(file.bytes, 10 + 3 * PIECE);
	expect_said(0, 0, 10 + 3 * PIECE);
}

static void what_cannot_be_written_is_dropped(void **state)
{
	(void)state;
	file.fails = true;
	say(0, 500);
	await_idle();
	assert_int_equal(file.bytes, 0);
	assert_int_equal(port()->dropped, 500);
}

static void the_last_words_are_waited_for_briefly(void **state)
{
	uint64_t begin;

	(void)state;
	become_stuck();
	begin = clock_now_ns();
	assert_false(host.device->ops->stop(host.device));
	assert_in_range(clock_now_ns() - begin, 90000000, 4000000000);
	assert_true(file.stuck);
	file.is_stuck = false;
	say(1, 100);
	assert_true(host.device->ops->stop(host.device));
	assert_int_equal(file.bytes, 101);
	expect_said(0, 0, 101);
}

#undef TEST
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_loop_goes_on_while_a_file_is_stuck),
		TEST(nothing_is_left_behind),
		TEST(a_file_that_turns_slow_gets_a_thread),
		TEST(what_cannot_be_written_is_dropped),
		TEST(the_last_words_are_waited_for_briefly),
	};

	return cmocka_run_group_tests_name("uart_out", tests, NULL, NULL);
}
