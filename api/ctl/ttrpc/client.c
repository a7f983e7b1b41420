#include "api/ctl/ttrpc/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <ttrpc.pb-c.h>

#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"

enum { AGAIN_NS = 500000000 };

struct ttrpc_letter {
	struct ttrpc_letter *next;
	size_t len;
	uint8_t bytes[]; /* a ttrpc request */
};

static void drop(struct ttrpc_client *c, struct ttrpc_letter **at)
{
	struct ttrpc_letter *l = *at;

	*at = l->next;
	if (!*at)
		c->last = at;
	c->count--;
	free(l);
}

static void hang_up(struct ttrpc_client *c)
{
	loop_delete(c->loop, &c->watch);
	wire_fini(&c->wire);
	c->stream = 0;
	if (c->first)
		loop_arm(c->loop, &c->again, clock_now_ns() + AGAIN_NS);
}

static int connect_to(struct ttrpc_client *c)
{
	CLEAN_FD int fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return -errno;
	/* A Unix socket connects at once, or its queue is full: later. */
	if (connect(fd, (const struct sockaddr *)&c->address,
		    sizeof(c->address)))
		return -errno;
	wire_init(&c->wire, fd);
	rc = loop_add(c->loop, &c->watch, fd, EPOLLIN, NULL);
	if (rc)
		c->wire.fd = -1;
	else
		(void)fd_steal(&fd);
	return rc;
}

/* Sends the first letter where none is on its way. */
static void go_on(struct ttrpc_client *c)
{
	struct wire_frame f = {.type = WIRE_REQUEST};
	int rc = 0;

	loop_disarm(c->loop, &c->again);
	if (!c->first)
		return;
	if (c->wire.fd < 0 && connect_to(c)) {
		/* Also where its queue is full, of which nothing tells. */
		hang_up(c);
		return;
	}
	if (!c->stream) {
		c->stream = c->next_stream;
		c->next_stream += 2;
		f.stream = c->stream;
		f.bytes = c->first->bytes;
		f.len = c->first->len;
		rc = wire_put(&c->wire, &f);
	}
	if (!rc)
		rc = wire_flush(&c->wire);
	if (rc && rc != -EAGAIN) {
		hang_up(c);
		return;
	}
	loop_change(c->loop, &c->watch,
		    EPOLLIN | (rc ? (uint32_t)EPOLLOUT : 0));
}

static void client_ready(struct loop_watch *w, uint32_t events)
{
	struct ttrpc_client *c = container_of(w, struct ttrpc_client, watch);
	struct wire_frame f;
	int rc;

	(void)events;
	while (!(rc = wire_next(&c->wire, &f))) {
		/* Stream 0 is nobody's, nor what none of ours waits for. */
		if (f.type != WIRE_RESPONSE || !c->stream ||
		    f.stream != c->stream)
			continue;
		c->stream = 0;
		drop(c, &c->first);
	}
	if (rc != -EAGAIN)
		hang_up(c);
	else
		go_on(c);
}

static void again_fire(struct loop_timer *t)
{
	go_on(container_of(t, struct ttrpc_client, again));
}

int ttrpc_client_init(struct ttrpc_client *c, struct loop *loop,
		      const char *path, struct err *e)
{
	*c = (struct ttrpc_client){
		.loop = loop,
		.address.sun_family = AF_UNIX,
		.wire.fd = -1,
		.watch = {.fd = -1, .ready = client_ready},
		.again.fire = again_fire,
		.next_stream = 1,
	};
	c->last = &c->first;
	if (strlen(path) >= sizeof(c->address.sun_path))
		return err_set(e, -ENAMETOOLONG,
			       "%.200s is too long for a socket's path", path);
	memcpy(c->address.sun_path, path, strlen(path));
	return 0;
}

int ttrpc_client_send(struct ttrpc_client *c, const char *service,
		      const char *method, const ProtobufCMessage *message)
{
	Ttrpc__Request r = TTRPC__REQUEST__INIT;
	char names[2][128];
	struct ttrpc_letter *l = NULL;
	size_t len;

	snprintf(names[0], sizeof(names[0]), "%s", service);
	snprintf(names[1], sizeof(names[1]), "%s", method);
	r.service = names[0];
	r.method = names[1];
	r.payload.len = protobuf_c_message_get_packed_size(message);
	r.payload.data = malloc(r.payload.len + 1);
	if (r.payload.data) {
		protobuf_c_message_pack(message, r.payload.data);
		len = ttrpc__request__get_packed_size(&r);
		l = malloc(sizeof(*l) + len);
	}
	if (l) {
		l->len = ttrpc__request__pack(&r, l->bytes);
		l->next = NULL;
		*c->last = l;
		c->last = &l->next;
		/* Not the one that is on its way. */
		if (++c->count > TTRPC_LETTERS)
			drop(c, c->stream ? &c->first->next : &c->first);
	}
	free(r.payload.data);
	if (!l)
		return -ENOMEM;
	if (!c->again.due_ns && !c->stream)
		go_on(c);
	return 0;
}

bool ttrpc_client_is_idle(const struct ttrpc_client *c)
{
	return !c->first;
}

void ttrpc_client_fini(struct ttrpc_client *c)
{
	if (!c->loop)
		return;
	while (c->first)
		drop(c, &c->first);
	hang_up(c);
	loop_disarm(c->loop, &c->again);
	*c = (struct ttrpc_client){0};
}
