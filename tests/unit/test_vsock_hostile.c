/* virtio-vsock: guests that break the rules. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/vsock_device.h"
#include "tests/unit/vsock_bench.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

enum { GUEST = 5000, HOST = 80, SPACE = 256 << 10 };

static struct vsock *device(void)
{
	return (struct vsock *)host.device;
}

/* ---- chains that are no packets ----------------------------------------- */

static void a_short_header_faults_the_queue(void **state)
{
	struct vsock_packet p = packet(VSOCK_OP_REQUEST, HOST, GUEST);

	(void)state;
	guest_sends_raw(&p, NULL, VSOCK_HEADER_BYTES - 1, 1000);
	assert_true(is_broken());
}

static void more_bytes_than_the_chain_has_fault_the_queue(void **state)
{
	int fd = from_guest(HOST, GUEST, SPACE);
	struct vsock_packet p = packet(VSOCK_OP_RW, HOST, GUEST);

	(void)state;
	p.len = 17;
	guest_sends_raw(&p, "sixteen letters!", 60, 1000);
	assert_true(is_broken());
	assert_true(host_hears_nothing(fd));
	/* What the guest can't be told any more, the process is. */
	host_says(fd, "hello?");
	host_hears_end(fd);
	close(fd);
	assert_int_equal(connections(), 0);
}

static void a_receive_buffer_without_room_faults_the_queue(void **state)
{
	(void)state;
	driver_up();
	give_buffer(VSOCK_HEADER_BYTES, 1000);
	assert_false(is_broken());
	guest_says(VSOCK_OP_REQUEST, HOST, GUEST);
	assert_true(is_broken());
}

static void a_broken_device_works_again_after_a_reset(void **state)
{
	struct vsock_packet p = packet(VSOCK_OP_RW, HOST, GUEST);
	int fd;

	(void)state;
	p.len = UINT32_MAX;
	guest_sends_raw(&p, "x", 45, 1000);
	assert_true(is_broken());
	fd = host_connects();
	host_hears_end(fd);
	close(fd);
	driver_up();
	give_buffers(8);
	fd = from_guest(HOST, GUEST, SPACE);
	guest_writes(HOST, GUEST, "well");
	host_hears(fd, "well");
	close(fd);
}

/* ---- packets that make no sense ----------------------------------------- */

static void a_false_sender_is_not_heard(void **state)
{
	struct vsock_packet p = packet(VSOCK_OP_REQUEST, HOST, GUEST);
	int listener = host_listens(HOST, 4);

	(void)state;
	p.src_cid = CID + 1;
	guest_sends(&p, NULL);
	p.src_cid = CID | 1ULL << 32;
	guest_sends(&p, NULL);
	p.src_cid = VSOCK_CID_HOST;
	guest_sends(&p, NULL);
	guest_expects_nothing();
	assert_int_equal(connections(), 0);
	assert_int_equal(device()->counters.tx_malformed, 3);
	close(listener);
}

static void others_than_the_host_are_not_reached(void **state)
{
	static const uint64_t cids[] = {
		0, 1, 3, CID, UINT32_MAX, VSOCK_CID_HOST | 1ULL << 32};
	struct vsock_packet p, answer;
	int listener = host_listens(HOST, 4);
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cids) / sizeof(*cids); i++) {
		p = packet(VSOCK_OP_REQUEST, HOST, GUEST);
		p.dst_cid = cids[i];
		guest_sends(&p, NULL);
		assert_true(guest_gets(&answer, NULL));
		assert_int_equal(answer.op, VSOCK_OP_RST);
		assert_int_equal(answer.src_cid, cids[i]);
		assert_int_equal(answer.src_port, HOST);
		assert_int_equal(answer.dst_port, GUEST);
		/* A RST is not answered, or that would never end. */
		p.op = VSOCK_OP_RST;
		guest_sends(&p, NULL);
		guest_expects_nothing();
	}
	assert_int_equal(connections(), 0);
	close(listener);
}

static void other_types_are_refused(void **state)
{
	struct vsock_packet p = packet(VSOCK_OP_REQUEST, HOST, GUEST);
	struct vsock_packet answer;
	int listener = host_listens(HOST, 4);
	unsigned type;

	(void)state;
	for (type = 0; type < 4; type++) {
		if (type == VSOCK_TYPE_STREAM)
			continue;
		p.type = (uint16_t)type;
		guest_sends(&p, NULL);
		assert_true(guest_gets(&answer, NULL));
		assert_int_equal(answer.op, VSOCK_OP_RST);
		assert_int_equal(answer.type, type);
	}
	assert_int_equal(connections(), 0);
	close(listener);
}

static void packets_for_nobody_are_refused(void **state)
{
	static const uint16_t ops[] = {0, 2, 4, 5, 6, 7, 8, 255, 65535};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		guest_says(ops[i], HOST, GUEST);
		guest_expects(VSOCK_OP_RST, HOST, GUEST);
	}
	guest_says(VSOCK_OP_RST, HOST, GUEST);
	guest_expects_nothing();
}

static void what_an_open_connection_never_says_ends_it(void **state)
{
	static const uint16_t ops[] = {0, VSOCK_OP_REQUEST, VSOCK_OP_RESPONSE,
				       8, 65535};
	unsigned i;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		fd = from_guest(HOST + i, GUEST, SPACE);
		guest_says(ops[i], HOST + i, GUEST);
		guest_expects(VSOCK_OP_RST, HOST + i, GUEST);
		host_hears_end(fd);
		close(fd);
		assert_int_equal(connections(), 0);
	}
	assert_false(is_broken());
}

static void data_after_its_end_ends_the_connection(void **state)
{
	struct vsock_packet p = packet(VSOCK_OP_SHUTDOWN, HOST, GUEST);
	int fd = from_guest(HOST, GUEST, SPACE);

	(void)state;
	p.flags = VSOCK_SHUT_SEND;
	guest_sends(&p, NULL);
	guest_writes(HOST, GUEST, "one more thing");
	guest_expects(VSOCK_OP_RST, HOST, GUEST);
	host_hears_end(fd);
	close(fd);
}

static void an_answer_to_no_question_is_none(void **state)
{
	int fd;

	(void)state;
	driver_up();
	/* The REQUEST waits for a buffer; the guest guesses its ports. */
	fd = host_connects();
	host_says(fd, "CONNECT 7\n");
	guest_says(VSOCK_OP_RESPONSE, HOST_BASE, 7);
	host_hears_end(fd);
	give_buffers(4);
	guest_expects(VSOCK_OP_RST, HOST_BASE, 7);
	guest_expects_nothing();
	close(fd);
	assert_int_equal(connections(), 0);
}

static void data_before_the_answer_ends_the_connection(void **state)
{
	int fd = host_connects();

	(void)state;
	host_says(fd, "CONNECT 7\n");
	guest_expects(VSOCK_OP_REQUEST, HOST_BASE, 7);
	guest_writes(HOST_BASE, 7, "too early");
	host_hears_end(fd);
	guest_expects(VSOCK_OP_RST, HOST_BASE, 7);
	close(fd);
}

static void empty_packets_are_nothing(void **state)
{
	int fd = from_guest(HOST, GUEST, SPACE);
	unsigned i;

	(void)state;
	for (i = 0; i < 1000; i++)
		guest_says(VSOCK_OP_RW, HOST, GUEST);
	guest_expects_nothing();
	assert_true(host_hears_nothing(fd));
	guest_writes(HOST, GUEST, "x");
	host_hears(fd, "x");
	close(fd);
}

/* ---- storms, and no buffers for the answers ----------------------------- */

static unsigned tx_pending(void)
{
	return (uint16_t)(rings[1].avail_idx - rings[1].used_head[1]);
}

static void refusals_are_bounded_and_go_on(void **state)
{
	struct vsock_packet p;
	unsigned i, sent = 0, refused = 0;

	(void)state;
	driver_up();
	/* Nobody has these; each wants a RST, for which there is no buffer. */
	for (i = 0; i < VSOCK_REFUSALS_MAX + RING / 2; i++, sent++)
		guest_says(VSOCK_OP_RW, HOST, i);
	assert_int_equal(device()->refusal_count, VSOCK_REFUSALS_MAX);
	assert_int_equal(tx_pending(), RING / 2);
	assert_int_equal(connections(), 0);
	/* The test's driver reuses one buffer: what waits is the last. */
	give_buffers(8);
	while (guest_gets(&p, NULL)) {
		assert_int_equal(p.op, VSOCK_OP_RST);
		refused++;
	}
	assert_int_equal(refused, sent);
	assert_int_equal(tx_pending(), 0);
	assert_int_equal(device()->refusal_count, 0);
}

static void a_storm_of_requests_is_bounded(void **state)
{
	struct vsock_packet p;
	unsigned i, refused = 0;

	(void)state;
	driver_up();
	/* Each is a dead connection at first; then the table is full. */
	for (i = 0; i < VSOCK_CONNS_MAX + VSOCK_REFUSALS_MAX + 32; i++)
		guest_says(VSOCK_OP_REQUEST, HOST, i);
	assert_int_equal(connections(), VSOCK_CONNS_MAX);
	assert_int_equal(device()->refusal_count, VSOCK_REFUSALS_MAX);
	assert_int_equal(tx_pending(), 32);
	give_buffers(16);
	while (guest_gets(&p, NULL)) {
		assert_int_equal(p.op, VSOCK_OP_RST);
		refused++;
	}
	assert_int_equal(refused, i);
	assert_int_equal(connections(), 0);
}

static void a_guest_without_buffers_holds_no_bytes_here(void **state)
{
	static char bytes[65536];
	int fd;

	(void)state;
	driver_up();
	give_buffers(1);
	refills = false;
	fd = from_guest(HOST, GUEST, SPACE);
	assert_int_equal(send(fd, bytes, sizeof(bytes), MSG_DONTWAIT),
			 sizeof(bytes));
	guest_expects_nothing();
	guest_says(VSOCK_OP_CREDIT_REQUEST, HOST, GUEST);
	guest_says(VSOCK_OP_CREDIT_REQUEST, HOST, GUEST);
	guest_expects_nothing();
	/* Two questions, one answer. */
	give_buffers(2);
	guest_expects(VSOCK_OP_CREDIT_UPDATE, HOST, GUEST);
	guest_expects(VSOCK_OP_RW, HOST, GUEST);
	guest_expects_nothing();
	close(fd);
}

/* ---- at random ---------------------------------------------------------- */

static void nonsense_does_no_harm(void **state)
{
	struct fake_random r = {.state = 20261121};
	int listener = host_listens(HOST, 64);
	struct vsock_packet p;
	unsigned i;
	int kept[16] = {0};
	int *slot;
	int fd;

	(void)state;
	fcntl(listener, F_SETFL, O_NONBLOCK);
	for (i = 0; i < 20000; i++) {
		p = packet((uint16_t)fake_random_below(&r, 9),
			   HOST + fake_random_below(&r, 2),
			   GUEST + fake_random_below(&r, 8));
		p.flags = fake_random_below(&r, 5);
		if (!fake_random_below(&r, 4))
			p.fwd_cnt = (uint32_t)fake_random(&r);
		if (!fake_random_below(&r, 4))
			p.buf_alloc = (uint32_t)fake_random(&r);
		if (!fake_random_below(&r, 50))
			p.type = (uint16_t)fake_random_below(&r, 3);
		if (!fake_random_below(&r, 50))
			p.dst_cid = fake_random_below(&r, 4);
		p.len = fake_random_below(&r, 3000);
		guest_sends(&p, NULL);
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd > 0) {
			/* Some read nothing and stay a while. */
			send(fd, "bytes", 5, MSG_NOSIGNAL);
			slot = &kept[fake_random_below(&r, 16)];
			fd_close(slot);
			*slot = fd;
		}
		while (guest_gets(&p, NULL))
			;
		if (!fake_random_below(&r, 100))
			pass_ms(fake_random_below(&r, 10000));
	}
	assert_false(is_broken());
	/* It was not all for nobody. */
	assert_true(device()->counters.conns_added > 500);
	assert_true(device()->counters.tx_bytes > 100000);
	assert_true(device()->counters.rx_bytes > 1000);
	for (i = 0; i < 16; i++)
		fd_close(&kept[i]);
	close(listener);
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
		UP(a_short_header_faults_the_queue),
		UP(more_bytes_than_the_chain_has_fault_the_queue),
		DOWN(a_receive_buffer_without_room_faults_the_queue),
		UP(a_broken_device_works_again_after_a_reset),
		UP(a_false_sender_is_not_heard),
		UP(others_than_the_host_are_not_reached),
		UP(other_types_are_refused),
		UP(packets_for_nobody_are_refused),
		UP(what_an_open_connection_never_says_ends_it),
		UP(data_after_its_end_ends_the_connection),
		DOWN(an_answer_to_no_question_is_none),
		UP(data_before_the_answer_ends_the_connection),
		UP(empty_packets_are_nothing),
		DOWN(refusals_are_bounded_and_go_on),
		DOWN(a_storm_of_requests_is_bounded),
		DOWN(a_guest_without_buffers_holds_no_bytes_here),
		UP(nonsense_does_no_harm),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
