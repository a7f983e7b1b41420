/* Bounded reading and writing of little-endian bytes. */
#include "vmm/base/cursor.h"

#include <endian.h>
#include <string.h>

void *cursor_take(struct cursor *c, size_t len)
{
	void *p;

	if (c->failed || len > c->len - c->at) {
		c->failed = true;
		return NULL;
	}
	p = c->base + c->at;
	c->at += len;
	return p;
}

uint8_t cursor_get8(struct cursor *c)
{
	const uint8_t *p = cursor_take(c, 1);

	return p ? *p : 0;
}

uint16_t cursor_get16(struct cursor *c)
{
	const void *p = cursor_take(c, 2);
	uint16_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

uint32_t cursor_get32(struct cursor *c)
{
	const void *p = cursor_take(c, 4);
	uint32_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

uint64_t cursor_get64(struct cursor *c)
{
	const void *p = cursor_take(c, 8);
	uint64_t v = 0;

	if (p)
		memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

void cursor_put(struct cursor *c, const void *bytes, size_t len)
{
	void *p = cursor_take(c, len);

	if (p && len)
		memcpy(p, bytes, len);
}

void cursor_put8(struct cursor *c, uint8_t v)
{
	cursor_put(c, &v, sizeof(v));
}

void cursor_put16(struct cursor *c, uint16_t v)
{
	v = htole16(v);
	cursor_put(c, &v, sizeof(v));
}

void cursor_put32(struct cursor *c, uint32_t v)
{
	v = htole32(v);
	cursor_put(c, &v, sizeof(v));
}

void cursor_put64(struct cursor *c, uint64_t v)
{
	v = htole64(v);
	cursor_put(c, &v, sizeof(v));
}

void cursor_put_text(struct cursor *c, const char *text)
{
	cursor_put(c, text, strlen(text));
}

void cursor_align(struct cursor *c, size_t align)
{
	cursor_take(c, -c->at & (align - 1));
}
