/*
 * Requests to a controller over a fake machine, one a line: METHOD PATH BODY.
 * Each answer is 200 with JSON, 204 without, or 400 with one sentence; nothing
 * leaks, whatever the order. No file is opened for real: paths are the
 * client's.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/routes.h"
#include "tests/unit/fake_machine.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_fd_open(const char *path, int flags, enum fd_kind kind,
		   const char *what, struct err *e);

/* Of all files there is /dev/null. */
int __wrap_fd_open(const char *path, int flags, enum fd_kind kind,
		   const char *what, struct err *e)
{
	int fd = __wrap_open(path, flags);

	(void)kind;
	return fd < 0 ? err_errno(e, "can't open the %s %s", what, path) : fd;
}

int __wrap_open(const char *path, int flags, ...)
{
	if (!strcmp(path, "/dev/null"))
		return __real_open(path, flags & ~O_CREAT);
	errno = ENOENT;
	return -1;
}

static void check(const struct reply *r)
{
	const char *text;
	char *dumped;

	switch (r->status) {
	case 204:
		if (r->json)
			abort();
		break;
	case 200:
		dumped = json_dumps(r->json, JSON_COMPACT | JSON_ENCODE_ANY);
		if (!dumped)
			abort();
		free(dumped);
		break;
	case 400:
		text = json_string_value(
			json_object_get(r->json, "fault_message"));
		if (!text || !*text || json_object_size(r->json) != 1)
			abort();
		break;
	default:
		abort();
	}
}

/* As the HTTP parser gives it: a method without blanks, a path with a slash. */
static void serve(struct controller *c, char *line)
{
	char *path = strchr(line, ' ');
	char *body = path ? strchr(path + 1, ' ') : NULL;
	struct http_request request = {.method = line, .keep_alive = true};
	struct reply reply;

	if (!path || path[1] != '/' || path == line)
		return;
	*path = '\0';
	if (body)
		*body++ = '\0';
	request.path = path + 1;
	request.body = body ? body : "";
	request.body_len = strlen(request.body);
	fake.calls[0] = '\0';
	routes_serve(c, &request, &reply);
	check(&reply);
	reply_fini(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct loop loop = {0};
	struct controller c = {0};
	char *text = malloc(size + 1), *line, *next;

	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
	fake_reset();
	controller_init(&c, &loop, "fuzz", controller_collect);
	for (line = text; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		serve(&c, line);
	}
	controller_fini(&c);
	if (fake.alive)
		abort();
	free(text);
	return 0;
}
