/*
 * Counted strings and frames. The peer is hostile: lengths are held against
 * what is there before anything is read or allocated.
 */
#include "guest/agent/wire.h"

#include <stdlib.h>
#include <string.h>

const void *reader_take(struct reader *r, size_t len)
{
	const void *at = r->at;

	if (r->is_bad || len > r->left) {
		r->is_bad = true;
		return NULL;
	}
	r->at += len;
	r->left -= len;
	return at;
}

struct bytes reader_bytes(struct reader *r)
{
	const struct proto_le32 *len = reader_take(r, sizeof(*len));
	struct bytes b = {"", 0};
	const void *at;

	if (!len)
		return b;
	at = reader_take(r, proto_get32(len));
	if (!at)
		return b;
	b.at = at;
	b.len = proto_get32(len);
	return b;
}

struct bytes reader_string(struct reader *r)
{
	struct bytes b = reader_bytes(r);

	if (b.len && memchr(b.at, '\0', b.len)) {
		r->is_bad = true;
		b.len = 0;
	}
	return b;
}

uint32_t reader_count(struct reader *r)
{
	const struct proto_le32 *n = reader_take(r, sizeof(*n));

	if (!n)
		return 0;
	/* Each item has at least its length. */
	if (proto_get32(n) > PROTO_LIST_MAX ||
	    proto_get32(n) > r->left / sizeof(*n)) {
		r->is_bad = true;
		return 0;
	}
	return proto_get32(n);
}

char **reader_strings(struct reader *r)
{
	const uint32_t n = reader_count(r);
	const size_t head = (n + 1) * sizeof(char *);
	char **list, *to;

	if (r->is_bad)
		return NULL;
	/* A string's NUL takes less room than its length did. */
	list = malloc(head + r->left + 1);
	if (!list) {
		r->is_bad = true;
		return NULL;
	}
	to = (char *)list + head;
	for (uint32_t i = 0; i < n; i++) {
		const struct bytes b = reader_string(r);

		list[i] = to;
		memcpy(to, b.at, b.len);
		to[b.len] = '\0';
		to += b.len + 1;
	}
	list[n] = NULL;
	if (!r->is_bad)
		return list;
	free(list);
	return NULL;
}

char *reader_copy(struct reader *r)
{
	const struct bytes b = reader_string(r);
	char *s = r->is_bad ? NULL : strndup(b.at, b.len);

	if (!s)
		r->is_bad = true;
	return s;
}

bool reader_done(const struct reader *r)
{
	return !r->is_bad && r->left == 0;
}

uint8_t *writer_room(struct writer *w, size_t len)
{
	if (w->is_bad)
		return NULL;
	if (w->from == w->to)
		w->from = w->to = 0;
	if (w->size - w->to >= len)
		return w->buf + w->to;
	if (w->from) {
		memmove(w->buf, w->buf + w->from, writer_len(w));
		w->to -= w->from;
		w->from = 0;
	}
	if (w->size - w->to < len) {
		const size_t size = (w->to + len) * 2;
		uint8_t *buf = realloc(w->buf, size);

		if (!buf) {
			w->is_bad = true;
			return NULL;
		}
		w->buf = buf;
		w->size = size;
	}
	return w->buf + w->to;
}

void writer_add(struct writer *w, const void *data, size_t len)
{
	uint8_t *to = len ? writer_room(w, len) : NULL;

	if (!to)
		return;
	memcpy(to, data, len);
	w->to += len;
}

void writer_string(struct writer *w, const char *s, size_t len)
{
	struct proto_le32 n;

	proto_put32(&n, (uint32_t)len);
	writer_add(w, &n, sizeof(n));
	writer_add(w, s, len);
}

size_t frame_begin(struct writer *w, uint8_t type, uint8_t stream)
{
	const struct proto_frame f = {.type = type, .stream = stream};
	const size_t begin = writer_len(w);

	writer_add(w, &f, sizeof(f));
	return begin;
}

void frame_end(struct writer *w, size_t begin)
{
	struct proto_frame *f;

	if (w->is_bad)
		return;
	f = (struct proto_frame *)(w->buf + w->from + begin);
	proto_put32(&f->length, (uint32_t)(writer_len(w) - begin - sizeof(*f)));
}

void frame_put(struct writer *w, uint8_t type, uint8_t stream, const void *data,
	       size_t len)
{
	const size_t begin = frame_begin(w, type, stream);

	writer_add(w, data, len);
	frame_end(w, begin);
}

void writer_fini(struct writer *w)
{
	free(w->buf);
	*w = (struct writer){0};
}
