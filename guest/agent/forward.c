/*
 * FORWARD: one TCP connection in the guest, joined to a session's. Each way has
 * a buffer; a full one stops reading what fills it, and the end of one way
 * passes through on its own.
 */
#include "guest/agent/agent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FAILED = 125, BUFFER = 64 << 10, ROUNDS = 8 };

/* One way: what was read and not yet written. */
struct way {
	uint8_t *buf; /* owned */
	size_t from, to;
	bool at_end;  /* nothing more will be read */
	bool is_shut; /* and the other side has been told */
};

struct forward {
	struct watch tcp;
	struct session *session; /* borrowed; owns us */
	bool is_connected;
	struct way in, out; /* to the guest's connection, and from it */
};

static unsigned forwards_len;

void forward_end(struct session *s)
{
	struct forward *f = s->forward;

	forwards_len--;
	s->forward = NULL;
	watch_close(&f->tcp);
	free(f->in.buf);
	free(f->out.buf);
	free(f);
}

/* Moves what can be moved; false on an error. */
static bool way_move(struct way *w, int from, int to)
{
	for (int i = 0; i < ROUNDS; i++) {
		ssize_t n;

		if (w->from == w->to && !w->at_end) {
			n = recv(from, w->buf, BUFFER, 0);
			if (n < 0 && errno != EAGAIN)
				return false;
			if (n < 0)
				return true;
			w->at_end = n == 0;
			w->from = 0;
			w->to = (size_t)n;
		}
		if (w->from == w->to) {
			if (!w->is_shut && shutdown(to, SHUT_WR) &&
			    errno != ENOTCONN)
				return false;
			w->is_shut = true;
			return true;
		}
		n = send(to, w->buf + w->from, w->to - w->from, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return false;
		if (n < 0)
			return true;
		w->from += (size_t)n;
	}
	return true;
}

static uint32_t events_of(const struct way *in, const struct way *out)
{
	uint32_t events = 0;

	if (in->from == in->to && !in->at_end)
		events |= EPOLLIN;
	if (out->from != out->to)
		events |= EPOLLOUT;
	return events;
}

static void forward_move(struct forward *f)
{
	struct session *s = f->session;

	if (!way_move(&f->in, s->io.fd, f->tcp.fd) ||
	    !way_move(&f->out, f->tcp.fd, s->io.fd) ||
	    (f->in.is_shut && f->out.is_shut)) {
		forward_end(s);
		s->is_ending = true;
		return;
	}
	watch_set(&s->io, events_of(&f->in, &f->out));
	watch_set(&f->tcp, events_of(&f->out, &f->in));
}

static void forward_connected(struct forward *f)
{
	struct session *s = f->session;
	struct proto_started started;
	socklen_t len = sizeof(int);
	int error = 0;

	getsockopt(f->tcp.fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		s->mode = SESSION_IDLE;
		forward_end(s);
		session_error(s, error, FAILED, "cannot connect: %s",
			      strerror(error));
		return;
	}
	f->is_connected = true;
	proto_put32(&started.pid, 0);
	frame_put(&s->tx, PROTO_STARTED, 0, &started, sizeof(started));
	/* What had to be sent before goes first, in the same buffer. */
	if (s->tx.is_bad || writer_len(&s->tx) > BUFFER) {
		forward_end(s);
		s->is_ending = true;
		return;
	}
	f->out.to = writer_len(&s->tx);
	memcpy(f->out.buf, s->tx.buf + s->tx.from, f->out.to);
	s->tx.from = s->tx.to;
	forward_move(f);
}

static void tcp_ready(struct watch *w, uint32_t events)
{
	struct forward *f = container_of(w, struct forward, tcp);

	(void)events;
	if (!f->is_connected)
		forward_connected(f);
	else
		forward_move(f);
}

void forward_ready(struct session *s, uint32_t events)
{
	if (!s->forward) {
		s->is_ending = true;
	} else if (s->forward->is_connected) {
		forward_move(s->forward);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		forward_end(s);
		s->is_ending = true;
	}
}

static int address_read(struct sockaddr_storage *to, socklen_t *len,
			const struct bytes *b, uint16_t port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
	char text[64] = "127.0.0.1";

	if (b->len >= sizeof(text) || !port)
		return -EINVAL;
	if (b->len) {
		memcpy(text, b->at, b->len);
		text[b->len] = '\0';
	}
	memset(to, 0, sizeof(*to));
	*len = sizeof(*v4);
	v4->sin_family = AF_INET;
	v4->sin_port = htons(port);
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
		return 0;
	*len = sizeof(*v6);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	return inet_pton(AF_INET6, text, &v6->sin6_addr) == 1 ? 0 : -EINVAL;
}

/* What came behind the request belongs to the connection already. */
static bool forward_preset(struct forward *f, struct session *s)
{
	const size_t len = s->rx_to - s->rx_from;
	const size_t size = len > BUFFER ? len : BUFFER;

	f->in.buf = malloc(size);
	f->out.buf = malloc(BUFFER);
	if (!f->in.buf || !f->out.buf)
		return false;
	memcpy(f->in.buf, s->rx + s->rx_from, len);
	f->in.to = len;
	s->rx_from = s->rx_to;
	return true;
}

void forward_start(struct session *s, struct reader *r)
{
	const struct proto_forward *head = reader_take(r, sizeof(*head));
	const struct bytes address = reader_string(r);
	struct sockaddr_storage to;
	struct forward *f;
	int fd, one = 1;
	socklen_t len;

	if (!reader_done(r) ||
	    address_read(&to, &len, &address, proto_get16(&head->port))) {
		session_error(s, EINVAL, FAILED,
			      "FORWARD wants a port and an address");
		return;
	}
	if (forwards_len >= PROTO_FORWARDS) {
		session_error(s, EAGAIN, FAILED,
			      "there are %d forwarded connections already",
			      PROTO_FORWARDS);
		return;
	}
	fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0);
	f = fd < 0 ? NULL : calloc(1, sizeof(*f));
	if (!f) {
		if (fd >= 0)
			close(fd);
		session_error(s, ENOMEM, FAILED, "cannot make a socket");
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	f->session = s;
	f->tcp.fd = fd;
	s->forward = f;
	forwards_len++;
	if (!forward_preset(f, s) ||
	    (connect(fd, (struct sockaddr *)&to, len) &&
	     errno != EINPROGRESS)) {
		const int error = errno;

		forward_end(s);
		session_error(s, error, FAILED, "cannot connect: %s",
			      strerror(error));
		return;
	}
	s->mode = SESSION_RAW;
	/* Only whether it is gone: it may have closed one way already. */
	watch_set(&s->io, EPOLLERR);
	watch_start(&f->tcp, fd, EPOLLOUT, tcp_ready);
}
