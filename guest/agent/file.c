/*
 * Files on their way from a host into a container.
 */
#include "guest/agent/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct file *files;
static size_t files_bytes; /* what they take, names and all */

static struct file *file_new(const struct proto_file *head, const char *name,
			     size_t len)
{
	struct file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->name = strndup(name, len);
	if (!f->name) {
		free(f);
		return NULL;
	}
	f->mode = proto_get32(&head->mode) & 0777;
	f->uid = proto_get32(&head->uid);
	f->gid = proto_get32(&head->gid);
	f->next = files;
	files = f;
	files_bytes += sizeof(*f) + len;
	return f;
}

int file_add(const struct proto_file *head, const char *name, size_t name_len,
	     const void *bytes, size_t len)
{
	struct file *f = files;
	uint8_t *more;

	if (!name_len)
		return -EINVAL;
	/* Names count as well, or empty files could be any number. */
	if (sizeof(*f) + name_len + len > PROTO_FILES_MAX ||
	    files_bytes > PROTO_FILES_MAX - sizeof(*f) - name_len - len)
		return -EFBIG;
	while (f && (strlen(f->name) != name_len ||
		     memcmp(f->name, name, name_len) != 0))
		f = f->next;
	if (!f)
		f = file_new(head, name, name_len);
	if (!f)
		return -ENOMEM;
	if (!len)
		return 0;
	more = realloc(f->bytes, f->len + len);
	if (!more)
		return -ENOMEM;
	memcpy(more + f->len, bytes, len);
	f->bytes = more;
	f->len += len;
	files_bytes += len;
	return 0;
}

const struct file *file_find(const char *name)
{
	const struct file *f = files;

	while (f && strcmp(f->name, name) != 0)
		f = f->next;
	return f;
}

void files_clear(void)
{
	while (files) {
		struct file *f = files;

		files = f->next;
		free(f->name);
		free(f->bytes);
		free(f);
	}
	files_bytes = 0;
}
