#include "api/ctl/agent/ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "api/ctl/agent/frame.h"
#include "guest/proto_group.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"

enum { FILE_NAME_MAX = 48 };

#define ASK_NS 10000000000ull

static void answer(struct ask *a, const struct session_frame *f,
		   const struct err *e)
{
	loop_delete(a->loop, &a->wire);
	loop_disarm(a->loop, &a->deadline);
	a->answered(a, f, e);
}

static void deadline_fire(struct loop_timer *t)
{
	struct ask *a = container_of(t, struct ask, deadline);
	struct err e = {0};

	err_set(&e, -ETIMEDOUT, "the guest's agent does not answer");
	answer(a, NULL, &e);
}

static int nonsense(struct err *e)
{
	return err_set(e, -EPROTO, "the guest's agent sent nonsense");
}

/* As much as the agent has room for; while some goes it has time. */
static void push(struct ask *a)
{
	size_t n;
	int rc;

	while (a->input_left && (n = session_room(&a->session))) {
		n = n < a->input_left ? n : a->input_left;
		session_input(&a->session, a->input, n);
		a->input += n;
		a->input_left -= n;
		loop_arm(a->loop, &a->deadline, clock_now_ns() + ASK_NS);
	}
	if (a->has_input && !a->input_left)
		session_end_input(&a->session);
	rc = session_flush(&a->session);
	if (!rc || rc == -EAGAIN)
		loop_change(a->loop, &a->wire,
			    EPOLLIN | (rc ? (uint32_t)EPOLLOUT : 0));
}

void ask_look(struct ask *a)
{
	struct session_frame f;
	struct err e = {0};
	int rc;

	if (!a->loop || a->wire.fd < 0)
		return;
	push(a);
	rc = session_next(&a->session, &f, &e);
	if (rc == -EAGAIN) {
		push(a);
		return;
	}
	if (!rc && f.event == SESSION_FAILED)
		rc = err_set(&e, f.error ? -(int)f.error : -EIO, "%s", f.text);
	else if (!rc && f.event != SESSION_DONE && f.event != SESSION_USAGE &&
		 f.event != SESSION_KILLS)
		rc = nonsense(&e);
	answer(a, rc ? NULL : &f, &e);
}

static void wire_ready(struct loop_watch *w, uint32_t events)
{
	(void)events;
	ask_look(container_of(w, struct ask, wire));
}

static int begin(struct ask *a, const struct ask_whom *w, struct err *e)
{
	int rc;

	a->loop = w->loop;
	a->has_input = false;
	a->input_left = 0;
	a->wire = (struct loop_watch){.fd = -1, .ready = wire_ready};
	a->deadline = (struct loop_timer){.fire = deadline_fire};
	rc = session_dial(&a->session, w->socket, e);
	if (!rc)
		rc = frame_greet(&a->session, e);
	if (!rc)
		rc = loop_add(w->loop, &a->wire, a->session.fd,
			      EPOLLIN | EPOLLOUT, e);
	if (rc)
		ask_fini(a);
	return rc;
}

static int begin_timed(struct ask *a, const struct ask_whom *w, struct err *e)
{
	int rc = begin(a, w, e);

	if (!rc)
		loop_arm(w->loop, &a->deadline, clock_now_ns() + ASK_NS);
	return rc;
}

int ask_limits(struct ask *a, const struct ask_whom *w,
	       const char *const *limits, struct err *e)
{
	int rc = begin_timed(a, w, e);

	if (rc || frame_group(&a->session, w->id, limits))
		return rc;
	ask_fini(a);
	return err_set(e, -E2BIG, "there are too many limits");
}

static void send(struct ask *a, const struct ask_whom *w, uint8_t type,
		 const void *head, size_t len)
{
	struct payload p = frame_begin(&a->session);

	frame_put(&p, head, len);
	frame_container(&p, w->id);
	(void)frame_end(&a->session, &p, type, 0);
}

int ask_usage(struct ask *a, const struct ask_whom *w, struct err *e)
{
	int rc = begin_timed(a, w, e);

	if (!rc)
		send(a, w, PROTO_STATS, NULL, 0);
	return rc;
}

int ask_removal(struct ask *a, const struct ask_whom *w, struct err *e)
{
	const struct proto_remove forced = {.force = {{1}}};
	int rc = begin_timed(a, w, e);

	if (!rc)
		send(a, w, PROTO_REMOVE, &forced, sizeof(forced));
	return rc;
}

int ask_shared(struct ask *a, const struct ask_whom *w, const char *name,
	       const uint8_t *archive, size_t len, struct err *e)
{
	struct payload p;
	int rc = begin_timed(a, w, e);

	if (rc)
		return rc;
	p = frame_begin(&a->session);
	frame_string(&p, name);
	(void)frame_end(&a->session, &p, PROTO_SHARED, 0);
	a->has_input = true;
	a->input = archive;
	a->input_left = len;
	return 0;
}

/* A counted string at *at; false where it is not all there. */
static bool take(const uint8_t **at, size_t *left, const char **string,
		 size_t *len)
{
	struct proto_le32 count;

	if (*left < sizeof(count))
		return false;
	memcpy(&count, *at, sizeof(count));
	*string = (const char *)*at + sizeof(count);
	*len = proto_get32(&count);
	if (*len > *left - sizeof(count))
		return false;
	*at += sizeof(count) + *len;
	*left -= sizeof(count) + *len;
	return true;
}

int ask_files(const uint8_t *bytes, size_t len,
	      void (*file)(void *arg, const char *name, const char *content,
			   size_t len),
	      void *arg, struct err *e)
{
	size_t name_len, content_len, left = len;
	const char *name, *content;
	struct proto_le32 count;
	char text[FILE_NAME_MAX];
	const uint8_t *at = bytes;
	uint32_t n;

	if (len < sizeof(count))
		return nonsense(e);
	memcpy(&count, at, sizeof(count));
	at += sizeof(count);
	left -= sizeof(count);
	n = proto_get32(&count);
	for (; n >= 2 && take(&at, &left, &name, &name_len) &&
	       take(&at, &left, &content, &content_len);
	     n -= 2) {
		/* One that is longer is none that we know. */
		snprintf(text, sizeof(text), "%.*s",
			 (int)(name_len < sizeof(text) ? name_len : 0), name);
		file(arg, text, content, content_len);
	}
	return n || left ? nonsense(e) : 0;
}

int ask_kills(struct ask *a, const struct ask_whom *w, uint64_t seen,
	      struct err *e)
{
	struct proto_oom head;
	int rc = begin(a, w, e);

	proto_put64(&head.seen, seen);
	if (!rc)
		send(a, w, PROTO_OOM, &head, sizeof(head));
	return rc;
}

void ask_fini(struct ask *a)
{
	if (!a->loop)
		return;
	loop_delete(a->loop, &a->wire);
	loop_disarm(a->loop, &a->deadline);
	session_fini(&a->session);
	a->loop = NULL;
}
