/* virtio-vsock: how connections come about, from either side. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/virtio/virtio.h"
#include "devices/vsock.h"
#include "devices/vsock_table.h"
#include "tests/unit/vsock_bench.h"
#include "vmm/base/log.h"

/* ---- the device --------------------------------------------------------- */

static void the_driver_reads_its_cid(void **state)
{
	(void)state;
	assert_int_equal(fake_read32(&host, MMIO_DEVICE_ID), 19);
	assert_int_equal(fake_read32(&host, MMIO_CONFIG), CID);
	assert_int_equal(fake_read32(&host, MMIO_CONFIG + 4), 0);
	assert_int_equal(fake_driver_offered(&host) & 0xffffff, 1);
}

static void a_socket_that_exists_is_refused_by_name(void **state)
{
	const struct vsock_config config = {
		.id = "vsock0", .cid = CID, .uds_path = uds_path};
	struct device *d;
	struct err e;

	(void)state;
	assert_int_equal(vsock_new(&d, &config, &e), -EADDRINUSE);
	assert_non_null(strstr(e.text, uds_path));
	/* And is not removed: the first device still listens. */
	assert_int_equal(access(uds_path, F_OK), 0);
}

static void bad_configurations_are_refused(void **state)
{
	static const uint32_t reserved[] = {0, 1, 2, UINT32_MAX};
	char longest[200];
	struct vsock_config config = {.id = "vsock0", .uds_path = "/nowhere"};
	struct device *d;
	struct err e;
	unsigned i;

	(void)state;
	for (i = 0; i < 4; i++) {
		config.cid = reserved[i];
		assert_int_equal(vsock_new(&d, &config, &e), -EINVAL);
		assert_non_null(strstr(e.text, "guest_cid"));
	}
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	config.cid = 3;
	config.uds_path = longest;
	assert_int_equal(vsock_new(&d, &config, &e), -ENAMETOOLONG);
	config.uds_path = "/nowhere/at/all";
	assert_int_equal(vsock_new(&d, &config, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/nowhere/at/all"));
}

static void a_file_put_in_its_place_is_left_alone(void **state)
{
	int fd;

	(void)state;
	unlink(uds_path);
	fd = open(uds_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd > 0);
	close(fd);
	fake_host_close(&host);
	assert_int_equal(access(uds_path, F_OK), 0);
	unlink(uds_path);
	fake_host_open(&host);
}

/* ---- from the host ------------------------------------------------------ */

static void a_process_reaches_the_guest(void **state)
{
	int fd = from_host(HOST_BASE, 1024);

	(void)state;
	host_says(fd, "hello");
	guest_expects_text(HOST_BASE, 1024, "hello");
	guest_writes(HOST_BASE, 1024, "hello to you");
	host_hears(fd, "hello to you");
	guest_expects_nothing();
	close(fd);
}

static void host_ports_go_round(void **state)
{
	int a = from_host(HOST_BASE, 7);
	int b = from_host(HOST_BASE + 1, 7);
	int c = from_host(HOST_BASE + 2, 8);

	(void)state;
	host_says(b, "b");
	guest_expects_text(HOST_BASE + 1, 7, "b");
	close(a);
	close(b);
	close(c);
}

static void nobody_listens_in_the_guest(void **state)
{
	int fd = host_connects();

	(void)state;
	host_says(fd, "CONNECT 99\n");
	guest_expects(VSOCK_OP_REQUEST, HOST_BASE, 99);
	guest_says(VSOCK_OP_RST, HOST_BASE, 99);
	host_hears_end(fd);
	guest_expects_nothing();
	assert_int_equal(connections(), 0);
	close(fd);
}

static void what_follows_the_line_is_for_the_guest(void **state)
{
	int fd = host_connects();

	(void)state;
	host_says(fd, "CONNECT 5\nCONNECT 6\nmore");
	guest_expects(VSOCK_OP_REQUEST, HOST_BASE, 5);
	guest_expects_nothing();
	guest_says(VSOCK_OP_RESPONSE, HOST_BASE, 5);
	guest_expects_text(HOST_BASE, 5, "CONNECT 6\nmore");
	host_hears(fd, "OK 1073741824\n");
	close(fd);
}

static void the_line_may_come_byte_by_byte(void **state)
{
	const char *line = "connect 4294967295\r\n";
	char byte[2] = {0};
	int fd = host_connects();

	(void)state;
	for (; *line; line++) {
		byte[0] = *line;
		guest_expects_nothing();
		host_says(fd, byte);
	}
	guest_expects(VSOCK_OP_REQUEST, HOST_BASE, UINT32_MAX);
	close(fd);
}

static void other_lines_end_the_connection(void **state)
{
	static const char *const lines[] = {
		"CONNECT\n",
		"CONNECT \n",
		"CONNECT x\n",
		"CONNECT -1\n",
		"CONNECT 4294967296\n",
		"CONNECT 18446744073709551617\n",
		"CONNECT 1 2\n",
		"CONNECT 12x\n",
		"GET / HTTP/1.1\n",
		"\n",
		"CONNECT 0000000000000000000000000000000000000001\n",
		"this is longer than any line may be, and it has no end",
	};
	unsigned i;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		fd = host_connects();
		host_says(fd, lines[i]);
		host_hears_end(fd);
		close(fd);
		guest_expects_nothing();
		assert_int_equal(connections(), 0);
	}
	/* A zero byte ends no line. */
	fd = host_connects();
	assert_int_equal(send(fd, "CONNECT 1\0\n", 11, 0), 11);
	host_hears_end(fd);
	close(fd);
	/* Nor does the end of file. */
	fd = host_connects();
	host_says(fd, "CONNECT 1");
	shutdown(fd, SHUT_WR);
	host_hears_end(fd);
	close(fd);
	assert_int_equal(connections(), 0);
}

static void silence_ends_in_two_seconds(void **state)
{
	int fd = host_connects();
	int other = host_connects();

	(void)state;
	host_says(other, "CONNECT 1");
	pass_ms(1900);
	assert_true(host_hears_nothing(fd));
	assert_true(host_hears_nothing(other));
	pass_ms(200);
	host_hears_end(fd);
	host_hears_end(other);
	assert_int_equal(connections(), 0);
	close(fd);
	close(other);
}

static void a_guest_that_does_not_answer_is_given_up(void **state)
{
	int fd = host_connects();

	(void)state;
	host_says(fd, "CONNECT 1\n");
	guest_expects(VSOCK_OP_REQUEST, HOST_BASE, 1);
	pass_ms(4900);
	assert_true(host_hears_nothing(fd));
	pass_ms(200);
	host_hears_end(fd);
	guest_expects(VSOCK_OP_RST, HOST_BASE, 1);
	/* Too late. */
	guest_says(VSOCK_OP_RESPONSE, HOST_BASE, 1);
	guest_expects(VSOCK_OP_RST, HOST_BASE, 1);
	assert_int_equal(connections(), 0);
	close(fd);
}

static void a_guest_without_buffers_is_given_up_unheard(void **state)
{
	int fd;

	(void)state;
	driver_up();
	fd = host_connects();
	host_says(fd, "CONNECT 1\n");
	pass_ms(5100);
	host_hears_end(fd);
	give_buffers(4);
	guest_expects_nothing();
	close(fd);
}

static void half_open_ones_are_bounded_and_wait(void **state)
{
	int fds[300];
	unsigned i;
	int late;

	(void)state;
	for (i = 0; i < 300; i++)
		fds[i] = host_connects();
	settle();
	assert_int_equal(connections(), 256);
	late = host_connects();
	host_says(late, "CONNECT 3\n");
	guest_expects_nothing();
	/* Those in front leave, one by time, and everybody is served. */
	for (i = 0; i < 300; i++)
		close(fds[i]);
	guest_expects(VSOCK_OP_REQUEST, HOST_BASE, 3);
	assert_int_equal(connections(), 1);
	close(late);
}

static void without_a_driver_a_process_sees_the_end(void **state)
{
	int fd = host_connects();

	(void)state;
	host_hears_end(fd);
	close(fd);
	assert_int_equal(connections(), 0);
}

static void without_descriptors_processes_wait(void **state)
{
	struct rlimit had, few;
	int fd, next;

	(void)state;
	fd = host_connects();
	next = dup(fd);
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &had), 0);
	few = had;
	few.rlim_cur = (rlim_t)next;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	host_says(fd, "CONNECT 1\n");
	guest_expects_nothing();
	/* The guest's, too, but nothing keeps that waiting. */
	guest_says(VSOCK_OP_REQUEST, 70, 71);
	guest_expects(VSOCK_OP_RST, 70, 71);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &had), 0);
	pass_ms(110);
	guest_expects(VSOCK_OP_REQUEST, HOST_BASE, 1);
	close(fd);
}

/* ---- from the guest ----------------------------------------------------- */

static void the_guest_reaches_a_process(void **state)
{
	int fd = from_guest(80, 5000, 1 << 16);

	(void)state;
	guest_writes(80, 5000, "GET /");
	host_hears(fd, "GET /");
	host_says(fd, "200");
	guest_expects_text(80, 5000, "200");
	close(fd);
}

static void no_process_listens(void **state)
{
	(void)state;
	guest_says(VSOCK_OP_REQUEST, 81, 5000);
	guest_expects(VSOCK_OP_RST, 81, 5000);
	assert_int_equal(connections(), 0);
	/* A socket nobody listens on any more. */
	close(host_listens(82, 1));
	guest_says(VSOCK_OP_REQUEST, 82, 5000);
	guest_expects(VSOCK_OP_RST, 82, 5000);
}

static void a_full_backlog_is_waited_for(void **state)
{
	int listener = host_listens(90, 0);
	int fd;

	(void)state;
	guest_says(VSOCK_OP_REQUEST, 90, 1);
	guest_expects(VSOCK_OP_RESPONSE, 90, 1);
	guest_says(VSOCK_OP_REQUEST, 90, 2);
	guest_expects_nothing();
	pass_ms(15);
	guest_expects_nothing();
	fd = host_accepts(listener);
	pass_ms(15);
	guest_expects(VSOCK_OP_RESPONSE, 90, 2);
	close(fd);
	close(listener);
}

static void a_backlog_that_stays_full_is_given_up(void **state)
{
	int listener = host_listens(90, 0);
	unsigned i;

	(void)state;
	guest_says(VSOCK_OP_REQUEST, 90, 1);
	guest_expects(VSOCK_OP_RESPONSE, 90, 1);
	guest_says(VSOCK_OP_REQUEST, 90, 2);
	for (i = 0; i < 19; i++)
		pass_ms(100);
	guest_expects_nothing();
	/* The guest may think better of it. */
	guest_says(VSOCK_OP_REQUEST, 90, 3);
	guest_says(VSOCK_OP_RST, 90, 3);
	pass_ms(200);
	guest_expects(VSOCK_OP_RST, 90, 2);
	guest_expects_nothing();
	close(listener);
}

/* ---- counters ----------------------------------------------------------- */

static uint64_t counted[16];
static unsigned counters;

static void put(struct device_counters *c, const char *name, uint64_t value)
{
	static const char *const names[] = {
		"conns_added",	 "conns_killed", "conns_removed",
		"conns_refused", "rx_packets",	 "rx_bytes",
		"tx_packets",	 "tx_bytes",	 "tx_bytes_dropped",
		"tx_malformed",
	};

	(void)c;
	assert_true(counters < sizeof(names) / sizeof(*names));
	assert_string_equal(name, names[counters]);
	counted[counters++] = value;
}

static void what_happens_is_counted(void **state)
{
	static const uint64_t want[] = {2, 1, 2, 1, 5, 3, 5, 4, 0, 0};
	struct device_counters c = {.put = put};
	struct virtio *v = (struct virtio *)host.device;
	int fd = from_guest(80, 5000, 1 << 16);

	(void)state;
	guest_writes(80, 5000, "four");
	host_says(fd, "abc");
	guest_expects_text(80, 5000, "abc");
	/* Closed by the process, unread: SHUTDOWN. */
	close(fd);
	guest_expects(VSOCK_OP_SHUTDOWN, 80, 5000);
	guest_says(VSOCK_OP_RST, 80, 5000);
	/* One that finds nobody, one packet for nobody. */
	guest_says(VSOCK_OP_REQUEST, 99, 5000);
	guest_expects(VSOCK_OP_RST, 99, 5000);
	guest_says(VSOCK_OP_RW, 99, 5000);
	guest_expects(VSOCK_OP_RST, 99, 5000);
	counters = 0;
	v->ops->count(v, &c);
	assert_memory_equal(counted, want, sizeof(want));
}

/* ---- many --------------------------------------------------------------- */

static void a_thousand_connections_live_at_once(void **state)
{
	enum { MANY = 1000 };
	static int fds[MANY];
	char text[16];
	unsigned i;

	(void)state;
	for (i = 0; i < MANY; i++)
		fds[i] = from_host(HOST_BASE + i, 5);
	assert_int_equal(connections(), MANY);
	for (i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "n%u", i);
		host_says(fds[i], text);
		guest_expects_text(HOST_BASE + i, 5, text);
		guest_writes(HOST_BASE + i, 5, text);
		host_hears(fds[i], text);
	}
	for (i = 0; i < MANY; i++)
		close(fds[i]);
	for (i = 0; i < MANY; i++) {
		guest_expects(VSOCK_OP_SHUTDOWN, HOST_BASE + i, 5);
		guest_says(VSOCK_OP_RST, HOST_BASE + i, 5);
	}
	guest_expects_nothing();
	assert_int_equal(connections(), 0);
}

static void there_are_bounds_to_how_many(void **state)
{
	int listener = host_listens(1, 4096);
	struct vsock_packet p;
	unsigned i, refused = 0;
	struct rlimit few, had;

	(void)state;
	/* Whichever bound is met first. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &had), 0);
	few = had;
	few.rlim_cur = 500;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	for (i = 0; i < VSOCK_CONNS_MAX + 100; i++) {
		guest_says(VSOCK_OP_REQUEST, 1, i);
		assert_true(guest_gets(&p, NULL));
		assert_int_equal(p.dst_port, i);
		refused += p.op == VSOCK_OP_RST;
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &had), 0);
	assert_true(refused > 3600);
	assert_int_equal(connections() + refused, VSOCK_CONNS_MAX + 100);
	close(listener);
}

/* ---- the driver goes ---------------------------------------------------- */

static void a_reset_ends_all_connections(void **state)
{
	int a = from_host(HOST_BASE, 1);
	int b = from_guest(80, 2, 1 << 16);
	int greeting = host_connects();

	(void)state;
	settle();
	assert_int_equal(connections(), 3);
	fake_write32(&host, MMIO_STATUS, 0);
	host_hears_end(a);
	host_hears_end(b);
	host_hears_end(greeting);
	assert_int_equal(connections(), 0);
	/* A new driver finds a working device. */
	driver_up();
	give_buffers(8);
	close(a);
	close(b);
	close(greeting);
	a = from_host(HOST_BASE + 1, 1);
	host_says(a, "again");
	guest_expects_text(HOST_BASE + 1, 1, "again");
	close(a);
}

static void a_new_driver_does_not_meet_old_connections(void **state)
{
	int fd = from_guest(80, 2, 1 << 16);

	(void)state;
	/* No turn of the loop between the two. */
	fake_write32(&host, MMIO_STATUS, 0);
	driver_up();
	give_buffers(8);
	guest_says(VSOCK_OP_RW, 80, 2);
	guest_expects(VSOCK_OP_RST, 80, 2);
	host_hears_end(fd);
	close(fd);
}

static int quiet(void **state)
{
	(void)state;
	return log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
}

int main(void)
{
#define UP(test) \
	cmocka_unit_test_setup_teardown(test, bench_setup_up, bench_teardown)
#define DOWN(test) \
	cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)
	const struct CMUnitTest tests[] = {
		DOWN(the_driver_reads_its_cid),
		DOWN(a_socket_that_exists_is_refused_by_name),
		DOWN(bad_configurations_are_refused),
		DOWN(a_file_put_in_its_place_is_left_alone),
		UP(a_process_reaches_the_guest),
		UP(host_ports_go_round),
		UP(nobody_listens_in_the_guest),
		UP(what_follows_the_line_is_for_the_guest),
		UP(the_line_may_come_byte_by_byte),
		UP(other_lines_end_the_connection),
		UP(silence_ends_in_two_seconds),
		UP(a_guest_that_does_not_answer_is_given_up),
		DOWN(a_guest_without_buffers_is_given_up_unheard),
		UP(half_open_ones_are_bounded_and_wait),
		DOWN(without_a_driver_a_process_sees_the_end),
		UP(without_descriptors_processes_wait),
		UP(the_guest_reaches_a_process),
		UP(no_process_listens),
		UP(a_full_backlog_is_waited_for),
		UP(a_backlog_that_stays_full_is_given_up),
		UP(what_happens_is_counted),
		UP(a_thousand_connections_live_at_once),
		UP(there_are_bounds_to_how_many),
		UP(a_reset_ends_all_connections),
		UP(a_new_driver_does_not_meet_old_connections),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
