#include "api/ctl/ttrpc/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm/base/fd.h"

enum { ROOM = 16 << 10 };

void wire_init(struct wire *w, int fd)
{
	*w = (struct wire){.fd = fd};
}

void wire_fini(struct wire *w)
{
	fd_close(&w->fd);
	free(w->in);
	free(w->out);
	*w = (struct wire){.fd = -1};
}

static uint32_t get32(const uint8_t *at)
{
	uint32_t be;

	memcpy(&be, at, sizeof(be));
	return ntohl(be);
}

static void put32(uint8_t *at, uint32_t v)
{
	const uint32_t be = htonl(v);

	memcpy(at, &be, sizeof(be));
}

/* Room for so many bytes behind len; both are bounded by the callers. */
static int grow(uint8_t **bytes, size_t *max, size_t at, size_t len,
		size_t more)
{
	size_t want = len + more;
	uint8_t *new;

	if (at)
		memmove(*bytes, *bytes + at, len);
	if (want <= *max)
		return 0;
	want = want < ROOM ? ROOM : want;
	new = realloc(*bytes, want);
	if (!new)
		return -ENOMEM;
	*bytes = new;
	*max = want;
	return 0;
}

/* ---- in ----------------------------------------------------------------- */

/* Bytes of the next frame, its header too; 0 where that is not here. */
static size_t next_size(const struct wire *w)
{
	if (w->in_len < WIRE_HEADER)
		return 0;
	return WIRE_HEADER + (size_t)get32(w->in + w->in_at);
}

bool wire_has_more(const struct wire *w)
{
	const size_t size = next_size(w);

	return size && w->in_len >= size;
}

/*
 * Memory follows what has come, not what is announced: who says 4 MiB and sends
 * nothing costs nothing.
 */
static int read_more(struct wire *w)
{
	int rc = grow(&w->in, &w->in_max, w->in_at, w->in_len, ROOM);
	ssize_t n;

	w->in_at = 0;
	if (rc)
		return rc;
	n = recv(w->fd, w->in + w->in_len, w->in_max - w->in_len, MSG_DONTWAIT);
	if (n > 0) {
		w->in_len += (size_t)n;
		return 0;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? -EAGAIN
							    : -ECONNRESET;
}

int wire_next(struct wire *w, struct wire_frame *f)
{
	const uint8_t *at;
	size_t size;

	while (!wire_has_more(w)) {
		int rc;

		if (next_size(w) > WIRE_HEADER + WIRE_DATA_MAX)
			return -EMSGSIZE;
		rc = read_more(w);
		if (rc)
			return rc;
	}
	size = next_size(w);
	if (size > WIRE_HEADER + WIRE_DATA_MAX)
		return -EMSGSIZE;
	at = w->in + w->in_at;
	*f = (struct wire_frame){
		.stream = get32(at + 4),
		.type = at[8],
		.flags = at[9],
		.bytes = at + WIRE_HEADER,
		.len = size - WIRE_HEADER,
	};
	w->in_at += size;
	w->in_len -= size;
	return 0;
}

/* ---- out ---------------------------------------------------------------- */

int wire_put(struct wire *w, const struct wire_frame *f)
{
	uint8_t *at;
	int rc;

	if (f->len > WIRE_DATA_MAX)
		return -EMSGSIZE;
	if (w->out_len + WIRE_HEADER + f->len > WIRE_OUT_MAX)
		return -ENOBUFS;
	rc = grow(&w->out, &w->out_max, w->out_at, w->out_len,
		  WIRE_HEADER + f->len);
	w->out_at = 0;
	if (rc)
		return rc;
	at = w->out + w->out_len;
	put32(at, (uint32_t)f->len);
	put32(at + 4, f->stream);
	at[8] = f->type;
	at[9] = f->flags;
	if (f->len)
		memcpy(at + WIRE_HEADER, f->bytes, f->len);
	w->out_len += WIRE_HEADER + f->len;
	return 0;
}

int wire_flush(struct wire *w)
{
	while (w->out_len) {
		ssize_t n = send(w->fd, w->out + w->out_at, w->out_len,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -EAGAIN : -errno;
		w->out_at += (size_t)n;
		w->out_len -= (size_t)n;
	}
	w->out_at = 0;
	return 0;
}
