/*
 * Connections to the guest's ports: one write that says all there is to say,
 * and answers that are read no further than where they end.
 */
#include "api/ctl/agent/dial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "api/ctl/agent/session.h"
#include "guest/proto.h"
#include "vmm/base/fd.h"

_Static_assert(DIAL_MAX == PROTO_FORWARDS && DIAL_MAX < PROTO_SESSIONS,
	       "there are sessions that no port's client can have");

static size_t put_request(uint8_t *out, uint16_t port)
{
	struct {
		struct proto_frame hello_frame;
		struct proto_hello hello;
		struct proto_frame frame;
		struct proto_forward forward;
		struct proto_le32 address; /* the length of none */
	} said = {
		.hello_frame.type = PROTO_HELLO,
		.frame.type = PROTO_FORWARD,
	};

	proto_put32(&said.hello_frame.length, sizeof(said.hello));
	proto_put32(&said.hello.magic, PROTO_MAGIC);
	proto_put32(&said.hello.version, PROTO_VERSION);
	proto_put32(&said.frame.length,
		    sizeof(said.forward) + sizeof(said.address));
	proto_put16(&said.forward.port, port);
	memcpy(out, &said, sizeof(said));
	return sizeof(said);
}

int dial_begin(struct dial *d, const char *socket, uint16_t port, struct err *e)
{
	CLEAN_FD int fd = session_connect_unix(socket, SOCK_NONBLOCK, e);
	uint8_t bytes[256];
	size_t len;

	*d = (struct dial){0};
	if (fd < 0)
		return fd;
	/* What follows the line is kept for the guest. */
	len = (size_t)snprintf((char *)bytes, 32, "CONNECT %d\n", PROTO_PORT);
	len += put_request(bytes + len, port);
	if (send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
		return err_errno(e, "can't send to the microVM");
	return fd_steal(&fd);
}

/*
 * How many bytes still have to be read before more can be told; 0 when the
 * agent has agreed, or a negative errno.
 */
static int judge(const struct dial *d)
{
	const uint8_t *end = memchr(d->said, '\n', d->len);
	const uint8_t *stop = d->said + d->len;
	struct proto_frame f;
	size_t len;

	if (!end)
		return d->len < 32 ? 1 : -EPROTO;
	if (memcmp(d->said, "OK ", 3) != 0)
		return -EPROTO;
	for (end++;;) {
		const size_t have = (size_t)(stop - end);

		if (have < sizeof(f))
			return (int)(sizeof(f) - have);
		memcpy(&f, end, sizeof(f));
		len = proto_get32(&f.length);
		if (f.type != PROTO_HELLO && f.type != PROTO_STARTED)
			return -ECONNREFUSED;
		if (len > 64)
			return -EPROTO;
		if (have < sizeof(f) + len)
			return (int)(sizeof(f) + len - have);
		if (f.type == PROTO_STARTED)
			return 0;
		end += sizeof(f) + len;
	}
}

int dial_go_on(struct dial *d, int fd)
{
	ssize_t n;
	int need;

	while ((need = judge(d)) > 0) {
		if ((size_t)need > sizeof(d->said) - d->len)
			return -EPROTO;
		n = recv(fd, d->said + d->len, (size_t)need, MSG_DONTWAIT);
		if (n < 0)
			return errno == EINTR ? -EAGAIN : -errno;
		if (n == 0)
			return -ECONNREFUSED;
		d->len += (size_t)n;
	}
	return need;
}
