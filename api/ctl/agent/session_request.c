/*
 * What mayctl asks of the agent: frames put together in memory, and sent as far
 * as the socket takes them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "api/ctl/agent/session.h"
#include "guest/proto.h"

enum {
	INPUT_CHUNK = 32 << 10,
	GIVE_BACK = PROTO_WINDOW / 2,
	SYNC_MS = 30000,
	ANSWER_MS = 10000
};

/* There is one container in a microVM of ours. */
#define CONTAINER "main"

/*
 * What root may do in a container, as docker's containers have it: chown,
 * dac_override, fowner, fsetid, kill, setgid, setuid, setpcap,
 * net_bind_service, net_raw, sys_chroot, mknod, audit_write, setfcap.
 */
#define CAPABILITIES                                                   \
	(1ull << 0 | 1ull << 1 | 1ull << 3 | 1ull << 4 | 1ull << 5 |   \
	 1ull << 6 | 1ull << 7 | 1ull << 8 | 1ull << 10 | 1ull << 13 | \
	 1ull << 18 | 1ull << 27 | 1ull << 29 | 1ull << 31)

/* ---- frames out --------------------------------------------------------- */

/* A payload in the making. What does not fit makes it over. */
struct payload {
	uint8_t *bytes;
	size_t len, max;
	bool is_over;
};

static void put(struct payload *p, const void *bytes, size_t len)
{
	if (p->is_over || len > p->max - p->len) {
		p->is_over = true;
		return;
	}
	if (len && p->bytes)
		memcpy(p->bytes + p->len, bytes, len);
	p->len += len;
}

static void put_number(struct payload *p, uint32_t value)
{
	struct proto_le32 number;

	proto_put32(&number, value);
	put(p, &number, sizeof(number));
}

static void put_string(struct payload *p, const char *string)
{
	const size_t len = string ? strlen(string) : 0;

	if (len > PROTO_REQUEST_MAX) {
		p->is_over = true;
		return;
	}
	put_number(p, (uint32_t)len);
	put(p, string, len);
}

static void put_list(struct payload *p, const char *const *list)
{
	uint32_t n = 0;

	while (list && list[n])
		n++;
	put_number(p, n);
	for (n = 0; list && list[n]; n++)
		put_string(p, list[n]);
}

static int make_buffers(struct session *s, struct err *e)
{
	if (!s->in)
		s->in = malloc(SESSION_IN_MAX);
	if (!s->out)
		s->out = malloc(SESSION_OUT_MAX);
	return s->in && s->out ? 0
			       : err_set(e, -ENOMEM, "no memory for a session");
}

/* Where the next frame's payload is to be written. */
static struct payload begin_frame(struct session *s)
{
	struct payload p = {0};

	if (s->out_at) {
		memmove(s->out, s->out + s->out_at, s->out_len);
		s->out_at = 0;
	}
	p.bytes = s->out + s->out_len + sizeof(struct proto_frame);
	if (s->out_len + sizeof(struct proto_frame) > SESSION_OUT_MAX)
		p.is_over = true;
	else
		p.max = SESSION_OUT_MAX - s->out_len -
			sizeof(struct proto_frame);
	if (p.max > PROTO_REQUEST_MAX)
		p.max = PROTO_REQUEST_MAX;
	return p;
}

/* False where it did not fit, and then nothing of it is there. */
static bool end_frame(struct session *s, const struct payload *p, uint8_t type,
		      uint8_t stream)
{
	struct proto_frame f = {.type = type, .stream = stream};

	if (p->is_over)
		return false;
	proto_put32(&f.length, (uint32_t)p->len);
	memcpy(s->out + s->out_len, &f, sizeof(f));
	s->out_len += sizeof(f) + p->len;
	return true;
}

static bool put_frame(struct session *s, uint8_t type, uint8_t stream,
		      const void *bytes, size_t len)
{
	struct payload p;

	if (!s->out)
		return false;
	p = begin_frame(s);
	put(&p, bytes, len);
	return end_frame(s, &p, type, stream);
}

bool session_is_full(const struct session *s)
{
	return s->out_len > 0;
}

size_t session_room(const struct session *s)
{
	size_t room = SESSION_OUT_MAX / 4;

	if (s->fd < 0 || s->is_input_over || s->out_len >= room)
		return 0;
	room -= s->out_len;
	if (room > s->input_room)
		room = (size_t)s->input_room;
	return room < INPUT_CHUNK ? room : INPUT_CHUNK;
}

void session_input(struct session *s, const uint8_t *bytes, size_t len)
{
	if (put_frame(s, PROTO_DATA, PROTO_STDIN, bytes, len))
		s->input_room -= len < s->input_room ? len : s->input_room;
}

void session_end_input(struct session *s)
{
	if (!s->is_input_over)
		(void)put_frame(s, PROTO_EOF, PROTO_STDIN, NULL, 0);
	s->is_input_over = true;
}

void session_signal(struct session *s, int signal)
{
	struct proto_signal number;

	proto_put32(&number.signal, (uint32_t)signal);
	(void)put_frame(s, PROTO_SIGNAL, 0, &number, sizeof(number));
}

void session_resize(struct session *s, struct terminal_size size)
{
	struct proto_resize both;

	proto_put16(&both.rows, size.rows);
	proto_put16(&both.columns, size.columns);
	(void)put_frame(s, PROTO_RESIZE, 0, &both, sizeof(both));
}

void session_used(struct session *s, int stream, size_t n)
{
	struct proto_credit credit;

	if (stream != PROTO_STDOUT && stream != PROTO_STDERR)
		return;
	s->used[stream] += (uint32_t)n;
	if (s->used[stream] < GIVE_BACK)
		return;
	proto_put32(&credit.bytes, s->used[stream]);
	if (put_frame(s, PROTO_CREDIT, (uint8_t)stream, &credit,
		      sizeof(credit)))
		s->used[stream] = 0;
}

/* ---- requests ----------------------------------------------------------- */

static int greet(struct session *s, struct err *e)
{
	struct proto_hello hello = {0};
	int rc = make_buffers(s, e);

	if (rc)
		return rc;
	proto_put32(&hello.magic, PROTO_MAGIC);
	proto_put32(&hello.version, PROTO_VERSION);
	s->input_room = PROTO_WINDOW;
	return put_frame(s, PROTO_HELLO, 0, &hello, sizeof(hello)) ? 0 : -E2BIG;
}

static void put_interface(struct payload *p, const struct session_network *n)
{
	const struct proto_interface none = {0};
	char text[32];

	put(p, &none, sizeof(none));
	put_string(p, "");
	if (!n->prefix) {
		/* A tap of the user's: who gives it addresses is theirs. */
		put_number(p, 0);
		put_string(p, "");
		put_string(p, "");
		return;
	}
	snprintf(text, sizeof(text), "%u.%u.%u.%u/%u", n->ip[0], n->ip[1],
		 n->ip[2], n->ip[3], n->prefix);
	put_number(p, 1);
	put_string(p, text);
	snprintf(text, sizeof(text), "%u.%u.%u.%u", n->gateway[0],
		 n->gateway[1], n->gateway[2], n->gateway[3]);
	put_string(p, n->gateway[0] ? text : "");
	put_string(p, "");
}

/* The host's clock and some of its randomness come with it. */
static bool configure(struct session *s, const struct session_plan *plan)
{
	const struct session_network *n = plan->network;
	struct proto_configure c = {0};
	struct payload p = begin_frame(s);
	uint8_t entropy[64];
	struct timespec now;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	proto_put64(&c.time_ns,
		    (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	put(&p, &c, sizeof(c));
	put_string(&p, plan->hostname);
	put_string(&p, SESSION_IMAGE_SERIAL);
	put_string(&p, "");
	if (getrandom(entropy, sizeof(entropy), 0) == sizeof(entropy)) {
		put_number(&p, sizeof(entropy));
		put(&p, entropy, sizeof(entropy));
	} else {
		put_string(&p, "");
	}
	put_number(&p, n ? 1 : 0);
	if (n)
		put_interface(&p, n);
	if (plan->dns) {
		put_list(&p, plan->dns);
	} else if (n && n->dns[0]) {
		snprintf(text, sizeof(text), "%u.%u.%u.%u", n->dns[0],
			 n->dns[1], n->dns[2], n->dns[3]);
		put_number(&p, 1);
		put_string(&p, text);
	} else {
		put_number(&p, 0);
	}
	put_list(&p, plan->search);
	s->done_due++;
	return end_frame(s, &p, PROTO_CONFIGURE, 0);
}

static void put_process(struct payload *p, const struct session_plan *plan)
{
	struct proto_process process = {0};

	proto_put32(&process.flags,
		    (plan->has_tty ? PROTO_TTY : 0u) |
			    (plan->has_stdin ? PROTO_INPUT : 0u) |
			    (plan->is_kept ? PROTO_KEEP : 0u));
	if (plan->has_tty) {
		proto_put16(&process.rows, plan->size.rows);
		proto_put16(&process.columns, plan->size.columns);
	}
	proto_put64(&process.capabilities, CAPABILITIES);
	put(p, &process, sizeof(process));
	put_string(p, plan->user);
	put_string(p, plan->workdir);
	put_list(p, plan->argv);
	put_list(p, plan->env);
}

static bool run(struct session *s, const struct session_plan *plan)
{
	struct payload p = begin_frame(s);
	struct proto_run r = {0};
	char serial[32];
	unsigned i;

	put_process(&p, plan);
	proto_put32(&r.stop_signal, (uint32_t)plan->stop_signal);
	put(&p, &r, sizeof(r));
	put_string(&p, CONTAINER);
	put_string(&p, "");
	put_string(&p, plan->hostname);
	put_number(&p, plan->mount_count);
	for (i = 0; i < plan->mount_count; i++) {
		const struct session_mount *m = &plan->mounts[i];
		struct proto_mount mount = {0};

		proto_put32(&mount.flags,
			    m->is_read_only ? PROTO_MOUNT_READ_ONLY : 0u);
		put(&p, &mount, sizeof(mount));
		snprintf(serial, sizeof(serial), SESSION_VOLUME_SERIAL,
			 m->volume);
		put_string(&p, serial);
		put_string(&p, m->target);
	}
	return end_frame(s, &p, PROTO_RUN, 0);
}

static bool exec(struct session *s, const struct session_plan *plan)
{
	struct payload p = begin_frame(s);

	put_process(&p, plan);
	put_string(&p, CONTAINER);
	return end_frame(s, &p, PROTO_EXEC, 0);
}

/* A request that is a struct, the container's name, and perhaps a string. */
static bool ask(struct session *s, uint8_t type, const void *head, size_t len,
		const char *path)
{
	struct payload p = begin_frame(s);

	put(&p, head, len);
	put_string(&p, CONTAINER);
	if (path)
		put_string(&p, path);
	return end_frame(s, &p, type, 0);
}

int session_start(struct session *s, const struct session_plan *plan,
		  struct err *e)
{
	bool fits = true;
	int rc = greet(s, e);

	if (rc)
		return rc;
	if (plan->kind == SESSION_RUN)
		fits = configure(s, plan) && run(s, plan);
	else if (plan->kind == SESSION_EXEC)
		fits = exec(s, plan);
	else
		fits = ask(s, PROTO_ATTACH, NULL, 0, NULL);
	if (fits)
		return 0;
	return err_set(e, -E2BIG,
		       "the command and its environment have more than %d KiB",
		       PROTO_REQUEST_MAX >> 10);
}

static int copy(struct session *s, uint8_t type, uint32_t flags,
		const char *path, struct err *e)
{
	struct proto_copy head;
	int rc = greet(s, e);

	proto_put32(&head.flags, flags);
	if (!rc && !ask(s, type, &head, sizeof(head), path))
		rc = err_set(e, -E2BIG, "%s is too long a path", path);
	return rc;
}

int session_copy_in(struct session *s, const char *path, struct err *e)
{
	return copy(s, PROTO_COPY_IN, PROTO_COPY_OWN, path, e);
}

int session_copy_out(struct session *s, const char *path, struct err *e)
{
	return copy(s, PROTO_COPY_OUT, PROTO_COPY_FOLLOW, path, e);
}

void session_sync(struct session *s)
{
	const struct proto_remove forced = {.force = {{1}}};

	/* Removing the container unmounts its disks; their journals are clean
	 * then. Should that fail, what was written is safe all the same. */
	s->done_due++;
	(void)put_frame(s, PROTO_SYNC, 0, NULL, 0);
	(void)ask(s, PROTO_REMOVE, &forced, sizeof(forced), NULL);
}

/* ---- requests that wait ---------------------------------------------------
 */

int session_kill(const char *socket, int signal, struct err *e)
{
	struct session_frame f = {0};
	struct proto_kill head;
	struct session s;
	int rc = session_connect(&s, socket, e);

	proto_put32(&head.signal, (uint32_t)signal);
	if (!rc)
		rc = greet(&s, e);
	if (!rc) {
		(void)ask(&s, PROTO_KILL, &head, sizeof(head), NULL);
		rc = session_await(&s, &f, ANSWER_MS, e);
	}
	if (!rc && f.event == SESSION_FAILED)
		rc = err_set(e, -ESRCH, "%s", f.text);
	session_fini(&s);
	return rc;
}

int session_shutdown(const char *socket, uint32_t grace_ms, struct err *e)
{
	struct session_frame f = {0};
	struct proto_shutdown head;
	struct session s;
	int rc = session_connect(&s, socket, e);

	proto_put32(&head.grace_ms, grace_ms);
	if (!rc)
		rc = greet(&s, e);
	if (!rc) {
		(void)put_frame(&s, PROTO_SHUTDOWN, 0, &head, sizeof(head));
		rc = session_await(&s, &f, (int)grace_ms + SYNC_MS, e);
	}
	if (!rc && f.event == SESSION_FAILED)
		rc = err_set(e, -EIO, "%s", f.text);
	session_fini(&s);
	return rc;
}
