/* Frames for the agent, put together in a session's memory. */
#include "api/ctl/agent/frame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void frame_put(struct payload *p, const void *bytes, size_t len)
{
	if (p->is_over || len > p->max - p->len) {
		p->is_over = true;
		return;
	}
	if (len && p->bytes)
		memcpy(p->bytes + p->len, bytes, len);
	p->len += len;
}

void frame_number(struct payload *p, uint32_t value)
{
	struct proto_le32 number;

	proto_put32(&number, value);
	frame_put(p, &number, sizeof(number));
}

void frame_string(struct payload *p, const char *string)
{
	const size_t len = string ? strlen(string) : 0;

	if (len > PROTO_REQUEST_MAX) {
		p->is_over = true;
		return;
	}
	frame_number(p, (uint32_t)len);
	frame_put(p, string, len);
}

void frame_container(struct payload *p, const char *id)
{
	frame_string(p, id ? id : SESSION_CONTAINER);
}

void frame_list(struct payload *p, const char *const *list)
{
	uint32_t n = 0;

	while (list && list[n])
		n++;
	frame_number(p, n);
	for (n = 0; list && list[n]; n++)
		frame_string(p, list[n]);
}

void frame_interface(struct payload *p, const struct session_network *n,
		     const char *mac)
{
	struct proto_interface head;
	char text[32];

	proto_put32(&head.mtu, n->mtu);
	frame_put(p, &head, sizeof(head));
	if (mac)
		frame_string(p, mac);
	frame_string(p, "");
	if (n->addresses) {
		frame_list(p, n->addresses);
		frame_string(p, n->gateway4);
		frame_string(p, n->gateway6);
		return;
	}
	if (!n->prefix) {
		/* A tap of the user's: who gives it addresses is theirs. */
		frame_number(p, 0);
		frame_string(p, "");
		frame_string(p, "");
		return;
	}
	snprintf(text, sizeof(text), "%u.%u.%u.%u/%u", n->ip[0], n->ip[1],
		 n->ip[2], n->ip[3], n->prefix);
	frame_number(p, 1);
	frame_string(p, text);
	snprintf(text, sizeof(text), "%u.%u.%u.%u", n->gateway[0],
		 n->gateway[1], n->gateway[2], n->gateway[3]);
	frame_string(p, n->gateway[0] ? text : "");
	frame_string(p, "");
}

struct payload frame_begin(struct session *s)
{
	struct payload p = {0};

	if (s->out_at) {
		memmove(s->out, s->out + s->out_at, s->out_len);
		s->out_at = 0;
	}
	p.bytes = s->out + s->out_len + sizeof(struct proto_frame);
	if (s->out_len + sizeof(struct proto_frame) > s->out_max)
		p.is_over = true;
	else
		p.max = s->out_max - s->out_len - sizeof(struct proto_frame);
	if (p.max > PROTO_REQUEST_MAX)
		p.max = PROTO_REQUEST_MAX;
	return p;
}

bool frame_end(struct session *s, const struct payload *p, uint8_t type,
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

bool frame_send(struct session *s, uint8_t type, uint8_t stream,
		const void *bytes, size_t len)
{
	struct payload p;

	if (!s->out)
		return false;
	p = frame_begin(s);
	frame_put(&p, bytes, len);
	return frame_end(s, &p, type, stream);
}

static int make_buffers(struct session *s, struct err *e)
{
	if (!s->in)
		s->in = malloc(SESSION_IN_MAX);
	if (!s->out) {
		s->out = malloc(SESSION_OUT_MAX);
		s->out_max = SESSION_OUT_MAX;
	}
	return s->in && s->out ? 0
			       : err_set(e, -ENOMEM, "no memory for a session");
}

int frame_greet(struct session *s, struct err *e)
{
	struct proto_hello hello = {0};
	int rc = make_buffers(s, e);

	if (rc)
		return rc;
	proto_put32(&hello.magic, PROTO_MAGIC);
	proto_put32(&hello.version, PROTO_VERSION);
	s->input_room = PROTO_WINDOW;
	return frame_send(s, PROTO_HELLO, 0, &hello, sizeof(hello)) ? 0
								    : -E2BIG;
}

bool frame_group(struct session *s, const char *id, const char *const *limits)
{
	struct payload p = frame_begin(s);

	frame_container(&p, id);
	frame_list(&p, limits);
	return frame_end(s, &p, PROTO_GROUP, 0);
}
