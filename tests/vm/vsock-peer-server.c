/* The server of tests/vm/vsock-peer.c: one thread, any number of clients. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/vm/vsock-peer.h"

struct conn {
	int fd;
	size_t asked; /* bytes of the request that are here */
	struct request request;
	uint64_t got, sent, wrong;
	uint8_t *echo; /* owned: what came and was not sent back yet */
	size_t echo_at, echo_end;
};

/* Each of these returns -1 when the connection is over, else epoll events. */
static int serve_echo(struct conn *c)
{
	ssize_t n;

	if (!c->echo && !(c->echo = malloc(PIECE)))
		return -1;
	for (;;) {
		if (c->echo_at == c->echo_end) {
			n = recv(c->fd, c->echo, PIECE, MSG_DONTWAIT);
			if (n <= 0)
				return n < 0 && would_block() ? EPOLLIN : -1;
			c->echo_at = 0;
			c->echo_end = (size_t)n;
		}
		n = send(c->fd, c->echo + c->echo_at, c->echo_end - c->echo_at,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return would_block() ? EPOLLOUT : -1;
		c->echo_at += (size_t)n;
	}
}

static int serve_sink(struct conn *c)
{
	struct verdict v;
	unsigned turns = 16;
	ssize_t n;

	while (c->got < c->request.bytes) {
		if (!turns--)
			return EPOLLIN;
		n = recv(c->fd, scratch, PIECE, MSG_DONTWAIT);
		if (n <= 0)
			return n < 0 && would_block() ? EPOLLIN : -1;
		c->wrong += memcmp(scratch, bytes_at(c->got), (size_t)n) != 0;
		c->got += (uint64_t)n;
	}
	v = (struct verdict){.bytes = c->got, .wrong = c->wrong};
	send(c->fd, &v, sizeof(v), MSG_NOSIGNAL);
	return -1;
}

static int serve_source(struct conn *c)
{
	unsigned turns = 16;
	uint64_t left;
	ssize_t n;

	while ((left = c->request.bytes - c->sent)) {
		if (!turns--)
			return EPOLLOUT;
		n = send(c->fd, bytes_at(c->sent), left < PIECE ? left : PIECE,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0)
			return would_block() ? EPOLLOUT : -1;
		c->sent += (uint64_t)n;
	}
	return -1;
}

static int serve(struct conn *c)
{
	ssize_t n;

	while (c->asked < sizeof(c->request)) {
		n = recv(c->fd, (char *)&c->request + c->asked,
			 sizeof(c->request) - c->asked, MSG_DONTWAIT);
		if (n <= 0)
			return n < 0 && would_block() ? EPOLLIN : -1;
		c->asked += (size_t)n;
	}
	if (memcmp(c->request.magic, "vpr1", 4) != 0)
		return -1;
	switch (c->request.op) {
	case ECHO:
		return serve_echo(c);
	case SINK:
		return serve_sink(c);
	case SOURCE:
		return serve_source(c);
	default:
		return -1;
	}
}

static void accept_one(int epoll, int listener)
{
	struct conn *c;
	struct epoll_event ev = {.events = EPOLLIN};
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	c = calloc(1, sizeof(*c));
	if (!c)
		die("calloc");
	c->fd = fd;
	ev.data.ptr = c;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev))
		die("epoll_ctl");
}

void run_server(const char *address)
{
	struct epoll_event events[EVENTS];
	struct epoll_event ev = {.events = EPOLLIN};
	int listener = peer_listen(address);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct conn *c;
	int i, n, want;

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev))
		die("epoll_ctl");
	printf("listening on %s\n", address);
	fflush(stdout);
	for (;;) {
		n = epoll_wait(epoll, events, EVENTS, -1);
		for (i = 0; i < n; i++) {
			c = events[i].data.ptr;
			if (!c) {
				accept_one(epoll, listener);
				continue;
			}
			want = serve(c);
			if (want < 0) {
				close(c->fd);
				free(c->echo);
				free(c);
				continue;
			}
			ev = (struct epoll_event){.events = (uint32_t)want,
						  .data.ptr = c};
			epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &ev);
		}
	}
}
