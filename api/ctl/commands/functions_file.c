/* The file of `mayctl serve --config`, which may be anybody's: bounded, and
 * read without waiting. */
#include "api/ctl/commands/functions_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctl/commands/values.h"
#include "api/json/json.h"
#include "vmm/base/fd.h"
#include "vmm/base/printable.h"

enum { FILE_MAX = 1 << 20 };

struct entry {
	char *name, *image, *type, *memory, *wait, *timeout, *start_timeout;
	enum function_mode mode;
	int net;
	bool is_stdio;
	uint16_t port;
	uint32_t max, spare, queue, cpus;
	bool has_mode, has_net, has_stdio, has_port, has_max, has_spare,
		has_queue, has_cpus;
};

struct file {
	struct field_array functions; /* struct entry */
};

static const char *const net_words[] = {"none", "nat", NULL};

#define TEXT(key, member) \
	{.name = (key), .type = FIELD_STRING, FIELD_AT(struct entry, member)}

#define GIVEN(member) \
	.flags = FIELD_GIVEN, .given = offsetof(struct entry, member)

#define COUNT(key, least, most, member) \
	{.name = (key),                 \
	 .type = FIELD_INTEGER,         \
	 .min = (least),                \
	 .max = (most),                 \
	 GIVEN(has_##member),           \
	 FIELD_AT(struct entry, member)}

static const struct field entry_fields[] = {
	{.name = "name",
	 .type = FIELD_STRING,
	 .flags = FIELD_REQUIRED,
	 FIELD_AT(struct entry, name)},
	{.name = "image",
	 .type = FIELD_STRING,
	 .flags = FIELD_REQUIRED,
	 FIELD_AT(struct entry, image)},
	{.name = "mode",
	 .type = FIELD_WORD,
	 .words = function_modes,
	 GIVEN(has_mode),
	 FIELD_AT(struct entry, mode)},
	{.name = "net",
	 .type = FIELD_WORD,
	 .words = net_words,
	 GIVEN(has_net),
	 FIELD_AT(struct entry, net)},
	{.name = "stdio",
	 .type = FIELD_BOOL,
	 GIVEN(has_stdio),
	 FIELD_AT(struct entry, is_stdio)},
	TEXT("type", type),
	COUNT("port", 1, UINT16_MAX, port),
	COUNT("max", 1, FUNCTION_MOST, max),
	COUNT("spare", 0, FUNCTION_MOST, spare),
	COUNT("queue", 0, FUNCTION_QUEUE_MOST, queue),
	COUNT("cpus", 1, VALUE_CPUS_MAX, cpus),
	TEXT("memory", memory),
	TEXT("wait", wait),
	TEXT("timeout", timeout),
	TEXT("start_timeout", start_timeout),
};

static const struct field_table entry_table =
	FIELD_TABLE("a function", struct entry, entry_fields);

static const struct field entry_element = {
	.name = "a function",
	.type = FIELD_OBJECT,
	.nested = &entry_table,
	.size = sizeof(struct entry),
};

static const struct field file_fields[] = {
	{.name = "functions",
	 .type = FIELD_ARRAY,
	 .flags = FIELD_REQUIRED,
	 .max = FRONT_FUNCTIONS_MAX,
	 .element = &entry_element,
	 FIELD_AT(struct file, functions)},
};

static const struct field_table file_table =
	FIELD_TABLE("the file", struct file, file_fields);

/* ---- one function ------------------------------------------------------- */

static int take_memory(const char *text, char memory[24], struct err *e)
{
	uint64_t mib = 0;
	const int rc = text ? value_memory(text, &mib, e) : 0;

	if (!rc && text)
		snprintf(memory, 24, "%llum", (unsigned long long)mib);
	return rc;
}

static int take_times(struct function_options *o, const struct entry *n,
		      struct err *e)
{
	int rc = n->wait ? value_duration(n->wait, &o->wait_ms, e) : 0;

	if (!rc && n->timeout)
		rc = value_duration(n->timeout, &o->timeout_ms, e);
	if (!rc && n->start_timeout)
		rc = value_duration(n->start_timeout, &o->start_ms, e);
	return rc;
}

static void take_counts(struct function_options *o, const struct entry *n,
			bool has_spare)
{
	if (n->has_mode)
		o->mode = n->mode;
	if (n->has_net)
		snprintf(o->net, sizeof(o->net), "%s", net_words[n->net]);
	if (n->has_max)
		o->max = n->max;
	if (n->has_spare)
		o->spare = n->spare;
	if (n->has_queue)
		o->queue = n->queue;
	if (n->has_cpus)
		snprintf(o->cpus, sizeof(o->cpus), "%u", n->cpus);
	functions_settle(o, n->has_spare || has_spare);
}

/* What it says of itself counts before what is said of all. */
static int take_contract(struct function_plan *p, const struct entry *n,
			 struct err *e)
{
	if (n->has_stdio)
		p->is_stdio = n->is_stdio;
	if (n->has_port && n->has_stdio && n->is_stdio)
		return err_set(e, -EINVAL,
			       "'port' is of a server, and 'stdio' of a "
			       "program that is none; leave one of them out");
	if (n->has_port) {
		p->is_stdio = false;
		p->port = n->port;
	}
	if (p->is_stdio)
		p->port = 0;
	return 0;
}

static int take(struct functions *out, const struct function_plan *like,
		const struct entry *n, bool has_spare, struct err *e)
{
	struct function_plan p = *like;
	int rc = take_contract(&p, n, e);

	take_counts(&p.options, n, has_spare);
	if (!rc && n->type)
		rc = functions_type(n->type, p.options.type, e);
	rc = rc ? rc : take_memory(n->memory, p.options.memory, e);
	rc = rc ? rc : take_times(&p.options, n, e);
	rc = rc ? rc : functions_judge(&p.options, e);
	rc = rc ? rc : functions_add(out, &p, n->name, n->image, e);
	if (rc)
		(void)err_context(e, "function '%s'", n->name);
	return rc;
}

/* ---- the file ----------------------------------------------------------- */

static char *read_text(const char *path, size_t *len, struct err *e)
{
	struct stat st;
	CLEAN_FD int fd = fd_open_stat(path, O_RDONLY, FD_REGULAR,
				       "file of functions", &st, e);
	char *text;

	if (fd < 0)
		return NULL;
	if (st.st_size > FILE_MAX) {
		err_set(e, -E2BIG, "it has more than %d KiB", FILE_MAX >> 10);
		return NULL;
	}
	*len = (size_t)st.st_size;
	text = malloc(*len + 1);
	if (!text || fd_pread(fd, text, *len, 0)) {
		free(text);
		err_set(e, -EIO, "it can't be read");
		return NULL;
	}
	text[*len] = '\0';
	return text;
}

static int bind(const char *path, struct file *file, struct err *e)
{
	size_t len = 0;
	char *text = read_text(path, &len, e);
	json_t *json = text ? json_parse(text, len, e) : NULL;
	int rc = json ? json_bind(json, &file_table, file, NULL, e) : -EINVAL;

	json_decref(json);
	free(text);
	return rc;
}

int functions_file_read(const char *path, const struct function_plan *like,
			bool has_spare, struct functions *out, struct err *e)
{
	const struct entry *list;
	struct file file = {0};
	char said[sizeof(e->text)];
	uint32_t i;
	int rc = bind(path, &file, e);

	list = file.functions.items;
	for (i = 0; i < file.functions.count && !rc; i++)
		rc = take(out, like, &list[i], has_spare, e);
	json_unbind(&file_table, &file);
	if (!rc)
		return 0;
	functions_fini(out);
	/* It quotes what is in the file. */
	(void)printable_copy(e->text, strlen(e->text), said, sizeof(said));
	return err_set(e, rc, "%s: %s", path, said);
}
