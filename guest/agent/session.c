/*
 * Connections. Each has one request at a time, a bounded buffer either way, and
 * cannot make the others wait: nothing here blocks, and a turn of the loop
 * takes a bounded amount from each.
 */
#include "guest/agent/session.h"

#include "guest/agent/machine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	HEAD = sizeof(struct proto_frame),
	RX_SIZE = PROTO_DATA_MAX + HEAD,
	/* DATA is made only below the first; requests, answers to which could
	 * pile up, are taken only below the second. */
	TX_DATA = 64 << 10,
	TX_MAX = 256 << 10,
	FAILED = 125,
};

static struct session *sessions;
static unsigned sessions_len;

static void session_ready(struct watch *w, uint32_t events);

/* ---- beginning and end ----------------------------------------------------
 */

void session_accept(int fd, session_serve *serve)
{
	struct session *s = NULL;

	if (sessions_len < PROTO_SESSIONS)
		s = calloc(1, sizeof(*s));
	if (!s) {
		close(fd);
		return;
	}
	s->serve = serve;
	s->next = sessions;
	sessions = s;
	sessions_len++;
	watch_start(&s->io, fd, EPOLLIN | EPOLLRDHUP, session_ready);
}

bool sessions_are_scarce(void)
{
	return sessions_len > PROTO_SESSIONS - PROTO_RESERVED;
}

/* The connection has gone; the rest of it is freed by sessions_sweep(). */
static void session_close(struct session *s)
{
	watch_close(&s->io);
	s->is_ending = true;
	if (s->ops && s->ops->lost)
		s->ops->lost(s);
	session_idle(s);
}

void sessions_sweep(void)
{
	struct session **at = &sessions;

	while (*at) {
		struct session *s = *at;

		if (s->io.fd >= 0) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		sessions_len--;
		writer_fini(&s->tx);
		free(s->rx);
		free(s);
	}
}

void sessions_each(void (*fn)(struct session *s, void *arg), void *arg)
{
	for (struct session *s = sessions; s; s = s->next)
		if (s->io.fd >= 0)
			fn(s, arg);
}

/* ---- out ------------------------------------------------------------------
 */

/* Whether the buffer is full of a frame that is longer than it; rx_room() will
 * make it longer. */
static bool rx_grows(const struct session *s)
{
	const size_t have = s->rx_to - s->rx_from;
	const struct proto_frame *f =
		(const struct proto_frame *)(s->rx + s->rx_from);

	return have >= HEAD && have < HEAD + (size_t)proto_get32(&f->length);
}

/* What to wait for: room to send, and bytes unless a request is served that
 * has no use for more. */
static void session_watch(struct session *s)
{
	uint32_t events = EPOLLRDHUP;

	if (s->io.fd < 0 || s->mode == SESSION_RAW)
		return;
	if (writer_len(&s->tx))
		events |= EPOLLOUT;
	if (!s->is_ending &&
	    (s->rx_to - s->rx_from < s->rx_size || rx_grows(s)))
		events |= EPOLLIN;
	if (!s->rx_size && !s->is_ending)
		events |= EPOLLIN;
	watch_set(&s->io, events);
}

void session_flush(struct session *s)
{
	while (s->io.fd >= 0 && writer_len(&s->tx)) {
		const ssize_t n = send(s->io.fd, s->tx.buf + s->tx.from,
				       writer_len(&s->tx), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			/* Gone; what is called for a hang-up deals with it. */
			s->tx.from = s->tx.to;
			s->is_ending = true;
			shutdown(s->io.fd, SHUT_RDWR);
			return;
		}
		if (n < 0)
			break;
		s->tx.from += (size_t)n;
	}
	session_watch(s);
}

size_t session_room(const struct session *s, int stream)
{
	if (s->is_ending || writer_len(&s->tx) >= TX_DATA)
		return 0;
	return s->window[stream];
}

void session_answer(struct session *s, uint8_t type, const void *data,
		    size_t len)
{
	frame_put(&s->tx, type, 0, data, len);
	session_flush(s);
}

void session_used(struct session *s, size_t bytes)
{
	struct proto_credit credit;

	s->used += (uint32_t)bytes;
	if (s->used < PROTO_WINDOW / 2 || s->is_ending)
		return;
	proto_put32(&credit.bytes, s->used);
	s->window[PROTO_STDIN] += s->used;
	s->used = 0;
	session_answer(s, PROTO_CREDIT, &credit, sizeof(credit));
}

void session_error(struct session *s, int error, int status, const char *fmt,
		   ...)
{
	struct proto_error head;
	char sentence[512];
	va_list args;
	size_t begin;

	va_start(args, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, args);
	va_end(args);
	proto_put32(&head.error, (uint32_t)error);
	proto_put32(&head.status, (uint32_t)status);
	begin = frame_begin(&s->tx, PROTO_ERROR, 0);
	writer_add(&s->tx, &head, sizeof(head));
	writer_string(&s->tx, sentence, strlen(sentence));
	frame_end(&s->tx, begin);
	s->is_ending = true;
	session_flush(s);
}

void session_idle(struct session *s)
{
	s->mode = SESSION_IDLE;
	s->container = NULL;
	s->group = NULL;
	s->ops = NULL;
	s->wants_progress = false;
}

void session_done(struct session *s)
{
	session_answer(s, PROTO_DONE, NULL, 0);
	session_idle(s);
}

/* ---- in -------------------------------------------------------------------
 */

static void hello(struct session *s, const void *data, size_t len)
{
	const struct proto_hello *theirs = data;
	struct proto_hello ours;

	if (len < sizeof(*theirs) ||
	    proto_get32(&theirs->magic) != PROTO_MAGIC) {
		session_error(s, EPROTO, FAILED,
			      "this is no HELLO of mayfly's");
		return;
	}
	if (proto_get32(&theirs->version) != PROTO_VERSION) {
		session_error(s, EPROTO, FAILED,
			      "the guest's agent speaks version %d, not %u; "
			      "use the mayctl it was built with",
			      PROTO_VERSION, proto_get32(&theirs->version));
		return;
	}
	s->is_greeted = true;
	proto_put32(&ours.magic, PROTO_MAGIC);
	proto_put32(&ours.version, PROTO_VERSION);
	proto_put64(&ours.agent_us, machine.agent_us);
	proto_put64(&ours.ready_us, machine.ready_us);
	proto_put64(&ours.now_us, machine_uptime_us());
	session_answer(s, PROTO_HELLO, &ours, sizeof(ours));
}

static void stream_credit(struct session *s, unsigned stream, uint32_t bytes)
{
	/* More than a stream may ever have is as good as that. */
	if (stream != PROTO_STDOUT && stream != PROTO_STDERR)
		return;
	if (bytes > (1U << 30) || s->window[stream] > (1U << 30))
		return;
	s->window[stream] += bytes;
	if (s->ops && s->ops->pump)
		s->ops->pump(s);
}

static void stream_data(struct session *s, const void *data, size_t len)
{
	if (!s->ops || !s->ops->data)
		return;
	if (len > s->window[PROTO_STDIN]) {
		session_error(s, EPROTO, FAILED,
			      "more DATA than there was room for");
		return;
	}
	s->window[PROTO_STDIN] -= (uint32_t)len;
	s->ops->data(s, data, len);
}

static void stream_signal(struct session *s, const void *data, size_t len)
{
	const struct proto_signal *signal = data;
	uint32_t number;

	if (len < sizeof(*signal) || !s->ops || !s->ops->signal)
		return;
	number = proto_get32(&signal->signal);
	if (number >= 1 && number <= 64)
		s->ops->signal(s, (int)number);
}

static void stream_resize(struct session *s, const void *data, size_t len)
{
	const struct proto_resize *size = data;

	if (len >= sizeof(*size) && s->ops && s->ops->resize)
		s->ops->resize(s, proto_get16(&size->rows),
			       proto_get16(&size->columns));
}

/* Frames that belong to what is being served, or to what has just ended. */
static bool frame_inner(struct session *s, const struct proto_frame *f,
			const void *data, size_t len)
{
	const struct proto_credit *credit = data;

	switch (f->type) {
	case PROTO_DATA:
		stream_data(s, data, len);
		return true;
	case PROTO_EOF:
		if (f->stream == PROTO_STDIN && s->ops && s->ops->data_end)
			s->ops->data_end(s);
		return true;
	case PROTO_CREDIT:
		if (len >= sizeof(*credit))
			stream_credit(s, f->stream,
				      proto_get32(&credit->bytes));
		return true;
	case PROTO_SIGNAL:
		stream_signal(s, data, len);
		return true;
	case PROTO_RESIZE:
		stream_resize(s, data, len);
		return true;
	default:
		return false;
	}
}

static void request_begin(struct session *s, uint8_t type, const void *data,
			  size_t len)
{
	struct reader r = {.at = data, .left = len};

	s->window[0] = s->window[1] = s->window[2] = PROTO_WINDOW;
	s->used = 0;
	s->serve(s, type, &r);
}

/* One frame, if it is whole and its time has come. */
static bool frame_take(struct session *s)
{
	const size_t have = s->rx_to - s->rx_from;
	const struct proto_frame *f =
		(const struct proto_frame *)(s->rx + s->rx_from);
	size_t len;

	if (s->is_ending || s->mode == SESSION_RAW || have < HEAD)
		return false;
	len = proto_get32(&f->length);
	if (len >
	    (f->type == PROTO_DATA ? PROTO_DATA_MAX : PROTO_REQUEST_MAX)) {
		session_error(s, EMSGSIZE, FAILED,
			      "a frame of %zu bytes is too long", len);
		return false;
	}
	if (have < HEAD + len)
		return false;
	if (!s->is_greeted) {
		if (f->type != PROTO_HELLO) {
			session_error(s, EPROTO, FAILED, "HELLO comes first");
			return false;
		}
		hello(s, f + 1, len);
	} else if (!frame_inner(s, f, f + 1, len)) {
		if (s->mode != SESSION_IDLE || writer_len(&s->tx) > TX_MAX)
			return false;
		/* The payload stays where it is while it is served. */
		s->rx_from += HEAD + len;
		request_begin(s, f->type, f + 1, len);
		return true;
	}
	s->rx_from += HEAD + len;
	return true;
}

/* Room for a whole frame of the length that its header tells. */
static bool rx_room(struct session *s)
{
	const size_t have = s->rx_to - s->rx_from;
	size_t want = RX_SIZE;
	uint8_t *rx;

	if (have >= HEAD) {
		want = HEAD +
		       proto_get32(&((const struct proto_frame *)(s->rx +
								  s->rx_from))
					    ->length);
		if (want > HEAD + PROTO_REQUEST_MAX)
			want = HEAD;
	}
	if (have)
		memmove(s->rx, s->rx + s->rx_from, have);
	s->rx_from = 0;
	s->rx_to = have;
	if (want < RX_SIZE)
		want = RX_SIZE;
	if (s->rx_size >= want)
		return true;
	rx = realloc(s->rx, want);
	if (!rx)
		return false;
	s->rx = rx;
	s->rx_size = want;
	return true;
}

static void session_frames(struct session *s)
{
	while (frame_take(s))
		;
	/* A large request is not typical of a connection. */
	if (s->rx_size > RX_SIZE && s->rx_from == s->rx_to) {
		free(s->rx);
		s->rx = NULL;
		s->rx_size = s->rx_from = s->rx_to = 0;
	}
	session_watch(s);
}

/* Returns false when the connection is at its end. */
static bool session_receive(struct session *s)
{
	ssize_t n;

	if (!rx_room(s))
		return false;
	if (s->rx_to == s->rx_size)
		return true; /* full of what must wait */
	n = recv(s->io.fd, s->rx + s->rx_to, s->rx_size - s->rx_to, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	s->rx_to += (size_t)n;
	return n > 0;
}

static void session_ready(struct watch *w, uint32_t events)
{
	struct session *s = container_of(w, struct session, io);
	bool alive = true;

	if (s->mode == SESSION_RAW) {
		if (s->ops)
			s->ops->ready(s, events);
		if (!s->ops && s->mode == SESSION_RAW && s->io.fd >= 0)
			session_close(s);
		return;
	}
	if (events & EPOLLOUT) {
		session_flush(s);
		if (s->ops && s->ops->pump)
			s->ops->pump(s);
	}
	if (events & EPOLLIN && !s->is_ending)
		alive = session_receive(s);
	else if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		alive = s->is_ending && writer_len(&s->tx) &&
			!(events & (EPOLLHUP | EPOLLERR));
	if (alive)
		session_frames(s);
	if (!alive || s->tx.is_bad || (s->is_ending && !writer_len(&s->tx)))
		session_close(s);
}

/* What became idle since the last turn may have its next request waiting. */
static void session_resume(struct session *s, void *arg)
{
	(void)arg;
	if (s->mode == SESSION_IDLE && s->rx_to > s->rx_from)
		session_frames(s);
	if (s->tx.is_bad || (s->is_ending && !writer_len(&s->tx)))
		session_close(s);
}

void sessions_resume(void)
{
	sessions_each(session_resume, NULL);
}
