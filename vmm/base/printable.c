/*
 * Text of a guest's or an image's on its way to a terminal.
 */
#include "vmm/base/printable.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* What a character's first byte says of its length; 0: it is no first. */
static size_t utf8_len(uint8_t first)
{
	if (first < 0x80)
		return 1;
	if (first < 0xc0 || first >= 0xf8)
		return 0;
	if (first < 0xe0)
		return 2;
	return first < 0xf0 ? 3 : 4;
}

size_t utf8_take(const uint8_t *b, size_t left, uint32_t *code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const size_t len = utf8_len(b[0]);

	if (!len || len > left)
		return 0;
	*code = len == 1 ? b[0] : b[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((b[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (b[i] & 0x3fu);
	}
	if (*code < least[len] || *code > 0x10ffff ||
	    (*code >= 0xd800 && *code < 0xe000))
		return 0;
	return len;
}

static bool is_harmless(uint32_t code)
{
	return code >= ' ' && (code < 0x7f || code > 0x9f) &&
	       code != 0x61c &&			   /* a mark of direction */
	       (code < 0x200b || code > 0x200f) && /* and more of them */
	       (code < 0x2028 || code > 0x202e) && /* separators, too */
	       (code < 0x2066 || code > 0x2069) && code != 0xfeff;
}

size_t printable_copy(const void *from, size_t len, char *to, size_t size)
{
	const uint8_t *b = from;
	size_t at = 0;

	for (size_t i = 0, n; i < len; i += n) {
		uint32_t code = 0;
		const bool whole = (n = utf8_take(b + i, len - i, &code)) > 0;
		const bool as_it_is = whole && is_harmless(code);

		if (!whole)
			n = 1;
		if (at + (as_it_is ? n : 4 * n) >= size)
			break;
		if (as_it_is) {
			memcpy(to + at, b + i, n);
			at += n;
			continue;
		}
		for (size_t k = 0; k < n; k++)
			at += (size_t)snprintf(to + at, size - at, "\\x%02x",
					       b[i + k]);
	}
	if (size)
		to[at] = '\0';
	return at;
}

void printable_blank(char *text, size_t len)
{
	uint8_t *b = (uint8_t *)text;

	for (size_t i = 0, n; i < len; i += n) {
		uint32_t code = 0;

		n = utf8_take(b + i, len - i, &code);
		/* A terminal of bytes obeys a single one. */
		if (!n) {
			n = 1;
			code = b[i];
		}
		if (!is_harmless(code))
			memset(b + i, ' ', n);
	}
}
