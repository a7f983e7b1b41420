#include "api/ctl/serve/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_ROOM = 4096 };

void text_put(struct text *t, const char *fmt, ...)
{
	va_list list;
	char *more;
	int n;

	va_start(list, fmt);
	n = vsnprintf(NULL, 0, fmt, list);
	va_end(list);
	if (n < 0 || t->is_broken)
		return;
	if (t->size - t->len <= (size_t)n) {
		more = realloc(t->bytes, t->size + (size_t)n + TEXT_ROOM);
		if (!more) {
			t->is_broken = true;
			return;
		}
		t->bytes = more;
		t->size += (size_t)n + TEXT_ROOM;
	}
	va_start(list, fmt);
	t->len += (size_t)vsnprintf(t->bytes + t->len, t->size - t->len, fmt,
				    list);
	va_end(list);
}
