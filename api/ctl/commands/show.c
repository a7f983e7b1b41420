#include "api/ctl/commands/show.h"

#include <stdint.h>
#include <string.h>

int show_json(const json_t *json, size_t flags, FILE *to)
{
	const int rc = json ? json_dumpf(json, to, flags | JSON_ENSURE_ASCII)
			    : -1;

	fputc('\n', to);
	return rc;
}

/* By its first byte; 1 for what begins no character. */
static size_t length_of(unsigned char first)
{
	if (first < 0xc2 || first > 0xf4)
		return 1;
	if (first < 0xe0)
		return 2;
	return first < 0xf0 ? 3 : 4;
}

/* The character of UTF-8 at text and its length; a byte that is none is that.
 */
static uint32_t decode(const char *text, size_t *len)
{
	const unsigned char *at = (const unsigned char *)text;
	uint32_t c = *at;
	size_t i;

	*len = length_of(*at);
	if (*len > 1)
		c &= 0x7fU >> *len;
	for (i = 1; i < *len; i++) {
		if ((at[i] & 0xc0) != 0x80) {
			*len = 1;
			return *at;
		}
		c = c << 6 | (at[i] & 0x3f);
	}
	return c;
}

void show_text(const char *text, FILE *to)
{
	size_t len;
	uint32_t c;

	for (; *text; text += len) {
		c = decode(text, &len);
		if ((c >= ' ' && c < 127) || c == '\n' || c == '\t')
			fputc((int)c, to);
		else if (c < 0x10000)
			fprintf(to, "\\u%04x", c);
		else /* Two of UTF-16, as JSON has it (RFC 8259, 7). */
			fprintf(to, "\\u%04x\\u%04x",
				0xd800 + ((c - 0x10000) >> 10),
				0xdc00 + ((c - 0x10000) & 0x3ff));
	}
	fputc('\n', to);
}
