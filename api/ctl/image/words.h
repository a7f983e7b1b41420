#pragma once

#include <stddef.h>

#include "vmm/base/err.h"

/* What a tool said on its stderr: the last few thousand bytes of it. */
struct image_words {
	char text[4096];
	size_t len;
};

void image_words_add(struct image_words *w, const char *data, size_t len);

/*
 * Puts the tool's last line into a sentence, without the colours, time stamps
 * and quotes around it, and with advice where we know some. Returns -ENOSPC
 * for a full disk, -EIO otherwise, and sets e.
 */
int image_words_judge(const struct image_words *w, const char *tool,
		      struct err *e);

/* The Debian package that a tool comes in. */
const char *image_words_package(const char *tool);
