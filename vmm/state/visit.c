#include "vmm/state/visit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 4096 };

void visitor_save(struct visitor *v, uint32_t version, struct err *e)
{
	*v = (struct visitor){.version = version, .e = e};
}

void visitor_load(struct visitor *v, const void *data, size_t len,
		  uint32_t version, struct err *e)
{
	*v = (struct visitor){
		.is_loading = true,
		.version = version,
		.e = e,
		.data = (uint8_t *)(uintptr_t)data,
		.len = len,
	};
}

void visitor_fini(struct visitor *v)
{
	if (!v->is_loading)
		free(v->data);
	memset(v, 0, sizeof(*v));
}

__attribute__((format(printf, 3, 0))) static void
fail(struct visitor *v, int code, const char *fmt, va_list ap)
{
	char text[sizeof(v->e->text)];

	if (v->rc)
		return;
	v->rc = code;
	vsnprintf(text, sizeof(text), fmt, ap);
	(void)err_set(v->e, code, "%s", text);
}

void visit_fail(struct visitor *v, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail(v, code, fmt, ap);
	va_end(ap);
}

bool visit_check(struct visitor *v, bool good, const char *fmt, ...)
{
	va_list ap;

	if (good || !v->is_loading)
		return !v->rc;
	va_start(ap, fmt);
	fail(v, -EINVAL, fmt, ap);
	va_end(ap);
	return false;
}

int visitor_end(struct visitor *v)
{
	if (v->is_loading && v->at != v->len)
		visit_fail(v, -EINVAL, "%zu bytes more than this version knows",
			   v->len - v->at);
	return v->rc;
}

static bool make_room(struct visitor *v, size_t len)
{
	size_t room = v->room ? v->room : FIRST_ROOM;
	uint8_t *data;

	if (len <= v->room - v->len)
		return true;
	while (room - v->len < len)
		room *= 2;
	data = realloc(v->data, room);
	if (!data) {
		visit_fail(v, -ENOMEM, "no memory for the state");
		return false;
	}
	v->data = data;
	v->room = room;
	return true;
}

void visit_bytes(struct visitor *v, void *x, size_t len)
{
	if (v->is_loading) {
		if (!v->rc && len > v->len - v->at)
			visit_fail(v, -EINVAL, "it ends too early");
		if (v->rc) {
			memset(x, 0, len);
			return;
		}
		memcpy(x, v->data + v->at, len);
		v->at += len;
		return;
	}
	if (v->rc || !len || !make_room(v, len))
		return;
	memcpy(v->data + v->len, x, len);
	v->len += len;
}

static void visit_le(struct visitor *v, uint64_t *x, unsigned bytes)
{
	uint8_t le[8] = {0};
	unsigned i;

	for (i = 0; i < bytes; i++)
		le[i] = (uint8_t)(*x >> 8 * i);
	visit_bytes(v, le, bytes);
	for (*x = 0, i = 0; i < bytes; i++)
		*x |= (uint64_t)le[i] << 8 * i;
}

void visit_u8(struct visitor *v, uint8_t *x)
{
	visit_bytes(v, x, 1);
}

void visit_u16(struct visitor *v, uint16_t *x)
{
	uint64_t wide = *x;

	visit_le(v, &wide, 2);
	*x = (uint16_t)wide;
}

void visit_u32(struct visitor *v, uint32_t *x)
{
	uint64_t wide = *x;

	visit_le(v, &wide, 4);
	*x = (uint32_t)wide;
}

void visit_u64(struct visitor *v, uint64_t *x)
{
	visit_le(v, x, 8);
}

void visit_bool(struct visitor *v, bool *x)
{
	/* What is not loaded yet may be no bool at all. */
	uint8_t byte = v->is_loading ? 0 : *x;

	visit_u8(v, &byte);
	visit_check(v, byte <= 1, "%u where yes or no is meant", byte);
	*x = byte == 1;
}
