/*
 * -p: whoever ends first and whoever reads slowly, every byte arrives. The
 * guest's end is a socket of ours, behind the words of a monitor and an agent.
 */
#include "api/ctl/vm/forward.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/proto.h"

enum { BLOCK = 64 << 10, UPLOAD = 320000, PAUSE_US = 100000 };

static struct loop loop;
static struct forward forward;
static struct loop_watch stop;
static pthread_t thread;
static char dir[] = "/tmp/forward-XXXXXX", path[64];
static int agent_fd, client, guest;

static void stop_ready(struct loop_watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	loop_stop(&loop);
}

static void *serve(void *arg)
{
	(void)loop_run(&loop, NULL);
	return arg;
}

/* What dial.c asks for is answered as by a monitor and an agent. */
static void answer(void)
{
	struct proto_frame started = {.type = PROTO_STARTED};
	struct proto_started body = {0};
	char said[256];

	guest = accept(agent_fd, NULL, NULL);
	assert_true(guest >= 0);
	assert_true(recv(guest, said, sizeof(said), 0) > 0);
	proto_put32(&started.length, sizeof(body));
	assert_int_equal(send(guest, "OK 1\n", 5, 0), 5);
	assert_int_equal(send(guest, &started, sizeof(started), 0),
			 sizeof(started));
	assert_int_equal(send(guest, &body, sizeof(body), 0), sizeof(body));
}

static int setup(void **state)
{
	struct forward_rule rule = {.address = "127.0.0.1", .guest = 80};
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct sockaddr_in host = {.sin_family = AF_INET};
	int fd = forward_listen(&rule, NULL);

	(void)state;
	memcpy(dir + sizeof(dir) - 7, "XXXXXX", 6);
	if (fd < 0 || !mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/s", dir);
	memcpy(to.sun_path, path, strlen(path) + 1);
	agent_fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(agent_fd, (struct sockaddr *)&to, sizeof(to)) ||
	    listen(agent_fd, 1) || loop_open(&loop, NULL) ||
	    forward_start(&forward, &loop, path, &rule, &fd, 1, NULL))
		return -1;
	stop.ready = stop_ready;
	if (loop_add(&loop, &stop, eventfd(0, EFD_CLOEXEC), EPOLLIN, NULL) ||
	    pthread_create(&thread, NULL, serve, NULL))
		return -1;
	host.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	host.sin_port = htons(rule.host);
	client = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(client, (struct sockaddr *)&host, sizeof(host)))
		return -1;
	answer();
	return 0;
}

static int teardown(void **state)
{
	const uint64_t one = 1;
	const int fd = stop.fd;

	(void)state;
	if (write(fd, &one, sizeof(one)) != sizeof(one))
		return -1;
	pthread_join(thread, NULL);
	forward_stop(&forward);
	loop_delete(&loop, &stop);
	close(fd);
	loop_close(&loop);
	loop = (struct loop){0};
	close(agent_fd);
	close(guest);
	unlink(path);
	rmdir(dir);
	return 0;
}

/* At most max, until nothing has gone for a while; how much that was. */
static size_t send_until_full(int fd, size_t max)
{
	static const char bytes[BLOCK];
	size_t all = 0, before;
	ssize_t n;

	do {
		before = all;
		usleep(PAUSE_US);
		while (all < max &&
		       (n = send(fd, bytes,
				 max - all < BLOCK ? max - all : BLOCK,
				 MSG_NOSIGNAL | MSG_DONTWAIT)) > 0)
			all += (size_t)n;
	} while (all != before);
	return all;
}

static size_t read_all(int fd)
{
	static char bytes[BLOCK];
	size_t all = 0;
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		all += (size_t)n;
	return all;
}

/* The reader shuts its own way first; then the writer sends and closes, while
 * buffers between them are full. */
static void check(int *writer, int reader, size_t max)
{
	size_t sent;
	char none;

	assert_int_equal(shutdown(reader, SHUT_WR), 0);
	assert_int_equal(recv(*writer, &none, 1, 0), 0);
	sent = send_until_full(*writer, max);
	assert_true(sent > FORWARD_BUFFER);
	close(*writer);
	*writer = -1;
	usleep(PAUSE_US);
	assert_int_equal(read_all(reader), sent);
}

static void an_upload_arrives_after_the_guest_shut_its_way(void **state)
{
	(void)state;
	/* What the guest does not read yet, but the kernel of the host holds:
	 * so the client's end is seen. */
	check(&client, guest, UPLOAD);
}

static void a_download_arrives_after_the_client_shut_its_way(void **state)
{
	(void)state;
	check(&guest, client, SIZE_MAX);
	close(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			an_upload_arrives_after_the_guest_shut_its_way, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			a_download_arrives_after_the_client_shut_its_way, setup,
			teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
