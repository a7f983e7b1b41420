/*
 * What the OCI's resources become in a control group of version 2, and what
 * makes no sense.
 */
#include "api/ctl/containerd/resources.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct resources r;
static struct err err;
static char words[512];

static int teardown(void **state)
{
	(void)state;
	resources_fini(&r);
	err = (struct err){0};
	return 0;
}

/* "FILE=VALUE FILE=VALUE" */
static const char *become(const char *json)
{
	size_t len = 0;

	resources_fini(&r);
	assert_int_equal(resources_parse(&r, json, strlen(json), &err), 0);
	words[0] = '\0';
	for (size_t i = 0; r.words[i]; i += 2)
		len += (size_t)snprintf(words + len, sizeof(words) - len,
					"%s%s=%s", i ? " " : "", r.words[i],
					r.words[i + 1]);
	return words;
}

static void refused(const char *json, int code, const char *why)
{
	resources_fini(&r);
	err = (struct err){0};
	assert_int_equal(resources_parse(&r, json, strlen(json), &err), code);
	assert_non_null(strstr(err.text, why));
}

static void memory(void **state)
{
	(void)state;
	assert_string_equal(become("{\"memory\":{\"limit\":33554432}}"),
			    "memory.max=33554432");
	assert_int_equal(r.memory_bytes, 33554432);
	assert_string_equal(
		become("{\"memory\":{\"limit\":-1,\"reservation\":1048576}}"),
		"memory.max=max memory.low=1048576");
	assert_int_equal(r.memory_bytes, 0);
	/* Swap is the host's; 0 is no word. */
	assert_string_equal(become("{\"memory\":{\"limit\":0,\"swap\":5}}"),
			    "");
}

static void cpu(void **state)
{
	(void)state;
	/* As runc's and crun's of the same shares. */
	assert_string_equal(become("{\"cpu\":{\"shares\":1024}}"),
			    "cpu.weight=39");
	assert_string_equal(become("{\"cpu\":{\"shares\":2}}"), "cpu.weight=1");
	assert_string_equal(become("{\"cpu\":{\"shares\":262144}}"),
			    "cpu.weight=10000");
	assert_string_equal(become("{\"cpu\":{\"shares\":1e9}}"),
			    "cpu.weight=10000");
	assert_string_equal(
		become("{\"cpu\":{\"quota\":150000,\"period\":50000}}"),
		"cpu.max=150000 50000");
	assert_int_equal(r.cpus, 3);
	assert_string_equal(become("{\"cpu\":{\"quota\":150001}}"),
			    "cpu.max=150001 100000");
	assert_int_equal(r.cpus, 2);
	assert_string_equal(become("{\"cpu\":{\"quota\":-1,\"period\":50000}}"),
			    "cpu.max=max 50000");
	assert_int_equal(r.cpus, 0);
	assert_string_equal(become("{\"cpu\":{\"quota\":1e18}}"),
			    "cpu.max=1000000000000000000 100000");
	assert_int_equal(r.cpus, 1024);
	/* The host's processors are none of the guest's. */
	assert_string_equal(become("{\"cpu\":{\"cpus\":\"0-3\"}}"), "");
}

static void others(void **state)
{
	(void)state;
	assert_string_equal(become("{\"pids\":{\"limit\":64}}"), "pids.max=64");
	assert_string_equal(become("{\"pids\":{\"limit\":-1}}"),
			    "pids.max=max");
	assert_string_equal(
		become("{\"devices\":[{\"allow\":false}],\"blockIO\":{}}"), "");
	assert_string_equal(
		become("{\"unified\":{\"memory.high\":\"7\",\"io.weight\":\"9\"}}"),
		"memory.high=7 io.weight=9");
	assert_string_equal(become("{\"memory\":null,\"cpu\":{}}"), "");
}

static void nonsense(void **state)
{
	char many[4096] = "{\"unified\":{";
	size_t len = strlen(many);

	(void)state;
	refused("", -EINVAL, "no JSON object");
	refused("[1]", -EINVAL, "no JSON object");
	refused("{\"memory\":{\"limit\":\"1\"}}", -EINVAL, "\"limit\"");
	refused("{\"cpu\":{\"shares\":[]}}", -EINVAL, "\"shares\"");
	refused("{\"cpu\":{\"quota\":1e300}}", -EINVAL, "\"quota\"");
	refused("{\"pids\":{\"limit\":{}}}", -EINVAL, "\"limit\"");
	refused("{\"unified\":{\"memory.max\":7}}", -EINVAL, "no text");
	for (int i = 0; i <= RESOURCES_MAX; i++)
		len += (size_t)snprintf(many + len, sizeof(many) - len,
					"%s\"f%d\":\"1\"", i ? "," : "", i);
	snprintf(many + len, sizeof(many) - len, "}}");
	refused(many, -E2BIG, "more than 64 limits");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(memory, teardown),
		cmocka_unit_test_teardown(cpu, teardown),
		cmocka_unit_test_teardown(others, teardown),
		cmocka_unit_test_teardown(nonsense, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
