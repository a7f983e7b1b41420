/*
 * What mayctl asks of the agent and waits for, each over a connection of its
 * own.
 */
#include <errno.h>
#include <string.h>

#include "api/ctl/agent/frame.h"

enum { SYNC_MS = 30000, ANSWER_MS = 10000, RENEW_TRIES = 3 };

/* A connection that has said HELLO. */
static int begin(struct session *s, const char *socket, struct err *e)
{
	int rc = session_connect(s, socket, e);

	return rc ? rc : frame_greet(s, e);
}

/* Sends the request and waits for its answer. */
static int await(struct session *s, int timeout_ms, int failure, struct err *e)
{
	struct session_frame f = {0};
	int rc = session_await(s, &f, timeout_ms, e);

	if (!rc && f.event == SESSION_FAILED)
		rc = err_set(e, failure, "%s", f.text);
	return rc;
}

/* The same where it could be made, and ends the session. */
static int finish(struct session *s, int rc, int timeout_ms, int failure,
		  struct err *e)
{
	rc = rc ? rc : await(s, timeout_ms, failure, e);
	session_fini(s);
	return rc;
}

int session_kill(const char *socket, int signal, struct err *e)
{
	struct proto_kill head;
	struct payload p;
	struct session s;
	int rc = begin(&s, socket, e);

	proto_put32(&head.signal, (uint32_t)signal);
	if (!rc) {
		p = frame_begin(&s);
		frame_put(&p, &head, sizeof(head));
		frame_string(&p, SESSION_CONTAINER);
		(void)frame_end(&s, &p, PROTO_KILL, 0);
	}
	return finish(&s, rc, ANSWER_MS, -ESRCH, e);
}

static int begin_shutdown(struct session *s, const char *socket,
			  uint32_t grace_ms, struct err *e)
{
	struct proto_shutdown head;
	int rc = begin(s, socket, e);

	proto_put32(&head.grace_ms, grace_ms);
	if (!rc)
		(void)frame_send(s, PROTO_SHUTDOWN, 0, &head, sizeof(head));
	return rc;
}

int session_ask_shutdown(struct session *s, const char *socket,
			 uint32_t grace_ms, struct err *e)
{
	int rc = begin_shutdown(s, socket, grace_ms, e);

	return rc ? rc : session_flush(s);
}

int session_shutdown(const char *socket, uint32_t grace_ms, struct err *e)
{
	struct session s;
	int rc = begin_shutdown(&s, socket, grace_ms, e);

	return finish(&s, rc, (int)grace_ms + SYNC_MS, -EIO, e);
}

static int ask(const char *socket, uint8_t type, struct err *e)
{
	struct session s;
	int rc = begin(&s, socket, e);

	if (!rc)
		(void)frame_send(&s, type, 0, NULL, 0);
	return finish(&s, rc, ANSWER_MS, -EIO, e);
}

int session_freeze(const char *socket, struct err *e)
{
	return ask(socket, PROTO_FREEZE, e);
}

int session_thaw(const char *socket, struct err *e)
{
	return ask(socket, PROTO_THAW, e);
}

int session_renew(const char *socket, struct session_identity *who,
		  struct err *e)
{
	struct session s;
	int rc, tries = RENEW_TRIES;

	/* What was just loaded has its memory still to be read, and on a busy
	 * host that is long. */
	do
		rc = begin(&s, socket, e);
	while (rc == -EAGAIN && --tries);
	rc = rc ? rc : frame_renew(&s, who, e);
	rc = rc ? rc : await(&s, ANSWER_MS, -EIO, e);
	who->answered_ns = s.greeted_ns;
	session_fini(&s);
	return rc;
}

int session_prepare(int fd, int timeout_ms, struct err *e)
{
	struct payload p;
	struct session s;
	int rc;

	session_adopt(&s, fd);
	rc = frame_greet(&s, e);
	if (!rc) {
		p = frame_begin(&s);
		frame_string(&p, SESSION_CONTAINER);
		frame_string(&p, SESSION_IMAGE_SERIAL);
		(void)frame_end(&s, &p, PROTO_PREPARE, 0);
	}
	return finish(&s, rc, timeout_ms, -EIO, e);
}
