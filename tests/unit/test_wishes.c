/*
 * What a microVM of containerd's is to be: shim.json, and the annotations of a
 * pod, which are anybody's.
 */
#include "api/ctl/containerd/wishes.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/spec_bench.h"

static struct host_config config;
static struct wishes wishes;

static int configure(const char *text)
{
	char file[96];
	FILE *f;
	int rc;

	snprintf(file, sizeof(file), "%s/shim.json", bundle);
	f = fopen(file, "w");
	if (!f)
		abort();
	fputs(text, f);
	fclose(f);
	setenv("MAYFLY_SHIM_CONFIG", file, 1);
	host_config_fini(&config);
	rc = host_read_config(&config, &err);
	unlink(file);
	return rc;
}

static int teardown(void **state)
{
	host_config_fini(&config);
	config = (struct host_config){0};
	return bundle_teardown(state);
}

/* With annotations, as they stand in JSON. */
static int read_wishes(const char *annotations)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 "{\"process\":{\"args\":[\"x\"]},\"root\":{\"path\":\"r\"},"
		 "\"annotations\":{%s}}",
		 annotations);
	spec_fini(&spec);
	assert_int_equal(bundle_read(text), 0);
	return wishes_read(&wishes, &config, &spec, &err);
}

static void usual_is_one_that_boots(void **state)
{
	(void)state;
	assert_int_equal(configure("{}"), 0);
	assert_int_equal(read_wishes(""), 0);
	assert_int_equal(wishes.vcpus, 1);
	assert_int_equal(wishes.memory_mib, 256);
	assert_string_equal(wishes.kernel, "");
	assert_false(wishes.is_warm);
}

static void configuration_is_what_pods_have(void **state)
{
	(void)state;
	assert_int_equal(configure("{\"vcpus\":2,\"memory_mib\":100,"
				   "\"kernel\":\"/k\",\"warm\":true}"),
			 0);
	assert_int_equal(read_wishes(""), 0);
	assert_int_equal(wishes.vcpus, 2);
	assert_int_equal(wishes.memory_mib, 100);
	assert_string_equal(wishes.kernel, "/k");
	assert_true(wishes.is_warm);
	assert_int_equal(configure("{\"warm\":\"yes\"}"), -EINVAL);
	assert_int_equal(configure("{\"memory_mib_max\":31}"), -ERANGE);
	assert_int_equal(configure("{\"vcpus_max\":33}"), -ERANGE);
	assert_int_equal(configure("{\"kernels\":1}"), -EINVAL);
}

static void a_pod_may_say_otherwise(void **state)
{
	(void)state;
	assert_int_equal(configure("{\"vcpus\":2,\"kernel\":\"/k\","
				   "\"kernels\":\"/kernels\",\"warm\":true}"),
			 0);
	assert_int_equal(read_wishes("\"io.mayfly.vcpus\":\"1\","
				     "\"io.mayfly.memory_mib\":\"64\","
				     "\"io.mayfly.kernel\":\"vmlinux-6.1_a\","
				     "\"io.mayfly.warm\":\"false\""),
			 0);
	assert_int_equal(wishes.vcpus, 1);
	assert_int_equal(wishes.memory_mib, 64);
	assert_string_equal(wishes.kernel, "/kernels/vmlinux-6.1_a");
	assert_false(wishes.is_warm);
	assert_int_equal(configure("{}"), 0);
	assert_int_equal(read_wishes("\"io.mayfly.warm\":\"true\""), 0);
	assert_true(wishes.is_warm);
	/* What is no text is as if it were not there. */
	assert_int_equal(read_wishes("\"io.mayfly.vcpus\":7"), 0);
	assert_int_equal(wishes.vcpus, 1);
}

static void refused(const char *name, const char *value)
{
	char text[400];

	snprintf(text, sizeof(text), "\"io.mayfly.%s\":\"%s\"", name, value);
	err = (struct err){0};
	assert_int_equal(read_wishes(text), -EINVAL);
	/* Who reads it knows which it was. */
	assert_non_null(strstr(err.text, name));
}

static void numbers_are_judged(void **state)
{
	static const char *const bad[] = {
		"0",
		"",
		"-1",
		"+1",
		" 1",
		"1 ",
		"1.0",
		"1e9",
		"0x1",
		"1000000",
		"4294967297",
		"18446744073709551617",
		"99999999999999999999999999999999",
		"\\u0661",
	};

	(void)state;
	assert_int_equal(configure("{\"memory_mib_max\":512}"), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		refused("vcpus", bad[i]);
		refused("memory_mib", bad[i]);
	}
	refused("vcpus", "33");
	refused("memory_mib", "31");
	refused("memory_mib", "513");
	assert_int_equal(read_wishes("\"io.mayfly.memory_mib\":\"512\""), 0);
	assert_int_equal(configure("{\"vcpus_max\":1,\"vcpus\":4}"), 0);
	refused("vcpus", "2");
	assert_int_equal(read_wishes(""), 0);
	assert_int_equal(wishes.vcpus, 4);
}

static void a_kernel_is_one_of_the_hosts(void **state)
{
	static const char *const bad[] = {
		"",   ".",     "..",	"../k",	 "/etc/shadow",
		"a/", "a/b",   ".hide", "a b",	 "a\\nb",
		"ä",  "a\\\\", "a:b",	"$HOME", "*",
	};
	char text[300];

	(void)state;
	assert_int_equal(configure("{\"kernels\":\"/kernels\"}"), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused("kernel", bad[i]);
	memset(text, 'a', sizeof(text));
	text[256] = '\0';
	refused("kernel", text);
	assert_int_equal(configure("{}"), 0);
	refused("kernel", "vmlinux");
	assert_non_null(strstr(err.text, "kernels"));
}

static void warm_is_true_or_false(void **state)
{
	(void)state;
	assert_int_equal(configure("{\"warm\":true}"), 0);
	refused("warm", "");
	refused("warm", "yes");
	refused("warm", "True");
	refused("warm", "true ");
	refused("warm", "0");
	refused("warm", "\\u001b[31m");
	assert_null(strchr(err.text, '\033'));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(usual_is_one_that_boots,
						bundle_setup, teardown),
		cmocka_unit_test_setup_teardown(configuration_is_what_pods_have,
						bundle_setup, teardown),
		cmocka_unit_test_setup_teardown(a_pod_may_say_otherwise,
						bundle_setup, teardown),
		cmocka_unit_test_setup_teardown(numbers_are_judged,
						bundle_setup, teardown),
		cmocka_unit_test_setup_teardown(a_kernel_is_one_of_the_hosts,
						bundle_setup, teardown),
		cmocka_unit_test_setup_teardown(warm_is_true_or_false,
						bundle_setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
