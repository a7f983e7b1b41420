/*
 * Requests that are wrong, each kind of wrong at least once, and the exact
 * sentence each is answered with. None of them changes anything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/routes.h"
#include "tests/unit/fake_machine.h"

#define BODY "An error occurred when deserializing the json body of a request: "

static const struct {
	const char *method;
	const char *path;
	const char *body;
	const char *sentence;
} requests[] = {
	/* type */
	{"PUT", "/machine-config",
	 "{\"vcpu_count\": \"1\", \"mem_size_mib\": 1}",
	 BODY "field 'vcpu_count' must be an integer, not a string."},
	{"PUT", "/machine-config",
	 "{\"vcpu_count\": null, \"mem_size_mib\": 1}",
	 BODY "field 'vcpu_count' must be an integer, not null."},
	{"PUT", "/machine-config", "{\"vcpu_count\": 1.0, \"mem_size_mib\": 1}",
	 BODY
	 "field 'vcpu_count' must be an integer, not a number with a fraction or exponent."},
	{"PUT", "/machine-config", "{\"vcpu_count\": 1, \"mem_size_mib\": 1e3}",
	 BODY
	 "field 'mem_size_mib' must be an integer, not a number with a fraction or exponent."},
	{"PUT", "/machine-config",
	 "{\"vcpu_count\": 2, \"mem_size_mib\": 1, \"smt\": 1}",
	 BODY "field 'smt' must be a boolean, not an integer."},
	{"PUT", "/machine-config", "null",
	 BODY "machine-config must be an object, not null."},
	{"PUT", "/machine-config", "\"x\"",
	 BODY "machine-config must be an object, not a string."},
	{"PUT", "/boot-source", "{\"kernel_image_path\": [\"k\"]}",
	 BODY "field 'kernel_image_path' must be a string, not an array."},
	{"PUT", "/drives/a",
	 "{\"drive_id\": \"a\", \"is_root_device\": \"no\", \"path_on_host\": \"x\"}",
	 BODY "field 'is_root_device' must be a boolean, not a string."},
	{"PUT", "/drives/a",
	 "{\"drive_id\": \"a\", \"is_root_device\": false, \"path_on_host\": \"x\", \"rate_limiter\": []}",
	 BODY "a rate limiter must be an object, not an array."},
	/* range */
	{"PUT", "/machine-config", "{\"vcpu_count\": 0, \"mem_size_mib\": 1}",
	 "The vcpu_count must be between 1 and 32, not 0."},
	{"PUT", "/machine-config", "{\"vcpu_count\": 33, \"mem_size_mib\": 1}",
	 "The vcpu_count must be between 1 and 32, not 33."},
	{"PUT", "/machine-config", "{\"vcpu_count\": -1, \"mem_size_mib\": 1}",
	 BODY "field 'vcpu_count' must be between 0 and 4294967295, not -1."},
	{"PUT", "/machine-config",
	 "{\"vcpu_count\": 4294967297, \"mem_size_mib\": 1}",
	 BODY
	 "field 'vcpu_count' must be between 0 and 4294967295, not 4294967297."},
	{"PUT", "/machine-config", "{\"vcpu_count\": 1, \"mem_size_mib\": 0}",
	 "The mem_size_mib must be between 1 and 16777216, not 0."},
	{"PUT", "/machine-config",
	 "{\"vcpu_count\": 3, \"mem_size_mib\": 1, \"smt\": true}",
	 "With smt the vcpu_count must be 1 or even, not 3."},
	{"PUT", "/machine-config",
	 "{\"vcpu_count\": 1, \"mem_size_mib\": 3, \"huge_pages\": \"2M\"}",
	 "With huge_pages 2M the mem_size_mib must be even, not 3."},
	/* numbers that a double would bend */
	{"PUT", "/machine-config",
	 "{\"vcpu_count\": 1, \"mem_size_mib\": 9007199254740993}",
	 "The mem_size_mib must be between 1 and 16777216, not 9007199254740993."},
	{"PUT", "/machine-config",
	 "{\"vcpu_count\": 1, \"mem_size_mib\": 9223372036854775808}",
	 BODY "line 1, column 53: too big integer near '9223372036854775808'."},
	{"PUT", "/machine-config", "{\"vcpu_count\": 01}",
	 BODY "line 1, column 16: invalid token near '0'."},
	{"PUT", "/machine-config", "{\"vcpu_count\": NaN}",
	 BODY "line 1, column 18: invalid token near 'NaN'."},
	{"PUT", "/machine-config", "{\"vcpu_count\": 1e999}",
	 BODY "line 1, column 20: real number overflow near '1e999'."},
	/* words */
	{"PUT", "/machine-config",
	 "{\"vcpu_count\": 1, \"mem_size_mib\": 4, \"huge_pages\": \"1G\"}",
	 BODY
	 "field 'huge_pages' must be one of None, 2M, Transparent, not '1G'."},
	{"PATCH", "/vm", "{\"state\": \"Stopped\"}",
	 BODY "field 'state' must be one of Paused, Resumed, not 'Stopped'."},
	{"PUT", "/actions", "{\"action_type\": \"instancestart\"}",
	 BODY
	 "field 'action_type' must be one of InstanceStart, FlushMetrics, SendCtrlAltDel, not 'instancestart'."},
	{"PUT", "/logger", "{\"level\": \"Loud\"}",
	 "The level must be one of Off, Error, Warning, Info, Debug, Trace, not 'Loud'."},
	/* missing and empty */
	{"PUT", "/machine-config", "{\"vcpu_count\": 2}",
	 BODY "missing field 'mem_size_mib' in machine-config."},
	{"PUT", "/boot-source", "{}",
	 BODY "missing field 'kernel_image_path' in boot-source."},
	{"PUT", "/boot-source", "{\"kernel_image_path\": \"\"}",
	 "The kernel_image_path is empty."},
	{"PUT", "/drives/a", "{\"drive_id\": \"a\"}",
	 BODY "missing field 'is_root_device' in a drive."},
	{"PUT", "/drives/a", "{\"drive_id\": \"a\", \"is_root_device\": true}",
	 "The drive a needs a path_on_host."},
	{"PUT", "/drives/a",
	 "{\"drive_id\": \"a\", \"is_root_device\": false, \"path_on_host\": \"x\", \"rate_limiter\": {\"ops\": {\"size\": 1}}}",
	 BODY "missing field 'refill_time' in a token bucket."},
	{"PUT", "/metrics", "{}",
	 BODY "missing field 'metrics_path' in metrics."},
	{"PUT", "/logger", "{\"log_path\": \"\"}", "The log_path is empty."},
	{"PUT", "/actions", "{}",
	 BODY "missing field 'action_type' in actions."},
	/* unknown and doubled */
	{"PATCH", "/vm", "{\"state\": \"Paused\", \"x\": 1}",
	 BODY "unknown field 'x' in vm, which knows only: state."},
	{"PUT", "/actions", "{\"Action_type\": \"InstanceStart\"}",
	 BODY
	 "unknown field 'Action_type' in actions, which knows only: action_type."},
	{"PUT", "/metrics", "{\"metrics_path\": \"a\", \"\": 1}",
	 BODY "unknown field '' in metrics, which knows only: metrics_path."},
	{"PUT", "/machine-config", "{\"vcpu_count\": 2, \"vcpu_count\": 2}",
	 BODY "line 1, column 30: doubled field 'vcpu_count'."},
	/* left out by design */
	{"PUT", "/drives/a",
	 "{\"drive_id\": \"a\", \"is_root_device\": true, \"path_on_host\": \"x\", \"socket\": \"y\"}",
	 BODY
	 "'socket' is left out of mayfly by design: a drive is a file or block device of the host; use path_on_host."},
	{"PUT", "/machine-config",
	 "{\"vcpu_count\": 2, \"mem_size_mib\": 4, \"cpu_template\": \"C3\"}",
	 "This CPU template is not supported by this version of mayfly: a cpu_template is None or T2."},
	{"PUT", "/entropy", "{}",
	 "The entropy device is left out of mayfly by design: guests seed themselves from the CPU."},
	/* JSON */
	{"PUT", "/boot-source", " ",
	 BODY "line 1, column 1: unexpected token near end of file."},
	{"PUT", "/boot-source", "{\"a\": 1,}",
	 BODY "line 1, column 9: string or '}' expected near '}'."},
	{"PUT", "/boot-source", "{'a': 1}",
	 BODY "line 1, column 2: string or '}' expected near '''."},
	{"PUT", "/boot-source", "{\"a\": 1} x",
	 BODY "line 1, column 10: end of file expected near 'x'."},
	{"PUT", "/boot-source", "{\n\"a\": }",
	 BODY "line 2, column 6: unexpected token near '}'."},
	/* bytes */
	{"PUT", "/boot-source", "{\"a\": \"\001\"}",
	 BODY "line 1, column 7: control character 0x1 near '\"'."},
	{"PUT", "/boot-source", "\377\376",
	 BODY "line 1, column 0: unable to decode byte 0xff."},
	{"PUT", "/boot-source", "{\"a\": \"\300\257\"}",
	 BODY "line 1, column 7: unable to decode byte 0xc0 near '\"'."},
	{"PUT", "/boot-source", "{\"a\\u0000\": 1}",
	 BODY "line 1, column 10: a string holds a NUL character (\\u0000)."},
	{"PUT", "/boot-source", "{\"kernel_image_path\": \"a\\u0000b\"}",
	 BODY "line 1, column 32: a string holds a NUL character (\\u0000)."},
	{"PUT", "/boot-source", "{\"a\": \"\\ud800\"}",
	 BODY
	 "line 1, column 14: invalid Unicode '\\uD800' near '\"\\ud800\"'."},
	/* depth */
	{"PUT", "/boot-source",
	 "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
	 BODY "line 1: nested deeper than 64 levels."},
	/* ids */
	{"PUT", "/drives/a",
	 "{\"drive_id\": \"\", \"is_root_device\": true, \"path_on_host\": \"x\"}",
	 "The drive_id '' differs from the 'a' of the path."},
	{"PUT", "/drives/a",
	 "{\"drive_id\": \"b\", \"is_root_device\": true, \"path_on_host\": \"x\"}",
	 "The drive_id 'b' differs from the 'a' of the path."},
	{"PUT", "/drives", "{}", "The ID cannot be empty."},
	{"PUT", "/drives/a.b", "{}",
	 "API Resource IDs can only contain alphanumeric characters and underscores."},
	{"PUT",
	 "/drives/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	 "{}", "An ID can have at most 64 characters."},
	{"PUT", "/drives/a",
	 "{\"drive_id\": \"a\", \"is_root_device\": true, \"path_on_host\": \"x\", \"partuuid\": \"a b\"}",
	 "The partuuid must be hexadecimal digits and hyphens, as in 0eaa91a0-01."},
	/* methods and paths */
	{"POST", "/actions", "{}",
	 "Invalid request method and/or path: POST actions."},
	{"PUT", "/drives/../x", "{}",
	 "Invalid request method and/or path: PUT drives/../x."},
	{"PATCH", "/boot-source", "{}",
	 "Invalid request method and/or path: PATCH boot-source."},
	{"GET", "/version?a=b", NULL,
	 "Invalid request method and/or path: GET version?a=b."},
	{"PUT", "/boot-source", NULL, "Empty PUT request."},
	{"GET", "/version", "{}", "GET request cannot have a body."},
	/* order */
	{"PATCH", "/vm", "{\"state\": \"Paused\"}",
	 "The requested operation is not supported before starting the microVM."},
	{"PUT", "/actions", "{\"action_type\": \"FlushMetrics\"}",
	 "The requested operation is not supported before starting the microVM."},
	{"PUT", "/actions", "{\"action_type\": \"InstanceStart\"}",
	 "There is no kernel to start: give a boot-source first"},
};

static char *config_of(struct controller *c)
{
	json_t *json = config_dump(&c->config);
	char *text = json_dumps(json, JSON_COMPACT);

	json_decref(json);
	return text;
}

static void each_has_its_sentence_and_changes_nothing(void **state)
{
	struct loop loop = {0};
	struct controller c = {0};
	char *before, *after;
	unsigned i, wrong = 0;

	(void)state;
	fake_reset();
	controller_init(&c, &loop, "test", controller_collect);
	before = config_of(&c);
	for (i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		const struct http_request request = {
			.method = requests[i].method,
			.path = requests[i].path,
			.body = requests[i].body,
			.body_len = requests[i].body ? strlen(requests[i].body)
						     : 0,
		};
		struct reply reply;
		const char *text;

		routes_serve(&c, &request, &reply);
		text = json_string_value(
			json_object_get(reply.json, "fault_message"));
		if (reply.status != 400 || !text ||
		    strcmp(text, requests[i].sentence) != 0) {
			wrong++;
			print_error("%s %s %s\n  says %d %s\n  not      %s\n",
				    request.method, request.path,
				    request.body ? request.body : "",
				    reply.status, text ? text : "",
				    requests[i].sentence);
		}
		reply_fini(&reply);
	}
	after = config_of(&c);
	assert_string_equal(after, before);
	assert_string_equal(fake.calls, "");
	free(before);
	free(after);
	controller_fini(&c);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_has_its_sentence_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
