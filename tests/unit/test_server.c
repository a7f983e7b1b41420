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
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/server_bench.h"
#include "vmm/base/log.h"

static void requests_are_answered_one_after_the_other(void **state)
{
	int fd = dial(), i;

	(void)state;
	for (i = 0; i < 100; i++) {
		put(fd, get);
		expect(fd, got);
	}
	put(fd, "PUT /boot-source HTTP/1.1\r\nContent-Length: 38\r\n\r\n"
		"{\"kernel_image_path\":\"/proc/version\"} ");
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
	for (i = 0; i < strlen(get); i++) {
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
	while (send(fd, get, strlen(get), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
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

static _Atomic unsigned accepts;

/* The C library's, counted. */
int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
	accepts++;
	return (int)syscall(SYS_accept4, fd, address, len, flags);
}

/*
 * Not even the spare descriptor is there: the client waits, the server neither
 * spins nor hangs, and when there are descriptors again all goes on.
 */
static void without_a_spare_descriptor_the_listener_rests(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int served = dial();
	struct rlimit old, low;
	int held[64], n = 0, fd;
	unsigned before;

	(void)state;
	memcpy(address.sun_path, path, strlen(path));
	put(served, get);
	expect(served, got);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	getrlimit(RLIMIT_NOFILE, &old);
	low = old;
	low.rlim_cur = 64;
	setrlimit(RLIMIT_NOFILE, &low);
	/* As another thread takes what was given up. */
	close(server.listener.spare_fd);
	server.listener.spare_fd = -1;
	while (n < 64 && (held[n] = dup(0)) >= 0)
		n++;
	assert_int_equal(
		connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	before = accepts;
	usleep(500000);
	/* Two for each tenth of a second, and some that were under way. */
	assert_in_range(accepts - before, 0, 20);
	put(served, get);
	expect(served, got);
	while (n)
		close(held[--n]);
	setrlimit(RLIMIT_NOFILE, &old);
	put(fd, get);
	expect(fd, got);
	assert_true(server.listener.spare_fd > 0);
	close(fd);
	close(served);
}

static void a_vm_can_be_run_over_the_socket(void **state)
{
	static const char body[] = "{\"kernel_image_path\":\"/proc/version\"}";
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

int main(void)
{
#define TEST(name)                                                \
	cmocka_unit_test_setup_teardown(name, server_bench_setup, \
					server_bench_teardown)
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
		TEST(running_out_of_descriptors_is_survived),
		TEST(without_a_spare_descriptor_the_listener_rests),
		TEST(a_vm_can_be_run_over_the_socket),
		TEST(a_live_socket_is_not_taken_over),
		cmocka_unit_test(a_stale_socket_is_replaced),
		cmocka_unit_test(other_files_are_left_alone),
		cmocka_unit_test(impossible_paths_are_sentences),
		cmocka_unit_test(
			the_file_has_its_mode_and_goes_with_its_server),
	};

	return cmocka_run_group_tests(tests, server_bench_make_folder,
				      server_bench_remove_folder);
}
