#include "api/ctl/commands/show.h"

#include <stdint.h>
#include <string.h>

#include "vmm/base/printable.h"

int show_json(const json_t *json, size_t flags, FILE *to)
{
	const int rc = json ? json_dumpf(json, to, flags | JSON_ENSURE_ASCII)
			    : -1;

	fputc('\n', to);
	return rc;
}

void show_text(const char *text, FILE *to)
{
	const uint8_t *at = (const uint8_t *)text;
	size_t left = strlen(text), len;
	uint32_t c;

	for (; left; at += len, left -= len) {
		len = utf8_take(at, left, &c);
		/* A byte that is no character is that. */
		if (!len) {
			len = 1;
			c = *at;
		}
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
