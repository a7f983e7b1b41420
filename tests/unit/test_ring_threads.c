/* The ring between two threads that sleep as often as they may. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "tests/unit/ring_bench.h"
#include "vmm/base/fd.h"

enum { THREADED = 100000, PATIENCE_MS = 5000 };

static int kick_fd, irq_fd;
static _Atomic bool is_over;

/* Sleeps until somebody raises fd; false where nobody does. */
static bool sleep_on(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (poll(&p, 1, PATIENCE_MS) <= 0)
		return false;
	fd_event_take(fd);
	return true;
}

static void *device_thread(void *arg)
{
	(void)arg;
	while (!is_over && sleep_on(kick_fd)) {
		do {
			vq_disable_kicks(&vq);
			while (vq_pop(&vq, &chain) > 0)
				vq_push(&vq, chain.head, chain.head);
			if (vq_must_notify(&vq))
				fd_event_raise(irq_fd);
		} while (vq_enable_kicks(&vq));
	}
	return NULL;
}

/* Asks for an interrupt at the next entry; true where it is there already. */
static bool ask_for_interrupt(bool event_idx)
{
	if (event_idx)
		set_used_event(q.used_idx);
	else
		set_avail_flags(0);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return used_idx() != q.used_idx;
}

/*
 * Both sides sleep as often as they may, so a wake-up that is lost, on either
 * side, is a sleep for ever.
 */
static void run_threads(bool event_idx)
{
	unsigned offered = 0, taken = 0;
	uint32_t head, len;
	pthread_t thread;

	begin_with(SIZE, event_idx, false);
	for (uint16_t i = 0; i < SIZE; i++)
		fake_ring_desc(&q, i, BUFFERS, 1, FAKE_WRITE, 0);
	is_over = false;
	kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(pthread_create(&thread, NULL, device_thread, NULL), 0);
	while (taken < THREADED) {
		uint16_t old = q.avail_idx;

		while (offered < THREADED && offered - taken < 1 + taken % SIZE)
			fake_ring_offer(&q, (uint16_t)(offered++ % SIZE));
		if (old != q.avail_idx && must_kick(old, event_idx))
			fd_event_raise(kick_fd);
		if (!ask_for_interrupt(event_idx))
			assert_true(sleep_on(irq_fd));
		set_avail_flags(1);
		while (fake_ring_take(&q, &head, &len))
			assert_int_equal(head, taken++ % SIZE);
	}
	is_over = true;
	fd_event_raise(kick_fd);
	pthread_join(thread, NULL);
	assert_int_equal(faults, 0);
	fd_close(&kick_fd);
	fd_close(&irq_fd);
}

static void two_threads_lose_no_wake_up_with_event_idx(void **state)
{
	(void)state;
	run_threads(true);
}

static void two_threads_lose_no_wake_up_with_flags(void **state)
{
	(void)state;
	run_threads(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_threads_lose_no_wake_up_with_event_idx),
		cmocka_unit_test(two_threads_lose_no_wake_up_with_flags),
	};

	return cmocka_run_group_tests(tests, bench_setup, bench_teardown);
}
