#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Text that grows. What there is no memory for makes it broken. */
struct text {
	char *bytes; /* owned, NUL-terminated; NULL while there is none */
	size_t len, size;
	bool is_broken;
};

void text_put(struct text *t, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
