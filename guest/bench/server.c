/* The server's half: one client after the other, each says what it wants. */
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest/bench/work.h"

enum { BACKLOG = 16, ROOM = 4 << 20 };

static char piece[WORK_PIECE];

static void sink(int fd)
{
	uint64_t count = 0;
	ssize_t n;

	while ((n = recv(fd, piece, sizeof(piece), 0)) > 0)
		count += (uint64_t)n;
	(void)send(fd, &count, sizeof(count), MSG_NOSIGNAL);
}

static void source(int fd, unsigned ms)
{
	const uint64_t start = now_ns();

	while (now_ns() - start < ms * 1000000ULL)
		if (send(fd, piece, sizeof(piece), MSG_NOSIGNAL) <= 0)
			return;
}

static void echo(int fd)
{
	ssize_t n;

	while ((n = recv(fd, piece, sizeof(piece), 0)) > 0)
		if (send(fd, piece, (size_t)n, MSG_NOSIGNAL) != n)
			return;
}

/* Until the client has no more to say. */
static void count(int fd)
{
	const int in = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const int room = ROOM;
	struct pollfd p[2] = {{.fd = in, .events = POLLIN},
			      {.fd = fd, .events = POLLIN}};
	uint64_t sum = 0;
	union address a;
	socklen_t len = sizeof(a);

	if (in < 0 || getsockname(fd, &a.any, &len) || bind(in, &a.any, len))
		end_badly("a socket for datagrams");
	setsockopt(in, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	(void)send(fd, "r", 1, MSG_NOSIGNAL);
	while (poll(p, 2, -1) > 0) {
		sum += datagrams_in(in);
		if (p[1].revents)
			break;
	}
	close(in);
	(void)send(fd, &sum, sizeof(sum), MSG_NOSIGNAL);
}

static void blast(int fd, const struct request *r)
{
	const int out = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	union address a;
	socklen_t len = sizeof(a);

	if (out < 0 || getpeername(fd, &a.any, &len))
		end_badly("a socket for datagrams");
	((struct sockaddr_in *)&a)->sin_port = htons((uint16_t)r->port);
	if (connect(out, &a.any, len))
		end_badly("a socket for datagrams");
	datagrams_out(out, r->ms);
	close(out);
}

static void answer(int fd)
{
	const int one = 1;
	struct request r;

	/* No use on another family's. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (recv(fd, &r, sizeof(r), MSG_WAITALL) != sizeof(r))
		return;
	switch (r.op) {
	case OP_SINK:
		sink(fd);
		break;
	case OP_SOURCE:
		source(fd, r.ms);
		break;
	case OP_ECHO:
		echo(fd);
		break;
	case OP_COUNT:
		count(fd);
		break;
	case OP_BLAST:
		blast(fd, &r);
		break;
	default:
		break;
	}
}

void serve(const char *address)
{
	const int one = 1;
	union address a;
	socklen_t len;
	int fd = address_socket(address, &a, &len), client;

	if (a.any.sa_family == AF_UNIX)
		unlink(((struct sockaddr_un *)&a)->sun_path);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, &a.any, len) || listen(fd, BACKLOG))
		end_badly(address);
	printf("serving\n");
	fflush(stdout);
	for (;;) {
		client = accept(fd, NULL, NULL);
		if (client < 0)
			end_badly("accept");
		answer(client);
		close(client);
	}
}
