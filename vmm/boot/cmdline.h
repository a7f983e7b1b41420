#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "vmm/base/err.h"

/*
 * A kernel command line under construction, in a buffer of the caller's. The
 * kernel hands what follows a lone "--" to init, so parameters of ours go
 * before it.
 */
struct cmdline {
	char *text;  /* borrowed; always ends in NUL */
	size_t size; /* of the buffer, NUL included */
	size_t len;  /* without the NUL */
	size_t tail; /* where " -- …" begins; len where there is none */
};

/*
 * Begins with text. -E2BIG where it is longer than the buffer, -EINVAL for
 * control characters; the sentence says which.
 */
int cmdline_init(struct cmdline *c, char *buf, size_t size, const char *text,
		 struct err *e);

/* Inserts one more parameter before "--". Same errors; then c is unchanged. */
int cmdline_add(struct cmdline *c, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Whether a whole parameter stands before "--", such as "acpi=off"; word has
 * underscores for dashes.
 */
bool cmdline_has(const struct cmdline *c, const char *word);

/* Whether one of this name does, with whatever value, or without. */
bool cmdline_names(const struct cmdline *c, const char *name);
