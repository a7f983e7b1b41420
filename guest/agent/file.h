#pragma once

#include "guest/proto.h"

#include <stddef.h>
#include <stdint.h>

/*
 * Files that came by FILE and wait for the RUN that has them. They are in the
 * agent's memory: the child that RUN makes has them with it, and puts them into
 * a tmpfs of the container's own.
 */
struct file {
	char *name;	/* owned */
	uint8_t *bytes; /* owned */
	size_t len;
	uint32_t mode, uid, gid;
	struct file *next;
};

/* Appends to a file, or makes it. 0 or a negative errno: EFBIG for more than
 * PROTO_FILES_MAX in all. */
int file_add(const struct proto_file *head, const char *name, size_t name_len,
	     const void *bytes, size_t len);

/* NULL if there is none of this name. */
const struct file *file_find(const char *name);

/* Forgets all of them. */
void files_clear(void);
