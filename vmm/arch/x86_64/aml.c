/* Writing ACPI Machine Language. */
#include "vmm/arch/x86_64/aml.h"

#include <string.h>

enum {
	OP_NAME = 0x08,
	OP_BYTE = 0x0a,
	OP_DWORD = 0x0c,
	OP_TEXT = 0x0d,
	OP_SCOPE = 0x10,
	OP_BUFFER = 0x11,
	OP_PACKAGE = 0x12,
	OP_METHOD = 0x14,
	OP_EXT = 0x5b,
	OP_EXT_DEVICE = 0x82,
	OP_NOTIFY = 0x86,
};

/*
 * A package length in three bytes (20.2.4), long enough for all we write, so
 * that it can be filled in once the contents are there.
 */
enum { LENGTH_BYTES = 3 };

static size_t begin(struct cursor *c)
{
	size_t mark = c->at;

	cursor_take(c, LENGTH_BYTES);
	return mark;
}

void aml_end(struct cursor *c, size_t mark)
{
	size_t len = c->at - mark;

	if (c->failed)
		return;
	c->base[mark] = (uint8_t)(2 << 6 | (len & 0xf));
	c->base[mark + 1] = (uint8_t)(len >> 4);
	c->base[mark + 2] = (uint8_t)(len >> 12);
}

size_t aml_begin_scope(struct cursor *c, const char *path)
{
	size_t mark;

	cursor_put8(c, OP_SCOPE);
	mark = begin(c);
	cursor_put_text(c, path);
	return mark;
}

size_t aml_begin_device(struct cursor *c, const char *name)
{
	size_t mark;

	cursor_put8(c, OP_EXT);
	cursor_put8(c, OP_EXT_DEVICE);
	mark = begin(c);
	cursor_put_text(c, name);
	return mark;
}

size_t aml_begin_method(struct cursor *c, const char *name, uint8_t arguments)
{
	size_t mark;

	cursor_put8(c, OP_METHOD);
	mark = begin(c);
	cursor_put_text(c, name);
	cursor_put8(c, arguments); /* flags: no more, and not serialized */
	return mark;
}

static void put_int(struct cursor *c, uint32_t value)
{
	if (value <= 0xff) {
		cursor_put8(c, OP_BYTE);
		cursor_put8(c, (uint8_t)value);
	} else {
		cursor_put8(c, OP_DWORD);
		cursor_put32(c, value);
	}
}

void aml_name_int(struct cursor *c, const char *name, uint32_t value)
{
	cursor_put8(c, OP_NAME);
	cursor_put_text(c, name);
	put_int(c, value);
}

void aml_name_text(struct cursor *c, const char *name, const char *value)
{
	cursor_put8(c, OP_NAME);
	cursor_put_text(c, name);
	cursor_put8(c, OP_TEXT);
	cursor_put(c, value, strlen(value) + 1);
}

void aml_name_package(struct cursor *c, const char *name,
		      const uint32_t *values, uint8_t count)
{
	size_t mark;
	uint8_t i;

	cursor_put8(c, OP_NAME);
	cursor_put_text(c, name);
	cursor_put8(c, OP_PACKAGE);
	mark = begin(c);
	cursor_put8(c, count);
	for (i = 0; i < count; i++)
		put_int(c, values[i]);
	aml_end(c, mark);
}

void aml_notify(struct cursor *c, const char *device, uint8_t value)
{
	cursor_put8(c, OP_NOTIFY);
	cursor_put_text(c, device);
	put_int(c, value);
}

/* The buffer's size stands before its bytes, as a byte: templates are short. */
enum { SIZE_AT = LENGTH_BYTES + 1, BYTES_AT = LENGTH_BYTES + 2 };

size_t aml_begin_crs(struct cursor *c)
{
	size_t mark;

	cursor_put8(c, OP_NAME);
	cursor_put_text(c, "_CRS");
	cursor_put8(c, OP_BUFFER);
	mark = begin(c);
	put_int(c, 0);
	return mark;
}

void aml_end_crs(struct cursor *c, size_t mark)
{
	cursor_put8(c, 0x79); /* end tag, 6.4.2.9 */
	cursor_put8(c, 0);    /* its checksum: 0 stands for right */
	if (c->failed || c->at - mark - BYTES_AT > 0xff) {
		c->failed = true;
		return;
	}
	c->base[mark + SIZE_AT] = (uint8_t)(c->at - mark - BYTES_AT);
	aml_end(c, mark);
}

void aml_memory(struct cursor *c, uint32_t base, uint32_t size)
{
	cursor_put8(c, 0x86); /* 32-bit fixed memory, 6.4.3.4 */
	cursor_put16(c, 9);
	cursor_put8(c, 1); /* writable */
	cursor_put32(c, base);
	cursor_put32(c, size);
}

void aml_ports(struct cursor *c, uint16_t base, uint8_t count)
{
	cursor_put8(c, 0x47); /* I/O ports, 6.4.2.5 */
	cursor_put8(c, 1);    /* 16-bit decode */
	cursor_put16(c, base);
	cursor_put16(c, base);
	cursor_put8(c, 1);
	cursor_put8(c, count);
}

void aml_interrupt(struct cursor *c, uint32_t gsi)
{
	cursor_put8(c, 0x89); /* extended interrupt, 6.4.3.6 */
	cursor_put16(c, 6);
	cursor_put8(c, 0x03); /* consumer, edge, active high, exclusive */
	cursor_put8(c, 1);
	cursor_put32(c, gsi);
}
