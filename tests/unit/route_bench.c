/* Requests to the routes, and what must come of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/route_bench.h"

struct loop loop;
struct controller controller;
char answer[32768];
bool is_deprecated;
bool is_text;

int route_bench_setup(void **state)
{
	(void)state;
	memset(&loop, 0, sizeof(loop));
	memset(&controller, 0, sizeof(controller));
	controller_init(&controller, &loop, "test-vm", controller_collect);
	fake_reset();
	return 0;
}

int route_bench_teardown(void **state)
{
	(void)state;
	controller_fini(&controller);
	assert_int_equal(fake.alive, 0);
	return 0;
}

int serve(const char *method, const char *path, const char *body)
{
	const struct http_request request = {
		.method = method,
		.path = path,
		.body = body,
		.body_len = body ? strlen(body) : 0,
	};
	struct reply reply;
	char *text;
	int status;

	routes_serve(&controller, &request, &reply);
	if (reply.is_text)
		text = strdup(json_string_value(reply.json));
	else
		text = reply.json ? json_dumps(reply.json, JSON_COMPACT)
				  : strdup("");
	snprintf(answer, sizeof(answer), "%s", text);
	free(text);
	status = reply.status;
	is_deprecated = reply.is_deprecated;
	is_text = reply.is_text;
	reply_fini(&reply);
	return status;
}

void done(const char *method, const char *path, const char *body)
{
	int status = serve(method, path, body);

	if (status != 204 || *answer)
		fail_msg("%s %s %s\n  gave %d %s", method, path, body, status,
			 answer);
}

void says(const char *path, const char *body)
{
	assert_int_equal(serve("GET", path, NULL), 200);
	assert_string_equal(answer, body);
}

void fault(const char *method, const char *path, const char *body,
	   const char *sentence)
{
	int status = serve(method, path, body);
	json_t *json = json_loads(answer, 0, NULL);
	const char *text =
		json_string_value(json_object_get(json, "fault_message"));
	size_t n = strlen(sentence);

	if (n && sentence[n - 1] == '*')
		n--;
	else
		n++;
	if (status != 400 || !text || strncmp(text, sentence, n) != 0 ||
	    json_object_size(json) != 1)
		fail_msg("%s %s %s\n  gave %d %s\n  not: %s", method, path,
			 body ? body : "", status, answer, sentence);
	json_decref(json);
}

void start(void)
{
	done("PUT", "/boot-source", "{\"kernel_image_path\": \"" KERNEL "\"}");
	done("PUT", "/actions", "{\"action_type\": \"InstanceStart\"}");
}
