/* The client's half of streams and datagrams, and addresses. */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest/bench/work.h"

enum { PATIENCE_MS = 15000, TRY_MS = 5, LINGER_MS = 50 };

static char piece[WORK_PIECE];

/* ---- addresses ---------------------------------------------------------- */

static void take_port(const char *text, char *host, size_t size, unsigned *port)
{
	const char *colon = strrchr(text, ':');

	errno = EINVAL;
	if (!colon || (size_t)(colon - text) >= size)
		end_badly(text);
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	*port = (unsigned)strtoul(colon + 1, NULL, 10);
}

int address_socket(const char *text, union address *a, socklen_t *len)
{
	struct sockaddr_un *un = (void *)a;
	struct sockaddr_in *in = (void *)a;
	struct sockaddr_vm *vm = (void *)a;
	char host[64];
	unsigned port;
	int fd;

	memset(a, 0, sizeof(*a));
	if (!strncmp(text, "unix:", 5)) {
		un->sun_family = AF_UNIX;
		strncpy(un->sun_path, text + 5, sizeof(un->sun_path) - 1);
		*len = sizeof(*un);
	} else if (!strncmp(text, "vsock:", 6)) {
		take_port(text + 6, host, sizeof(host), &port);
		vm->svm_family = AF_VSOCK;
		vm->svm_cid = *host ? (unsigned)strtoul(host, NULL, 10)
				    : VMADDR_CID_ANY;
		vm->svm_port = port;
		*len = sizeof(*vm);
	} else {
		errno = EINVAL;
		if (strncmp(text, "tcp:", 4) != 0)
			end_badly(text);
		take_port(text + 4, host, sizeof(host), &port);
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
			end_badly(text);
		*len = sizeof(*in);
	}
	fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		end_badly("socket");
	return fd;
}

/* A link needs a moment to come up, and so may a server. */
static int dial(const char *text)
{
	const uint64_t limit = now_ns() + PATIENCE_MS * 1000000ULL;
	const int one = 1;
	union address a;
	socklen_t len;
	int fd;

	for (;;) {
		fd = address_socket(text, &a, &len);
		if (!connect(fd, &a.any, len))
			break;
		close(fd);
		if (now_ns() > limit)
			end_badly(text);
		usleep(TRY_MS * 1000);
	}
	if (a.any.sa_family == AF_INET)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* ---- streams ------------------------------------------------------------ */

void all_out(int fd, const void *buf, size_t len)
{
	const char *at = buf;
	ssize_t n;

	for (; len; at += n, len -= (size_t)n) {
		n = send(fd, at, len, MSG_NOSIGNAL);
		if (n <= 0)
			end_badly("send");
	}
}

void all_in(int fd, void *buf, size_t len)
{
	char *at = buf;
	ssize_t n;

	for (; len; at += n, len -= (size_t)n) {
		n = recv(fd, at, len, 0);
		if (!n)
			errno = EPIPE;
		if (n <= 0)
			end_badly("recv");
	}
}

static int begin(const char *address, enum stream_op op, unsigned ms,
		 unsigned port)
{
	const struct request r = {.op = op, .ms = ms, .port = port};
	const int fd = dial(address);

	all_out(fd, &r, sizeof(r));
	return fd;
}

/* The server says how much it got: only that counts, and until then. */
struct done stream_send(const char *address, unsigned ms)
{
	const int fd = begin(address, OP_SINK, 0, 0);
	const uint64_t start = now_ns();
	struct done d;

	do
		all_out(fd, piece, sizeof(piece));
	while (now_ns() - start < ms * 1000000ULL);
	shutdown(fd, SHUT_WR);
	all_in(fd, &d.count, sizeof(d.count));
	d.ns = now_ns() - start;
	close(fd);
	return d;
}

struct done stream_receive(const char *address, unsigned ms)
{
	const int fd = begin(address, OP_SOURCE, ms, 0);
	const uint64_t start = now_ns();
	struct done d = {0};
	ssize_t n;

	while ((n = recv(fd, piece, sizeof(piece), 0)) > 0)
		d.count += (uint64_t)n;
	if (n < 0)
		end_badly("recv");
	d.ns = now_ns() - start;
	close(fd);
	return d;
}

struct done stream_trip(const char *address, unsigned ms)
{
	const int fd = begin(address, OP_ECHO, 0, 0);
	struct done d = {0};
	uint64_t start;
	char byte = 1;

	/* The first may have to find its way. */
	all_out(fd, &byte, 1);
	all_in(fd, &byte, 1);
	start = now_ns();
	do {
		all_out(fd, &byte, 1);
		all_in(fd, &byte, 1);
		d.count++;
		d.ns = now_ns() - start;
	} while (d.ns < ms * 1000000ULL);
	close(fd);
	return d;
}

/* ---- datagrams ---------------------------------------------------------- */

/* Of bytes that the kernel reads or writes. */
static void prepare(struct mmsghdr *messages, struct iovec *parts,
		    char *bytes) /* NOLINT(readability-non-const-parameter) */
{
	unsigned i;

	memset(messages, 0, WORK_BATCH * sizeof(*messages));
	for (i = 0; i < WORK_BATCH; i++) {
		parts[i] = (struct iovec){bytes + i * WORK_DATAGRAM,
					  WORK_DATAGRAM};
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
}

uint64_t datagrams_out(int fd, unsigned ms)
{
	static char bytes[WORK_BATCH * WORK_DATAGRAM];
	const uint64_t start = now_ns();
	struct mmsghdr messages[WORK_BATCH];
	struct iovec parts[WORK_BATCH];
	uint64_t sent = 0;
	int n;

	prepare(messages, parts, bytes);
	do {
		n = sendmmsg(fd, messages, WORK_BATCH, 0);
		/* Nobody there yet, or no room: that is no end. */
		if (n < 0 && errno != ENOBUFS && errno != ECONNREFUSED)
			end_badly("sendmmsg");
		sent += n > 0 ? (unsigned)n : 0;
	} while (now_ns() - start < ms * 1000000ULL);
	return sent;
}

uint64_t datagrams_in(int fd)
{
	static char bytes[WORK_BATCH * WORK_DATAGRAM];
	struct mmsghdr messages[WORK_BATCH];
	struct iovec parts[WORK_BATCH];
	uint64_t count = 0;
	int n;

	prepare(messages, parts, bytes);
	while ((n = recvmmsg(fd, messages, WORK_BATCH, MSG_DONTWAIT, NULL)) > 0)
		count += (unsigned)n;
	return count;
}

/* The same place, by datagrams. */
static int datagram_socket(int stream)
{
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	union address a;
	socklen_t len = sizeof(a);

	if (fd < 0 || getpeername(stream, &a.any, &len) ||
	    connect(fd, &a.any, len))
		end_badly("a socket for datagrams");
	return fd;
}

struct done stream_packets(const char *address, unsigned ms)
{
	const int fd = begin(address, OP_COUNT, 0, 0);
	const int out = datagram_socket(fd);
	struct done d;
	uint64_t start;
	char ready;

	all_in(fd, &ready, 1);
	start = now_ns();
	datagrams_out(out, ms);
	d.ns = now_ns() - start;
	usleep(LINGER_MS * 1000);
	shutdown(fd, SHUT_WR);
	all_in(fd, &d.count, sizeof(d.count));
	close(out);
	close(fd);
	return d;
}

struct done stream_packets_back(const char *address, unsigned ms)
{
	const int in = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in here = {.sin_family = AF_INET};
	socklen_t len = sizeof(here);
	struct pollfd p[2] = {{.fd = in, .events = POLLIN}, {.events = POLLIN}};
	const uint64_t start = now_ns();
	struct done d = {0};
	uint64_t n;

	if (in < 0 || bind(in, (struct sockaddr *)&here, len) ||
	    getsockname(in, (struct sockaddr *)&here, &len))
		end_badly("a socket for datagrams");
	p[1].fd = begin(address, OP_BLAST, ms, ntohs(here.sin_port));
	/* Its end is the end of the connection; some may be on their way. */
	while (poll(p, 2, -1) > 0) {
		n = datagrams_in(in);
		d.count += n;
		if (n)
			d.ns = now_ns() - start;
		else if (p[1].revents && poll(p, 1, LINGER_MS) <= 0)
			break;
	}
	close(in);
	close(p[1].fd);
	return d;
}
