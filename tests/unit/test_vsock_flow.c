/* virtio-vsock: bytes and credit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/vsock_bench.h"
#include "tests/unit/vsock_stream.h"

/* ---- credit ------------------------------------------------------------- */

static void the_host_sends_no_more_than_the_guest_takes(void **state)
{
	int fd = from_guest(HOST, GUEST, 10000);
	struct vsock_packet p;

	(void)state;
	fill_pattern();
	assert_int_equal(send(fd, out, 50000, 0), 50000);
	assert_int_equal(guest_reads(0, 10000), 10000);
	/* It asks, once, and waits. */
	assert_true(guest_gets(&p, NULL));
	assert_int_equal(p.op, VSOCK_OP_CREDIT_REQUEST);
	guest_expects_nothing();
	tell_credit(1, 10000);
	assert_int_equal(guest_reads(10000, 50000), 1);
	tell_credit(10001, 10000);
	assert_int_equal(guest_reads(10001, 50000), 10000);
	/* A guest may change its mind on how much it takes. */
	tell_credit(20001, 5000);
	assert_int_equal(guest_reads(20001, 50000), 5000);
	tell_credit(20001, 4000);
	guest_expects_nothing();
	tell_credit(25001, 1 << 20);
	assert_int_equal(guest_reads(25001, 50000), 24999);
	assert_memory_equal(in, out, 50000);
	close(fd);
}

static void an_older_count_is_no_lie(void **state)
{
	int fd = from_guest(HOST, GUEST, 1000);

	(void)state;
	fill_pattern();
	assert_int_equal(send(fd, out, 3000, 0), 3000);
	assert_int_equal(guest_reads(0, 3000), 1000);
	tell_credit(1000, 1000);
	assert_int_equal(guest_reads(0, 3000), 1000);
	tell_credit(500, 1000);
	assert_int_equal(guest_reads(0, 3000), 0);
	tell_credit(2000, 1000);
	assert_int_equal(guest_reads(0, 3000), 1000);
	close(fd);
}

static void counts_run_over(void **state)
{
	int fd = from_guest(HOST, GUEST, 1 << 20);
	struct vsock_packet p;
	uint32_t fwd = 0;
	unsigned i;

	(void)state;
	fill_pattern();
	/* 2^32 bytes are too many for a test: the wrap is what was sent. */
	for (i = 0; i < 64; i++) {
		assert_int_equal(send(fd, out, 65536, 0), 65536);
		assert_int_equal(guest_reads(0, 65536), 65536);
		assert_memory_equal(in, out, 65536);
		fwd += 65536;
		tell_credit(fwd, 65536);
	}
	guest_streams(0, 65536, 65536);
	assert_int_equal(host_reads(fd, 0, 65536), 65536);
	tell_credit(fwd, 65536);
	while (guest_gets(&p, NULL))
		assert_int_not_equal(p.op, VSOCK_OP_RST);
	close(fd);
}

static void the_guest_hears_of_new_room(void **state)
{
	int fd = from_guest(HOST, GUEST, SPACE);
	struct vsock_packet p;

	(void)state;
	fill_pattern();
	guest_streams(0, SPACE / 2, 65536);
	guest_expects_nothing();
	guest_streams(0, 1, 1);
	p = guest_expects(VSOCK_OP_CREDIT_UPDATE, HOST, GUEST);
	assert_int_equal(p.buf_alloc, SPACE);
	assert_int_equal(p.fwd_cnt, SPACE / 2 + 1);
	guest_expects_nothing();
	/* Or by whatever it is told anyway. */
	guest_streams(0, 5, 5);
	host_says(fd, "x");
	assert_true(guest_gets(&p, NULL));
	assert_int_equal(p.fwd_cnt, SPACE / 2 + 6);
	/* Or when it asks. */
	guest_says(VSOCK_OP_CREDIT_REQUEST, HOST, GUEST);
	p = guest_expects(VSOCK_OP_CREDIT_UPDATE, HOST, GUEST);
	assert_int_equal(p.fwd_cnt, SPACE / 2 + 6);
	close(fd);
}

static void a_slow_process_gets_every_byte(void **state)
{
	int fd = from_guest(HOST, GUEST, SPACE);
	size_t sent = 0, got = 0, room = SPACE, n;
	struct vsock_packet p;
	uint32_t fwd = 0;

	(void)state;
	fill_pattern();
	while (got < sizeof(out)) {
		n = sizeof(out) - sent < room ? sizeof(out) - sent : room;
		guest_streams(sent, n, 60000);
		sent += n;
		/* An odd number, so that the buffer's end is passed. */
		got += host_reads(fd, got, 33333);
		while (guest_gets(&p, NULL)) {
			assert_int_equal(p.op, VSOCK_OP_CREDIT_UPDATE);
			fwd = p.fwd_cnt;
		}
		assert_true(fwd <= sent);
		room = SPACE - (sent - fwd);
	}
	assert_memory_equal(in, out, sizeof(out));
	close(fd);
}

/* Whatever the sizes: once the process has read all, the guest may go on. */
static void a_guest_never_waits_for_a_process_that_reads(void **state)
{
	int fd = from_guest(HOST, GUEST, SPACE);
	size_t sent = 0, room = SPACE, n, round;
	struct vsock_packet p;
	uint32_t fwd = 0;

	(void)state;
	for (round = 0; round < 400; round++) {
		n = room ? 1 + round * 7919 % room : 0;
		guest_streams(0, n, 60000);
		sent += n;
		if (round % 3)
			while (host_reads(fd, 0, sizeof(in)))
				;
		while (guest_gets(&p, NULL)) {
			assert_int_equal(p.op, VSOCK_OP_CREDIT_UPDATE);
			fwd = p.fwd_cnt;
		}
		room = SPACE - (sent - fwd);
		assert_true(room > 0 || round % 3 == 0);
	}
	close(fd);
}

static void more_than_the_credit_ends_the_connection(void **state)
{
	int fd = from_guest(HOST, GUEST, SPACE);
	size_t sent = 0;
	struct vsock_packet p;

	(void)state;
	/* Until the socket is full, and then the buffer. */
	do {
		guest_streams(0, 65536, 65536);
		sent += 65536;
		if (!guest_gets(&p, NULL))
			p.op = 0;
	} while (p.op != VSOCK_OP_RST && sent < (8U << 20));
	assert_int_equal(p.op, VSOCK_OP_RST);
	assert_int_equal(connections(), 0);
	assert_false(is_broken());
	/* Whatever was within it arrives. */
	assert_true(host_reads(fd, 0, sizeof(in)) > 0);
	host_hears_end(fd);
	close(fd);
}

static void taking_what_was_never_sent_ends_the_connection(void **state)
{
	int fd = from_guest(HOST, GUEST, SPACE);

	(void)state;
	tell_credit(1, SPACE);
	guest_expects(VSOCK_OP_RST, HOST, GUEST);
	host_hears_end(fd);
	assert_int_equal(connections(), 0);
	close(fd);
}

/* ---- buffers of the guest ----------------------------------------------- */

static void data_fills_buffers_of_any_shape(void **state)
{
	int fd = from_guest(HOST, GUEST, SPACE);
	size_t piece, size;

	(void)state;
	fill_pattern();
	refills = false;
	/* Use up what was offered: the buffers below are all there is. */
	assert_int_equal(send(fd, out, 32 * RX_ROOM, 0), 32 * RX_ROOM);
	assert_int_equal(guest_reads(0, 32 * RX_ROOM), 32 * RX_ROOM);
	assert_memory_equal(in, out, 32 * RX_ROOM);
	for (piece = 1; piece < 200; piece += 7) {
		size = 50 + piece / 4;
		assert_int_equal(send(fd, out, size - VSOCK_HEADER_BYTES, 0),
				 size - VSOCK_HEADER_BYTES);
		guest_expects_nothing();
		give_buffer(size, piece);
		memset(in, 0, size);
		assert_int_equal(guest_reads(0, size),
				 size - VSOCK_HEADER_BYTES);
		assert_memory_equal(in, out, size - VSOCK_HEADER_BYTES);
		guest_expects_nothing();
	}
	close(fd);
}

static void packets_may_be_split_anywhere(void **state)
{
	int fd = from_guest(HOST, GUEST, SPACE);
	struct vsock_packet p = packet(VSOCK_OP_RW, HOST, GUEST);
	size_t piece;

	(void)state;
	for (piece = 1; piece < 80; piece++) {
		p.len = 16;
		guest_sends_raw(&p, "sixteen letters!", 60, piece);
		host_hears(fd, "sixteen letters!");
	}
	/* What lies behind the packet in its buffer is not of it. */
	p.len = 7;
	guest_sends_raw(&p, "sixteen letters!", 60, 1000);
	host_hears(fd, "sixteen");
	assert_true(host_hears_nothing(fd));
	close(fd);
}

static void streams_take_turns(void **state)
{
	enum { MANY = 8 };
	int fds[MANY];
	size_t had[MANY] = {0};
	struct vsock_packet p;
	unsigned i, total = 0;

	(void)state;
	for (i = 0; i < MANY; i++)
		fds[i] = from_host(HOST_BASE + i, 5);
	for (i = 0; i < MANY; i++)
		assert_int_equal(send(fds[i], out, 100000, MSG_DONTWAIT),
				 100000);
	/* However greedy each is, none is more than a batch ahead. */
	while (total < 400000 && guest_gets(&p, NULL)) {
		assert_int_equal(p.op, VSOCK_OP_RW);
		had[p.src_port - HOST_BASE] += p.len;
		total += p.len;
	}
	assert_true(total >= 400000);
	for (i = 0; i < MANY; i++) {
		assert_true(had[i] >= 400000 / MANY - 65536 / 2);
		assert_true(had[i] <= 400000 / MANY + 65536);
	}
	for (i = 0; i < MANY; i++)
		close(fds[i]);
}

static void a_process_that_never_reads_stalls_nobody(void **state)
{
	int stuck = from_guest(HOST, GUEST, SPACE);
	int other = from_host(HOST_BASE, 5);
	unsigned i;

	(void)state;
	guest_streams(0, SPACE, 65536);
	for (i = 0; i < 100; i++) {
		host_says(other, "ping");
		do
			assert_true(guest_reads(0, 4));
		while (memcmp(in, "ping", 4) != 0);
		guest_writes(HOST_BASE, 5, "pong");
		host_hears(other, "pong");
	}
	close(stuck);
	close(other);
}

int main(void)
{
#define UP(test) \
	cmocka_unit_test_setup_teardown(test, bench_setup_up, bench_teardown)
	const struct CMUnitTest tests[] = {
		UP(the_host_sends_no_more_than_the_guest_takes),
		UP(an_older_count_is_no_lie),
		UP(counts_run_over),
		UP(the_guest_hears_of_new_room),
		UP(a_slow_process_gets_every_byte),
		UP(a_guest_never_waits_for_a_process_that_reads),
		UP(more_than_the_credit_ends_the_connection),
		UP(taking_what_was_never_sent_ends_the_connection),
		UP(data_fills_buffers_of_any_shape),
		UP(packets_may_be_split_anywhere),
		UP(streams_take_turns),
		UP(a_process_that_never_reads_stalls_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
