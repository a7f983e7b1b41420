/* A server in a thread of its own, and clients that say what they think. */
#include "tests/unit/server_bench.h"

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

#include "vmm/base/log.h"

const char get[] = "GET /version HTTP/1.1\r\n\r\n";
const char got[] = "HTTP/1.1 200 \r\n"
		   "Server: Firecracker API\r\n"
		   "Connection: keep-alive\r\n"
		   "Content-Type: application/json\r\n"
		   "Content-Length: 32\r\n\r\n"
		   "{\"firecracker_version\":\"1.17.0\"}";

static char folder[] = "/tmp/test_server.XXXXXX";
char path[64];
struct loop loop;
struct controller controller;
struct server server;
static struct loop_watch stopper;
static int stop_pipe[2];
static pthread_t thread;

static void stop_ready(struct loop_watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	loop_stop(&loop);
}

static void *run(void *unused)
{
	struct err e;

	(void)unused;
	loop_run(&loop, &e);
	return NULL;
}

/* The server's patience for a test, 0 for what it has by itself. */
uint64_t patience_ms;

int server_bench_setup(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(loop_open(&loop, &e), 0);
	memset(&controller, 0, sizeof(controller));
	controller_init(&controller, &loop, "test", controller_collect);
	assert_int_equal(
		server_open(&server, &loop, &controller, path, LIMIT, &e), 0);
	assert_int_equal(server.patience_ns, 10000000000ULL);
	if (patience_ms)
		server.patience_ns = patience_ms * 1000000;
	assert_int_equal(pipe2(stop_pipe, O_CLOEXEC), 0);
	stopper = (struct loop_watch){.fd = -1, .ready = stop_ready};
	assert_int_equal(loop_add(&loop, &stopper, stop_pipe[0], EPOLLIN, &e),
			 0);
	assert_int_equal(pthread_create(&thread, NULL, run, NULL), 0);
	return 0;
}

int server_bench_teardown(void **state)
{
	(void)state;
	close(stop_pipe[1]);
	pthread_join(thread, NULL);
	loop_delete(&loop, &stopper);
	close(stop_pipe[0]);
	server_close(&server);
	controller_fini(&controller);
	loop_close(&loop);
	assert_int_not_equal(access(path, F_OK), 0);
	return 0;
}

int dial(void)
{
	const struct timeval patience = {.tv_sec = 60};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(address.sun_path, path, strlen(path));
	assert_int_equal(
		connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

void put(int fd, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

/* Reads exactly the given bytes. */
void expect(int fd, const char *text)
{
	const size_t len = strlen(text);
	char buf[4096];
	size_t at = 0;

	assert_true(len < sizeof(buf));
	while (at < len) {
		ssize_t n = recv(fd, buf + at, len - at, 0);

		if (n <= 0)
			fail_msg("ended after %zu bytes: %.*s", at, (int)at,
				 buf);
		at += (size_t)n;
	}
	buf[len] = '\0';
	assert_string_equal(buf, text);
}

bool has_ended(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

void expect_end(int fd)
{
	assert_true(has_ended(fd));
	close(fd);
}

/* A well-behaved client is served, whatever else is going on. */
void others_are_served(void)
{
	int fd = dial();

	put(fd, get);
	expect(fd, got);
	close(fd);
}

int server_bench_make_folder(void **state)
{
	(void)state;
	/* The warnings are expected here, and nothing for a person to see. */
	assert_int_equal(
		log_configure(&(struct log_config){.level = LOG_OFF}, NULL), 0);
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/s", folder);
	return 0;
}

int server_bench_remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}
