/* virtio-vsock: how each way ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/vsock_bench.h"
#include "tests/unit/vsock_stream.h"

static void guest_shuts(uint32_t flags)
{
	struct vsock_packet p = packet(VSOCK_OP_SHUTDOWN, HOST, GUEST);

	p.flags = flags;
	guest_sends(&p, NULL);
}

static void the_guest_sends_no_more(void **state)
{
	int fd = from_guest(HOST, GUEST, SPACE);
	struct vsock_packet p;

	(void)state;
	guest_writes(HOST, GUEST, "last words");
	guest_shuts(VSOCK_SHUT_SEND);
	host_hears(fd, "last words");
	host_hears_end(fd);
	/* The other way goes on. */
	host_says(fd, "answer");
	guest_expects_text(HOST, GUEST, "answer");
	guest_expects_nothing();
	host_says(fd, "more");
	guest_expects_text(HOST, GUEST, "more");
	close(fd);
	p = guest_expects(VSOCK_OP_SHUTDOWN, HOST, GUEST);
	assert_int_equal(p.flags, VSOCK_SHUT_BOTH);
	guest_says(VSOCK_OP_RST, HOST, GUEST);
	assert_int_equal(connections(), 0);
}

static void the_host_sends_no_more(void **state)
{
	int fd = from_guest(HOST, GUEST, SPACE);
	struct vsock_packet p;

	(void)state;
	host_says(fd, "last words");
	shutdown(fd, SHUT_WR);
	guest_expects_text(HOST, GUEST, "last words");
	p = guest_expects(VSOCK_OP_SHUTDOWN, HOST, GUEST);
	assert_int_equal(p.flags, VSOCK_SHUT_SEND);
	guest_expects_nothing();
	guest_writes(HOST, GUEST, "answer");
	host_hears(fd, "answer");
	guest_shuts(VSOCK_SHUT_BOTH);
	host_hears_end(fd);
	guest_expects(VSOCK_OP_RST, HOST, GUEST);
	assert_int_equal(connections(), 0);
	close(fd);
}

static void both_halves_make_a_whole(void **state)
{
	int fd = from_guest(HOST, GUEST, SPACE);
	struct vsock_packet p;

	(void)state;
	shutdown(fd, SHUT_WR);
	p = guest_expects(VSOCK_OP_SHUTDOWN, HOST, GUEST);
	assert_int_equal(p.flags, VSOCK_SHUT_SEND);
	guest_shuts(VSOCK_SHUT_SEND);
	host_hears_end(fd);
	/* Nothing is left to be said: the guest hears so, and agrees. */
	p = guest_expects(VSOCK_OP_SHUTDOWN, HOST, GUEST);
	assert_int_equal(p.flags, VSOCK_SHUT_BOTH);
	guest_says(VSOCK_OP_RST, HOST, GUEST);
	assert_int_equal(connections(), 0);
	close(fd);
}

static void the_guest_reads_no_more(void **state)
{
	int fd = from_guest(HOST, GUEST, SPACE);

	(void)state;
	guest_shuts(VSOCK_SHUT_RECEIVE);
	assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	guest_expects_nothing();
	guest_writes(HOST, GUEST, "still here");
	host_hears(fd, "still here");
	/* The flags of SHUTDOWN add up. */
	guest_shuts(VSOCK_SHUT_SEND);
	host_hears_end(fd);
	guest_expects(VSOCK_OP_RST, HOST, GUEST);
	assert_int_equal(connections(), 0);
	close(fd);
}

static void the_host_reads_no_more(void **state)
{
	int fd = from_guest(HOST, GUEST, SPACE);
	struct vsock_packet p;

	(void)state;
	shutdown(fd, SHUT_RD);
	guest_writes(HOST, GUEST, "nobody hears that");
	p = guest_expects(VSOCK_OP_SHUTDOWN, HOST, GUEST);
	assert_int_equal(p.flags, VSOCK_SHUT_RECEIVE);
	guest_writes(HOST, GUEST, "nor that");
	host_says(fd, "still here");
	guest_expects_text(HOST, GUEST, "still here");
	shutdown(fd, SHUT_WR);
	p = guest_expects(VSOCK_OP_SHUTDOWN, HOST, GUEST);
	assert_int_equal(p.flags, VSOCK_SHUT_BOTH);
	guest_shuts(VSOCK_SHUT_BOTH);
	guest_expects(VSOCK_OP_RST, HOST, GUEST);
	assert_int_equal(connections(), 0);
	close(fd);
}

static void the_end_comes_after_the_last_byte(void **state)
{
	int fd = from_guest(HOST, GUEST, 5000);
	struct vsock_packet p;

	(void)state;
	fill_pattern();
	/* More than the guest takes now; the process is gone meanwhile. */
	assert_int_equal(send(fd, out, 20000, 0), 20000);
	close(fd);
	assert_int_equal(guest_reads(0, 5000), 5000);
	guest_expects(VSOCK_OP_CREDIT_REQUEST, HOST, GUEST);
	guest_expects_nothing();
	tell_credit(5000, 15000);
	assert_int_equal(guest_reads(5000, 15000), 15000);
	assert_memory_equal(in, out, 20000);
	p = next_word();
	assert_int_equal(p.op, VSOCK_OP_SHUTDOWN);
	assert_int_equal(p.flags, VSOCK_SHUT_BOTH);
	guest_says(VSOCK_OP_RST, HOST, GUEST);
	assert_int_equal(connections(), 0);
}

/* The guest says that it is done while a slow process has it all to read. */
static void fill_up(int *fd, size_t *sent)
{
	struct vsock_packet p;

	*fd = from_guest(HOST, GUEST, SPACE);
	fill_pattern();
	for (*sent = 0; *sent < 2 * SPACE - 65536; *sent += 32768) {
		guest_streams(*sent, 32768, 32768);
		while (guest_gets(&p, NULL))
			;
	}
}

static void what_is_buffered_arrives_before_the_end(void **state)
{
	size_t sent;
	int fd;

	(void)state;
	fill_up(&fd, &sent);
	guest_shuts(VSOCK_SHUT_BOTH);
	guest_expects_nothing();
	assert_int_equal(connections(), 1);
	assert_int_equal(host_reads(fd, 0, sent / 2), sent / 2);
	assert_int_equal(host_reads(fd, sent / 2, sizeof(in) - sent / 2),
			 sent - sent / 2);
	assert_memory_equal(in, out, sent);
	host_hears_end(fd);
	assert_int_equal(next_word().op, VSOCK_OP_RST);
	assert_int_equal(connections(), 0);
	close(fd);
}

static void even_if_the_guest_is_gone(void **state)
{
	size_t sent, got = 0, n;
	int fd;

	(void)state;
	fill_up(&fd, &sent);
	guest_says(VSOCK_OP_RST, HOST, GUEST);
	guest_expects_nothing();
	assert_int_equal(connections(), 1);
	/* Its ports are free again. */
	guest_writes(HOST, GUEST, "who?");
	guest_expects(VSOCK_OP_RST, HOST, GUEST);
	/* However long it takes, as long as it goes on. */
	while ((n = host_reads(fd, got, 20000))) {
		got += n;
		pass_ms(2000);
	}
	assert_int_equal(got, sent);
	assert_memory_equal(in, out, sent);
	host_hears_end(fd);
	assert_int_equal(connections(), 0);
	close(fd);
}

static void but_not_for_ever(void **state)
{
	size_t sent;
	int fd;

	(void)state;
	fill_up(&fd, &sent);
	guest_says(VSOCK_OP_RST, HOST, GUEST);
	pass_ms(29000);
	assert_int_equal(connections(), 1);
	pass_ms(1100);
	assert_int_equal(connections(), 0);
	close(fd);
	pass_ms(0);
}

static void a_guest_that_does_not_agree_is_forgotten(void **state)
{
	int fd = from_guest(HOST, GUEST, SPACE);

	(void)state;
	close(fd);
	guest_expects(VSOCK_OP_SHUTDOWN, HOST, GUEST);
	/* What was under way is lost on nobody. */
	guest_writes(HOST, GUEST, "late");
	guest_says(VSOCK_OP_CREDIT_REQUEST, HOST, GUEST);
	guest_expects_nothing();
	pass_ms(7900);
	guest_expects_nothing();
	pass_ms(200);
	guest_expects(VSOCK_OP_RST, HOST, GUEST);
	assert_int_equal(connections(), 0);
}

static void a_process_gone_with_bytes_unread_ends_it(void **state)
{
	int fd = from_guest(HOST, GUEST, SPACE);

	(void)state;
	guest_writes(HOST, GUEST, "never read");
	close(fd);
	assert_int_equal(next_word().op, VSOCK_OP_SHUTDOWN);
	guest_says(VSOCK_OP_RST, HOST, GUEST);
	assert_int_equal(connections(), 0);
}

int main(void)
{
#define UP(test) \
	cmocka_unit_test_setup_teardown(test, bench_setup_up, bench_teardown)
	const struct CMUnitTest tests[] = {
		UP(the_guest_sends_no_more),
		UP(the_host_sends_no_more),
		UP(both_halves_make_a_whole),
		UP(the_guest_reads_no_more),
		UP(the_host_reads_no_more),
		UP(the_end_comes_after_the_last_byte),
		UP(what_is_buffered_arrives_before_the_end),
		UP(even_if_the_guest_is_gone),
		UP(but_not_for_ever),
		UP(a_guest_that_does_not_agree_is_forgotten),
		UP(a_process_gone_with_bytes_unread_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
