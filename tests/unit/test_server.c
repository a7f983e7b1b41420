/*
 * The API's socket with real clients: the server runs in a thread of its own,
 * the clients here. No client, however slow or rude, may keep another waiting.
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

#include "api/server.h"
#include "tests/unit/fake_machine.h"
#include "vmm/base/log.h"

enum { LIMIT = 1000 };

static const char get[] = "GET /version HTTP/1.1\r\n\r\n";
static const char got[] = "HTTP/1.1 200 \r\n"
			  "Server: Firecracker API\r\n"
			  "Connection: keep-alive\r\n"
			  "Content-Type: application/json\r\n"
			  "Content-Length: 32\r\n\r\n"
			  "{\"firecracker_version\":\"1.17.0\"}";

static char folder[] = "/tmp/test_server.XXXXXX";
static char path[64];
static struct loop loop;
static struct controller controller;
static struct server server;
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
static uint64_t patience_ms;

static int setup(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(loop_open(&loop, &e), 0);
	controller_init(&controller, &loop, "test");
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

static int impatient_setup(void **state)
{
	int rc;

	patience_ms = 100;
	rc = setup(state);
	patience_ms = 0;
	return rc;
}

static int teardown(void **state)
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

static int dial(void)
{
	const struct timeval patience = {.tv_sec = 5};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(address.sun_path, path, strlen(path));
	assert_int_equal(
		connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static void put(int fd, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

/* Reads exactly the given bytes. */
static void expect(int fd, const char *text)
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

static bool has_ended(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void expect_end(int fd)
{
	assert_true(has_ended(fd));
	close(fd);
}

/* A well-behaved client is served, whatever else is going on. */
static void others_are_served(void)
{
	int fd = dial();

	put(fd, get);
	expect(fd, got);
	close(fd);
}

static void requests_are_answered_one_after_the_other(void **state)
{
	int fd = dial(), i;

	(void)state;
	for (i = 0; i < 100; i++) {
		put(fd, get);
		expect(fd, got);
	}
	put(fd, "PUT /boot-source HTTP/1.1\r\nContent-Length: 25\r\n\r\n"
		"{\"kernel_image_path\":\"x\"} ");
	expect(fd, "HTTP/1.1 204 \r\nServer: Firecracker API\r\n"
		   "Connection: keep-alive\r\n\r\n");
	close(fd);
}

static void requests_sent_ahead_are_answered_in_order(void **state)
{
	int fd = dial(), i;

	(void)state;
	for (i = 0; i < 100; i++)
		put(fd, get);
	put(fd, "GET /x HTTP/1.1\r\n\r\n");
	for (i = 0; i < 100; i++)
		expect(fd, got);
	expect(fd, "HTTP/1.1 400 \r\n");
	close(fd);
}

static void requests_may_trickle_in(void **state)
{
	int fd = dial();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(get) - 1; i++) {
		assert_int_equal(send(fd, get + i, 1, 0), 1);
		if (i % 5 == 0)
			others_are_served();
	}
	expect(fd, got);
	close(fd);
}

static void a_client_that_stops_writing_gets_its_answers(void **state)
{
	int fd = dial();

	(void)state;
	put(fd, get);
	put(fd, get);
	shutdown(fd, SHUT_WR);
	expect(fd, got);
	expect(fd, got);
	expect_end(fd);
	/* In the middle of a request there is nothing to answer. */
	fd = dial();
	put(fd, "GET / HT");
	shutdown(fd, SHUT_WR);
	expect_end(fd);
}

static void metrics_are_plain_text(void **state)
{
	int fd = dial();

	(void)state;
	put(fd, "GET /metrics HTTP/1.1\r\n\r\n");
	expect(fd, "HTTP/1.1 200 \r\nServer: Firecracker API\r\n"
		   "Connection: keep-alive\r\n"
		   "Content-Type: text/plain; version=0.0.4\r\n"
		   "Content-Length: ");
	close(fd);
}

static void connections_close_when_asked(void **state)
{
	int fd = dial();

	(void)state;
	put(fd, "GET /version HTTP/1.1\r\nConnection: close\r\n\r\n");
	expect(fd, "HTTP/1.1 200 \r\nServer: Firecracker API\r\n"
		   "Connection: close\r\n"
		   "Content-Type: application/json\r\n"
		   "Content-Length: 32\r\n\r\n"
		   "{\"firecracker_version\":\"1.17.0\"}");
	expect_end(fd);
}

static void a_continue_is_sent_where_it_is_awaited(void **state)
{
	int fd = dial();

	(void)state;
	put(fd, "PUT /boot-source HTTP/1.1\r\nContent-Length: 2\r\n"
		"Expect: 100-continue\r\n\r\n");
	expect(fd, "HTTP/1.1 100 \r\nServer: Firecracker API\r\n"
		   "Connection: keep-alive\r\n\r\n");
	put(fd, "{}");
	expect(fd, "HTTP/1.1 400 \r\n");
	close(fd);
}

/* The form that one client compares byte for byte. */
static const char too_large[] =
	"HTTP/1.1 400 \r\n"
	"Server: Firecracker API\r\n"
	"Connection: keep-alive\r\n"
	"Content-Type: application/json\r\n"
	"Content-Length: 149\r\n\r\n"
	"{ \"error\": \"Request payload with size 200000 is larger than the "
	"limit of 1000 allowed by server.\nAll previous unanswered requests "
	"will be dropped.\" }";

static void a_large_body_is_refused_in_the_known_form(void **state)
{
	static char body[200001];
	int fd = dial();

	(void)state;
	put(fd, get);
	put(fd, "PUT /boot-source HTTP/1.1\r\nContent-Length: 200000\r\n\r\n");
	expect(fd, got);
	expect(fd, too_large);
	/* What it goes on sending hurts nobody. */
	memset(body, 'x', sizeof(body) - 1);
	put(fd, body);
	others_are_served();
	expect_end(fd);
	/* Written whole before anything is read, the answer is there. */
	fd = dial();
	put(fd, "PUT /boot-source HTTP/1.1\r\nContent-Length: 200000\r\n\r\n");
	put(fd, body);
	expect(fd, too_large);
	expect_end(fd);
}

static void what_is_not_http_is_refused_and_ended(void **state)
{
	int fd = dial();

	(void)state;
	put(fd, "SSH-2.0-OpenSSH\r\n\r\n");
	expect(fd, "HTTP/1.1 400 \r\nServer: Firecracker API\r\n"
		   "Connection: close\r\n");
	others_are_served();
	close(fd);
}

/* Sends requests without end and reads nothing. */
static void a_client_that_never_reads_is_not_read_from(void **state)
{
	int fd = dial(), sent = 0;
	char byte;

	(void)state;
	while (send(fd, get, sizeof(get) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		sent++;
	assert_int_equal(errno, EAGAIN);
	usleep(50000);
	others_are_served();
	/* Whole again once it reads. */
	assert_int_equal(recv(fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 'H');
	expect(fd, got + 1);
	assert_true(sent > 100);
	expect(fd, got);
	close(fd);
}

static void the_silent_longest_gives_way(void **state)
{
	int fds[SERVER_CONNECTIONS_MAX + 8], i;

	(void)state;
	for (i = 0; i < SERVER_CONNECTIONS_MAX + 8; i++) {
		fds[i] = dial();
		put(fds[i], i % 2 ? "GET" : "");
		/* The first one keeps talking, and so stays. */
		put(fds[0], get);
		expect(fds[0], got);
	}
	others_are_served();
	put(fds[0], get);
	expect(fds[0], got);
	expect_end(fds[1]);
	close(fds[0]);
	for (i = 2; i < SERVER_CONNECTIONS_MAX + 8; i++)
		close(fds[i]);
}

static uint64_t now_ms(void)
{
	return loop_now_ns() / 1000000;
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
	assert_in_range(now_ms() - begin, 99, 2000);
	expect_end(fd);
	others_are_served();
}

static void bytes_that_trickle_buy_no_time(void **state)
{
	uint64_t begin = now_ms();
	int fd = dial();

	(void)state;
	while (now_ms() - begin < 5000 && send(fd, "G", 1, MSG_NOSIGNAL) == 1) {
		struct pollfd p = {.fd = fd, .events = POLLIN};

		if (poll(&p, 1, 10))
			break;
	}
	assert_in_range(now_ms() - begin, 99, 2000);
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

/* Each request has its own time, however many come on one connection. */
static void a_busy_connection_is_not_cut(void **state)
{
	uint64_t begin = now_ms();
	int fd = dial();

	(void)state;
	put(fd, "GET /ver");
	while (now_ms() - begin < 400) {
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
	while (send(fd, get, sizeof(get) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_true(p.revents & POLLHUP);
	assert_in_range(now_ms() - begin, 99, 2000);
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
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_true(p.revents & POLLHUP);
	assert_in_range(now_ms() - begin, 99, 2000);
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
		put(p[i].fd, "GET");
		began[i] = now_ms();
		usleep(1000);
	}
	for (i = 0; i < SERVER_CONNECTIONS_MAX; i++) {
		assert_int_equal(poll(&p[i], 1, 5000), 1);
		assert_in_range(now_ms() - began[i], 99, 2000);
		expect(p[i].fd, too_slow);
		expect_end(p[i].fd);
	}
	others_are_served();
}

static void running_out_of_descriptors_is_survived(void **state)
{
	struct rlimit old, low;
	int fds[8], held[64], i, n = 0, ended = 0;

	(void)state;
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = 64;
	for (i = 0; i < 8; i++)
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setrlimit(RLIMIT_NOFILE, &low);
	while (n < 64 && (held[n] = dup(0)) >= 0)
		n++;
	for (i = 0; i < 8; i++) {
		struct sockaddr_un address = {.sun_family = AF_UNIX};

		memcpy(address.sun_path, path, strlen(path));
		assert_int_equal(connect(fds[i], (struct sockaddr *)&address,
					 sizeof(address)),
				 0);
		ended += has_ended(fds[i]);
	}
	while (n)
		close(held[--n]);
	for (i = 0; i < 8; i++)
		close(fds[i]);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_int_equal(ended, 8);
	others_are_served();
}

static void a_vm_can_be_run_over_the_socket(void **state)
{
	static const char body[] = "{\"kernel_image_path\":\"/dev/null\"}";
	char request[256];
	int fd = dial();

	(void)state;
	snprintf(request, sizeof(request),
		 "PUT /boot-source HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s"
		 "PUT /actions HTTP/1.1\r\nContent-Length: 31\r\n\r\n"
		 "{\"action_type\":\"InstanceStart\"}",
		 sizeof(body) - 1, body);
	put(fd, request);
	expect(fd, "HTTP/1.1 204 \r\nServer: Firecracker API\r\n"
		   "Connection: keep-alive\r\n\r\n"
		   "HTTP/1.1 204 \r\nServer: Firecracker API\r\n"
		   "Connection: keep-alive\r\n\r\n");
	close(fd);
}

/* Opens and closes a server at `at`; the code and sentence of the opening. */
static int try_open(const char *at, struct err *e)
{
	struct loop l;
	struct server s;
	int rc;

	memset(e, 0, sizeof(*e));
	assert_int_equal(loop_open(&l, e), 0);
	rc = server_open(&s, &l, &controller, at, LIMIT, e);
	server_close(&s);
	loop_close(&l);
	return rc;
}

static void a_live_socket_is_not_taken_over(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(try_open(path, &e), -EADDRINUSE);
	assert_non_null(strstr(e.text, "in use by another process"));
	others_are_served();
}

static void a_stale_socket_is_replaced(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct err e;

	(void)state;
	memcpy(address.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)),
			 0);
	close(fd);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(try_open(path, &e), 0);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void other_files_are_left_alone(void **state)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	struct err e;

	(void)state;
	close(fd);
	assert_int_equal(try_open(path, &e), -EEXIST);
	assert_non_null(strstr(e.text, "that is no socket"));
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	assert_int_equal(symlink("/nowhere", path), 0);
	assert_int_equal(try_open(path, &e), -EEXIST);
	unlink(path);
}

static void impossible_paths_are_sentences(void **state)
{
	char longest[109];
	struct err e;

	(void)state;
	memset(longest, 'a', 108);
	longest[108] = '\0';
	assert_int_equal(try_open(longest, &e), -ENAMETOOLONG);
	assert_non_null(strstr(e.text, "1 to 107 bytes, not 108"));
	assert_int_equal(try_open("", &e), -ENAMETOOLONG);
	assert_int_equal(try_open("/no/such/folder/s", &e), -ENOENT);
	assert_non_null(strstr(e.text, "/no/such/folder/s"));
}

static void the_file_has_its_mode_and_goes_with_its_server(void **state)
{
	struct loop l;
	struct server s;
	struct stat st;
	struct err e;
	mode_t mask = umask(0002);
	int fd;

	(void)state;
	assert_int_equal(loop_open(&l, &e), 0);
	assert_int_equal(server_open(&s, &l, &controller, path, LIMIT, &e), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	/* Somebody else's file of that name stays. */
	unlink(path);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	server_close(&s);
	server_close(&s);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
	loop_close(&l);
	umask(mask);
}

static int make_folder(void **state)
{
	(void)state;
	/* The warnings are expected here, and nothing for a person to see. */
	assert_int_equal(
		log_configure(&(struct log_config){.level = LOG_OFF}, NULL), 0);
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/s", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define IMPATIENT(name) \
	cmocka_unit_test_setup_teardown(name, impatient_setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(requests_are_answered_one_after_the_other),
		TEST(requests_sent_ahead_are_answered_in_order),
		TEST(requests_may_trickle_in),
		TEST(a_client_that_stops_writing_gets_its_answers),
		TEST(metrics_are_plain_text),
		TEST(connections_close_when_asked),
		TEST(a_continue_is_sent_where_it_is_awaited),
		TEST(a_large_body_is_refused_in_the_known_form),
		TEST(what_is_not_http_is_refused_and_ended),
		TEST(a_client_that_never_reads_is_not_read_from),
		TEST(the_silent_longest_gives_way),
		IMPATIENT(a_request_has_to_end_in_time),
		IMPATIENT(bytes_that_trickle_buy_no_time),
		IMPATIENT(silence_between_requests_is_no_offence),
		IMPATIENT(a_busy_connection_is_not_cut),
		IMPATIENT(an_answer_has_to_be_taken_in_time),
		IMPATIENT(who_never_closes_after_an_error_is_closed),
		IMPATIENT(many_slow_clients_end_each_in_its_time),
		TEST(running_out_of_descriptors_is_survived),
		TEST(a_vm_can_be_run_over_the_socket),
		TEST(a_live_socket_is_not_taken_over),
		cmocka_unit_test(a_stale_socket_is_replaced),
		cmocka_unit_test(other_files_are_left_alone),
		cmocka_unit_test(impossible_paths_are_sentences),
		cmocka_unit_test(
			the_file_has_its_mode_and_goes_with_its_server),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
