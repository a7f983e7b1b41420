/* Streams of bytes through virtio-vsock, for its tests. */
#include "tests/unit/vsock_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/unit/vsock_bench.h"

uint8_t out[STREAM_BYTES];
uint8_t in[STREAM_BYTES];

void fill_pattern(void)
{
	unsigned i;

	for (i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 131 + i / 251);
}

void guest_streams(size_t at, size_t n, size_t most)
{
	struct vsock_packet p = packet(VSOCK_OP_RW, HOST, GUEST);

	for (; n; at += p.len, n -= p.len) {
		p.len = (uint32_t)(n < most ? n : most);
		guest_sends(&p, out + at);
	}
}

size_t host_reads(int fd, size_t at, size_t n)
{
	size_t got = 0;
	ssize_t r;

	if (n > sizeof(in) - at)
		n = sizeof(in) - at;
	do {
		r = recv(fd, in + at + got, n - got, MSG_DONTWAIT);
		settle();
		if (r < 0)
			r = recv(fd, in + at + got, n - got, MSG_DONTWAIT);
		got += r > 0 ? (size_t)r : 0;
	} while (got < n && r > 0);
	settle();
	return got;
}

size_t guest_reads(size_t at, size_t n)
{
	struct vsock_packet p;
	uint8_t data[RX_ROOM];
	size_t got = 0;

	while (got < n && guest_gets(&p, data)) {
		if (p.op != VSOCK_OP_RW)
			continue;
		memcpy(in + at + got, data, p.len);
		got += p.len;
	}
	return got;
}

void tell_credit(uint32_t fwd_cnt, uint32_t buf_alloc)
{
	struct vsock_packet p = packet(VSOCK_OP_CREDIT_UPDATE, HOST, GUEST);

	p.fwd_cnt = fwd_cnt;
	p.buf_alloc = buf_alloc;
	guest_sends(&p, NULL);
}

struct vsock_packet next_word(void)
{
	struct vsock_packet p;

	do
		assert_true(guest_gets(&p, NULL));
	while (p.op == VSOCK_OP_CREDIT_UPDATE ||
	       p.op == VSOCK_OP_CREDIT_REQUEST);
	return p;
}
