#pragma once

#include "vmm/base/err.h"

/* One entry of a layer, as its tar headers have it. */
struct image_entry {
	const char *path; /* as written: "./etc/passwd", "/etc/passwd" … */
	const char *link; /* target of hard and symbolic links */
	char type;	  /* tar's */
};

/*
 * 0 for what an image may hold; else -EINVAL and a sentence that names the
 * entry (docs/images.md, "What is refused").
 */
int image_entry_judge(const struct image_entry *entry, struct err *e);
