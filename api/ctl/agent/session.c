/*
 * What the agent tells mayctl. It is read into memory and looked at frame by
 * frame; every length is checked against what the buffer holds before it is
 * believed.
 */
#include "api/ctl/agent/session.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "guest/proto_group.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/base/printable.h"

enum { CONNECT_S = 10, OK_MAX = 32 };

/* ---- the connection ----------------------------------------------------- */

int session_connect_unix(const char *path, int flags, struct err *e)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	CLEAN_FD int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		return err_errno(e, "can't make a socket");
	memcpy(address.sun_path, path, strlen(path));
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return err_errno(e, "can't reach the microVM at %s", path);
	return fd_steal(&fd);
}

/* Reads the line of the monitor's answer, byte by byte: what follows is the
 * agent's. */
static int read_ok(int fd)
{
	char line[32];
	size_t len = 0;

	while (len < sizeof(line) - 1) {
		ssize_t n = recv(fd, line + len, 1, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -ECONNREFUSED;
		if (line[len++] == '\n')
			break;
	}
	return len > 3 && !memcmp(line, "OK ", 3) ? 0 : -EPROTO;
}

static int connect_agent(const char *socket, struct err *e)
{
	const struct timeval patience = {.tv_sec = CONNECT_S};
	CLEAN_FD int fd = session_connect_unix(socket, 0, e);
	char line[32];
	int n, rc;

	if (fd < 0)
		return fd;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
			 sizeof(patience));
	n = snprintf(line, sizeof(line), "CONNECT %d\n", PROTO_PORT);
	rc = send(fd, line, (size_t)n, MSG_NOSIGNAL) == n ? read_ok(fd)
							  : -EPIPE;
	if (rc)
		return err_set(e, rc,
			       "the guest's agent does not answer; the guest "
			       "may still be booting, or have crashed");
	return fd_steal(&fd);
}

void session_adopt(struct session *s, int fd)
{
	*s = (struct session){.fd = fd};
}

int session_connect(struct session *s, const char *socket, struct err *e)
{
	int fd = connect_agent(socket, e);

	session_adopt(s, fd < 0 ? -1 : fd);
	return fd < 0 ? fd : 0;
}

int session_dial(struct session *s, const char *socket, struct err *e)
{
	CLEAN_FD int fd = session_connect_unix(socket, SOCK_NONBLOCK, e);
	char line[32];
	int n;

	session_adopt(s, -1);
	if (fd < 0)
		return fd;
	n = snprintf(line, sizeof(line), "CONNECT %d\n", PROTO_PORT);
	if (send(fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n)
		return err_errno(e, "can't send to the microVM");
	session_adopt(s, fd_steal(&fd));
	s->owes_ok = s->is_dialed = true;
	return 0;
}

void session_fini(struct session *s)
{
	fd_close(&s->fd);
	free(s->in);
	free(s->out);
	*s = (struct session){.fd = -1};
}

/* ---- frames in ---------------------------------------------------------- */

static int read_more(struct session *s, struct err *e)
{
	ssize_t n;

	if (s->in_at) {
		memmove(s->in, s->in + s->in_at, s->in_len);
		s->in_at = 0;
	}
	n = recv(s->fd, s->in + s->in_len, SESSION_IN_MAX - s->in_len,
		 MSG_DONTWAIT);
	if (n > 0) {
		s->in_len += (size_t)n;
		return 0;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	return err_set(e, -ECONNRESET,
		       "the guest ended before its command did");
}

static int bad(struct err *e, const char *what)
{
	return err_set(e, -EPROTO, "the guest's agent sent nonsense: %s", what);
}

static int take_hello(struct session *s, const uint8_t *bytes, size_t len,
		      struct err *e)
{
	struct proto_hello hello;

	if (s->is_greeted || len != sizeof(hello))
		return bad(e, "a greeting");
	memcpy(&hello, bytes, sizeof(hello));
	if (proto_get32(&hello.magic) != PROTO_MAGIC ||
	    proto_get32(&hello.version) != PROTO_VERSION)
		return err_set(e, -EPROTO,
			       "the guest's agent is of another version than "
			       "mayctl; build or install both anew");
	s->is_greeted = true;
	s->greeted_ns = clock_now_ns();
	s->agent_us = proto_get64(&hello.agent_us);
	s->agent_ready_us = proto_get64(&hello.ready_us);
	return -ENOMSG;
}

static int take_credit(struct session *s, const struct proto_frame *h,
		       const uint8_t *bytes, size_t len, struct err *e)
{
	struct proto_credit credit;

	if (h->stream != PROTO_STDIN || len != sizeof(credit))
		return bad(e, "room for no stream");
	memcpy(&credit, bytes, sizeof(credit));
	s->input_room += proto_get32(&credit.bytes);
	/* More than there ever was is nonsense, but no harm. */
	if (s->input_room > PROTO_WINDOW)
		s->input_room = PROTO_WINDOW;
	return -ENOMSG;
}

/* The guest may say what it likes, so only what moves is believed to be alive.
 */
static int take_progress(struct session *s, const uint8_t *bytes, size_t len,
			 struct err *e)
{
	struct proto_progress progress;
	uint64_t written, left;

	if (len != sizeof(progress))
		return bad(e, "how far it is");
	memcpy(&progress, bytes, sizeof(progress));
	written = proto_get64(&progress.written);
	left = proto_get64(&progress.left);
	if (!s->moves || written > s->written || left < s->left)
		s->moves++;
	s->written = written;
	s->left = left;
	return -ENOMSG;
}

static int take_error(struct session_frame *f, const uint8_t *bytes, size_t len,
		      struct err *e)
{
	struct proto_error error;
	struct proto_le32 text;

	if (len < sizeof(error) + sizeof(text))
		return bad(e, "an error without a sentence");
	memcpy(&error, bytes, sizeof(error));
	f->event = SESSION_FAILED;
	f->code = proto_get32(&error.status);
	f->error = proto_get32(&error.error);
	if (f->code > 255)
		return bad(e, "a status over 255");
	/* The guest's words, and our terminal. */
	printable_copy(bytes + sizeof(error) + sizeof(text),
		       len - sizeof(error) - sizeof(text), f->text,
		       sizeof(f->text));
	return 0;
}

static int take_exit(struct session_frame *f, const uint8_t *bytes, size_t len,
		     struct err *e)
{
	struct proto_exited exited;

	if (len != sizeof(exited))
		return bad(e, "an exit status");
	memcpy(&exited, bytes, sizeof(exited));
	f->event = SESSION_EXITED;
	f->code = proto_get32(&exited.status);
	return f->code > 255 ? bad(e, "a status over 255") : 0;
}

static int take_kills(struct session_frame *f, const uint8_t *bytes, size_t len,
		      struct err *e)
{
	struct proto_kills kills;

	if (len != sizeof(kills))
		return bad(e, "a number of kills");
	memcpy(&kills, bytes, sizeof(kills));
	f->event = SESSION_KILLS;
	f->kills = proto_get64(&kills.kills);
	return 0;
}

/* One frame, read whole. -ENOMSG: there is nothing in it for the caller. */
static int take_frame(struct session *s, struct session_frame *f,
		      const struct proto_frame *h, const uint8_t *bytes,
		      size_t len, struct err *e)
{
	*f = (struct session_frame){.stream = h->stream};
	if (!s->is_greeted && h->type != PROTO_HELLO && h->type != PROTO_ERROR)
		return bad(e, "no greeting");
	switch (h->type) {
	case PROTO_HELLO:
		return take_hello(s, bytes, len, e);
	case PROTO_CREDIT:
		return take_credit(s, h, bytes, len, e);
	case PROTO_PROGRESS:
		return take_progress(s, bytes, len, e);
	case PROTO_STARTED:
		f->event = SESSION_STARTED;
		return 0;
	case PROTO_DATA:
		if (h->stream != PROTO_STDOUT && h->stream != PROTO_STDERR)
			return bad(e, "output of no stream");
		f->event = SESSION_OUTPUT;
		f->bytes = bytes;
		f->len = len;
		return 0;
	case PROTO_EOF:
		f->event = SESSION_EOF;
		return 0;
	case PROTO_DONE:
		if (s->done_due) {
			s->done_due--;
			if (s->unsettled)
				s->unsettled--;
			return -ENOMSG;
		}
		f->event = SESSION_DONE;
		return 0;
	case PROTO_EXITED:
		return take_exit(f, bytes, len, e);
	case PROTO_USAGE:
		f->event = SESSION_USAGE;
		f->bytes = bytes;
		f->len = len;
		return 0;
	case PROTO_KILLS:
		return take_kills(f, bytes, len, e);
	case PROTO_ERROR:
		return take_error(f, bytes, len, e);
	default:
		return bad(e, "a frame of no known type");
	}
}

/* The length of the frame that comes next; false where its head is not here. */
static bool peek(const struct session *s, struct proto_frame *h, size_t *len)
{
	if (s->in_len < sizeof(*h))
		return false;
	memcpy(h, s->in + s->in_at, sizeof(*h));
	*len = proto_get32(&h->length);
	return true;
}

bool session_is_heard(const struct session *s)
{
	return !s->is_dialed || (s->is_greeted && !s->unsettled);
}

bool session_has_more(const struct session *s)
{
	struct proto_frame h;
	size_t len;

	return s->in && peek(s, &h, &len) && s->in_len - sizeof(h) >= len;
}

/* The monitor's line, "OK PORT". */
static int take_ok(struct session *s, struct err *e)
{
	const uint8_t *end = NULL;
	size_t len;
	int rc;

	while (!s->in_len ||
	       !(end = memchr(s->in + s->in_at, '\n', s->in_len))) {
		if (s->in_len >= OK_MAX)
			return bad(e, "no OK");
		rc = read_more(s, e);
		if (rc)
			return rc;
	}
	if (memcmp(s->in + s->in_at, "OK ", 3) != 0)
		return bad(e, "no OK");
	len = (size_t)(end - (s->in + s->in_at)) + 1;
	s->in_at += len;
	s->in_len -= len;
	s->owes_ok = false;
	return 0;
}

int session_next(struct session *s, struct session_frame *f, struct err *e)
{
	struct proto_frame h;
	const uint8_t *bytes;
	size_t len;
	int rc = s->owes_ok ? take_ok(s, e) : 0;

	if (rc)
		return rc;
	do {
		while (!session_has_more(s)) {
			if (peek(s, &h, &len) && len > PROTO_DATA_MAX)
				return bad(e, "a frame too long");
			rc = read_more(s, e);
			if (rc)
				return rc;
		}
		(void)peek(s, &h, &len);
		bytes = s->in + s->in_at + sizeof(h);
		s->in_at += sizeof(h) + len;
		s->in_len -= sizeof(h) + len;
		rc = take_frame(s, f, &h, bytes, len, e);
	} while (rc == -ENOMSG);
	return rc;
}

/* ---- waiting ------------------------------------------------------------ */

int session_flush(struct session *s)
{
	while (s->out_len) {
		ssize_t n = send(s->fd, s->out + s->out_at, s->out_len,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -EAGAIN : -errno;
		s->out_at += (size_t)n;
		s->out_len -= (size_t)n;
	}
	s->out_at = 0;
	return 0;
}

/* As poll() of one does. What comes and is nothing new costs no patience. */
static int wait_until(struct pollfd *p, uint64_t until_ns)
{
	const uint64_t now = clock_now_ns();

	if (now >= until_ns)
		return poll(p, 1, 0);
	return poll(p, 1, (int)((until_ns - now) / 1000000u) + 1);
}

int session_await(struct session *s, struct session_frame *f, int timeout_ms,
		  struct err *e)
{
	struct pollfd p = {.fd = s->fd};
	uint64_t until = clock_now_ns() + (uint64_t)timeout_ms * 1000000u;
	uint64_t moves = s->moves;
	int rc;

	for (;;) {
		rc = session_flush(s);
		if (rc && rc != -EAGAIN)
			return err_set(e, rc,
				       "the connection to the guest broke");
		p.events = (short)(POLLIN | (rc ? POLLOUT : 0));
		rc = session_next(s, f, e);
		if (rc != -EAGAIN)
			return rc;
		if (s->moves != moves)
			until = clock_now_ns() +
				(uint64_t)timeout_ms * 1000000u;
		moves = s->moves;
		if (wait_until(&p, until) == 0)
			return err_set(e, -ETIMEDOUT,
				       "the guest's agent does not answer");
	}
}
