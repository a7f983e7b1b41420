/*
 * How long clients of the API may take: for a request, for an answer, and after
 * an error, and that none of it costs another client anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/late.h"
#include "tests/unit/server_bench.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"

static int setup_with(void **state, uint64_t ms)
{
	int rc;

	patience_ms = ms;
	rc = server_bench_setup(state);
	patience_ms = 0;
	return rc;
}

static int setup(void **state)
{
	return setup_with(state, 100);
}

/* For a client that is to be in time: it may have to wait for a processor. */
static int setup_patient(void **state)
{
	return setup_with(state, 2000);
}

static uint64_t now_ms(void)
{
	return clock_now_ns() / 1000000;
}

static const char too_slow[] =
	"HTTP/1.1 400 \r\n"
	"Server: Firecracker API\r\n"
	"Connection: close\r\n"
	"Content-Type: application/json\r\n"
	"Content-Length: 77\r\n\r\n"
	"{\"fault_message\":\"The request was not complete 100 ms after its "
	"first byte.\"}";

static void a_request_has_to_end_in_time(void **state)
{
	uint64_t begin = now_ms();
	int fd = dial();

	(void)state;
	put(fd, get);
	put(fd, "PUT /boot-source HTTP/1.1\r\nContent-Length: 4\r\n\r\n{");
	expect(fd, got);
	expect(fd, too_slow);
	assert_in_range(now_ms() - begin, 99, LATE_MS);
	expect_end(fd);
	others_are_served();
}

static void bytes_that_trickle_buy_no_time(void **state)
{
	uint64_t begin = now_ms();
	int fd = dial();

	(void)state;
	while (now_ms() - begin < LATE_MS &&
	       send(fd, "G", 1, MSG_NOSIGNAL) == 1) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (poll(&p, 1, 10))
			break;
	}
	assert_in_range(now_ms() - begin, 99, LATE_MS);
	expect(fd, too_slow);
	expect_end(fd);
}

static void silence_between_requests_is_no_offence(void **state)
{
	int fd = dial(), i;

	(void)state;
	for (i = 0; i < 3; i++) {
		usleep(150000);
		put(fd, get);
		expect(fd, got);
	}
	close(fd);
}

/* Nor after one that came in pieces. */
static void the_time_of_a_request_ends_with_it(void **state)
{
	struct pollfd p = {.fd = dial(), .events = POLLIN};

	(void)state;
	put(p.fd, "GET /ver");
	others_are_served();
	put(p.fd, "sion HTTP/1.1\r\n\r\n");
	expect(p.fd, got);
	assert_int_equal(poll(&p, 1, 2500), 0);
	put(p.fd, get);
	expect(p.fd, got);
	close(p.fd);
}

/* Each request has its own time, however many come on one connection. */
static void a_busy_connection_is_not_cut(void **state)
{
	uint64_t begin = now_ms();
	int fd = dial();

	(void)state;
	put(fd, "GET /ver");
	while (now_ms() - begin < 3000) {
		usleep(20000);
		put(fd, "sion HTTP/1.1\r\n\r\nGET /ver");
		expect(fd, got);
	}
	close(fd);
}

static void an_answer_has_to_be_taken_in_time(void **state)
{
	uint64_t begin = now_ms();
	int fd = dial();
	struct pollfd p = {.fd = fd};

	(void)state;
	while (send(fd, get, strlen(get), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(poll(&p, 1, (int)LATE_MS), 1);
	assert_true(p.revents & POLLHUP);
	assert_in_range(now_ms() - begin, 99, LATE_MS);
	close(fd);
	others_are_served();
}

static void who_never_closes_after_an_error_is_closed(void **state)
{
	uint64_t begin = now_ms();
	int fd = dial();
	struct pollfd p = {.fd = fd};

	(void)state;
	put(fd, "SSH-2.0-OpenSSH\r\n\r\n");
	assert_int_equal(poll(&p, 1, (int)LATE_MS), 1);
	assert_true(p.revents & POLLHUP);
	assert_in_range(now_ms() - begin, 99, LATE_MS);
	close(fd);
}

/* One timer for all: each of many ends in its own time. */
static void many_slow_clients_end_each_in_its_time(void **state)
{
	struct pollfd p[SERVER_CONNECTIONS_MAX];
	uint64_t began[SERVER_CONNECTIONS_MAX];
	int i;

	(void)state;
	for (i = 0; i < SERVER_CONNECTIONS_MAX; i++) {
		p[i] = (struct pollfd){.fd = dial(), .events = POLLIN};
		began[i] = now_ms();
		put(p[i].fd, "GET");
		usleep(1000);
	}
	for (i = 0; i < SERVER_CONNECTIONS_MAX; i++) {
		assert_int_equal(poll(&p[i], 1, (int)LATE_MS), 1);
		assert_in_range(now_ms() - began[i], 99, LATE_MS);
		expect(p[i].fd, too_slow);
		expect_end(p[i].fd);
	}
	others_are_served();
}

int main(void)
{
#define TEST(name) \
	cmocka_unit_test_setup_teardown(name, setup, server_bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_request_has_to_end_in_time),
		TEST(bytes_that_trickle_buy_no_time),
		TEST(silence_between_requests_is_no_offence),
		cmocka_unit_test_setup_teardown(a_busy_connection_is_not_cut,
						setup_patient,
						server_bench_teardown),
		cmocka_unit_test_setup_teardown(
			the_time_of_a_request_ends_with_it, setup_patient,
			server_bench_teardown),
		TEST(an_answer_has_to_be_taken_in_time),
		TEST(who_never_closes_after_an_error_is_closed),
		TEST(many_slow_clients_end_each_in_its_time),
	};

	return cmocka_run_group_tests(tests, server_bench_make_folder,
				      server_bench_remove_folder);
}
