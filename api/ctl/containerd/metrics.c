#include "api/ctl/containerd/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctl/agent/ask.h"

enum { NAME_MAX_LEN = 48, LINE_MAX_LEN = 256 };

/* Part of what came: not ended by a NUL. */
struct text {
	const char *at;
	size_t len;
};

/* Takes a line off the front, ended by a NUL; false where there is none. */
static bool take_line(struct text *from, char line[static LINE_MAX_LEN])
{
	const char *end = memchr(from->at, '\n', from->len);
	const size_t len = end ? (size_t)(end - from->at) : from->len;

	if (!from->len)
		return false;
	snprintf(line, LINE_MAX_LEN, "%.*s",
		 (int)(len < LINE_MAX_LEN ? len : LINE_MAX_LEN - 1), from->at);
	from->at += len + (end ? 1 : 0);
	from->len -= len + (end ? 1 : 0);
	return true;
}

/* A field that nobody knows is none. */
static void set(ProtobufCMessage *m, const char *name, uint64_t value)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(m->descriptor,
								name);

	if (f && f->type == PROTOBUF_C_TYPE_UINT64)
		memcpy((char *)m + f->offset, &value, sizeof(value));
}

/* "NAME NUMBER" on each line. */
static void read_fields(ProtobufCMessage *m, struct text from)
{
	char line[LINE_MAX_LEN], name[NAME_MAX_LEN];
	uint64_t value;

	while (take_line(&from, line))
		if (sscanf(line, "%47s %" SCNu64, name, &value) == 2)
			set(m, name, value);
}

/* A number alone; "max" is the greatest, as containerd has it. */
static void read_one(ProtobufCMessage *m, const char *name, struct text from)
{
	char line[LINE_MAX_LEN];

	if (take_line(&from, line))
		set(m, name,
		    !strcmp(line, "max") ? UINT64_MAX
					 : strtoull(line, NULL, 10));
}

/* "8:0 rbytes=1 wbytes=2 …" for each disk. */
static void read_disks(struct metrics *m, struct text from)
{
	char line[LINE_MAX_LEN], name[NAME_MAX_LEN], *word, *rest;
	uint64_t value;

	while (m->io.n_usage < METRICS_DISKS && take_line(&from, line)) {
		Metrics__IoEntry *d = &m->disks[m->io.n_usage];

		metrics__io_entry__init(d);
		if (sscanf(line, "%" SCNu64 ":%" SCNu64, &d->major,
			   &d->minor) != 2)
			continue;
		(void)strtok_r(line, " ", &rest);
		while ((word = strtok_r(NULL, " ", &rest)))
			if (sscanf(word, "%47[^=]=%" SCNu64, name, &value) == 2)
				set(&d->base, name, value);
		m->disk_list[m->io.n_usage++] = d;
	}
}

static void read_file(void *arg, const char *name, const char *at, size_t len)
{
	const struct text content = {at, len};
	struct metrics *m = arg;

	if (!strcmp(name, "cpu.stat"))
		read_fields(&m->cpu.base, content);
	else if (!strcmp(name, "memory.stat"))
		read_fields(&m->memory.base, content);
	else if (!strcmp(name, "memory.events"))
		read_fields(&m->events.base, content);
	else if (!strcmp(name, "io.stat"))
		read_disks(m, content);
	else if (!strcmp(name, "memory.current"))
		read_one(&m->memory.base, "usage", content);
	else if (!strcmp(name, "memory.max"))
		read_one(&m->memory.base, "usage_limit", content);
	else if (!strcmp(name, "memory.swap.current"))
		read_one(&m->memory.base, "swap_usage", content);
	else if (!strcmp(name, "memory.swap.max"))
		read_one(&m->memory.base, "swap_limit", content);
	else if (!strcmp(name, "pids.current"))
		read_one(&m->pids.base, "current", content);
	else if (!strcmp(name, "pids.max"))
		read_one(&m->pids.base, "limit", content);
}

static void init(struct metrics *m)
{
	metrics__metrics__init(&m->all);
	metrics__cpu__init(&m->cpu);
	metrics__memory__init(&m->memory);
	metrics__events__init(&m->events);
	metrics__pids__init(&m->pids);
	metrics__io__init(&m->io);
	m->all.cpu = &m->cpu;
	m->all.memory = &m->memory;
	m->all.memory_events = &m->events;
	m->all.pids = &m->pids;
	m->all.io = &m->io;
	m->io.usage = m->disk_list;
}

int metrics_read(struct metrics *m, const uint8_t *bytes, size_t len,
		 struct err *e)
{
	init(m);
	return ask_files(bytes, len, read_file, m, e);
}
