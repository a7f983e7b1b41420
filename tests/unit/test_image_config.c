/* OCI configurations: defaults, what is kept, what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/ctl/image/config.h"

static struct image_config config;
static struct err err;

static int parse(const char *text)
{
	json_t *json = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
	int r;

	assert_true(!text || json);
	r = image_config_parse(json, &config, &err);
	json_decref(json);
	return r;
}

static void nothing_means_defaults(void **state)
{
	static const char *const texts[] = {
		NULL, "null", "{}",
		"{\"Env\": null, \"Cmd\": null, \"User\": null,"
		" \"WorkingDir\": \"\", \"StopSignal\": \"\","
		" \"ExposedPorts\": null, \"Entrypoint\": []}"};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(parse(texts[i]), 0);
		assert_null(config.entrypoint[0]);
		assert_null(config.cmd[0]);
		assert_null(config.env[0]);
		assert_null(config.exposed_ports[0]);
		assert_string_equal(config.working_dir, "/");
		assert_string_equal(config.user, "");
		assert_string_equal(config.stop_signal, "SIGTERM");
		image_config_fini(&config);
	}
}

static void lists_keep_order_and_empty_strings(void **state)
{
	(void)state;
	assert_int_equal(parse("{\"Cmd\": [\"a\", \"\", \"b c\"],"
			       "\"Env\": [\"A=\", \"B=c=d\"],"
			       "\"WorkingDir\": \"srv/x\"}"),
			 0);
	assert_string_equal(config.cmd[0], "a");
	assert_string_equal(config.cmd[1], "");
	assert_string_equal(config.cmd[2], "b c");
	assert_null(config.cmd[3]);
	assert_string_equal(config.env[1], "B=c=d");
	assert_string_equal(config.working_dir, "/srv/x");
	image_config_fini(&config);
}

static void what_can_not_be_run_is_refused(void **state)
{
	static const struct {
		const char *text;
		const char *field;
	} cases[] = {
		{"[]", "config"},
		{"{\"Cmd\": \"sh -c x\"}", "Cmd"},
		{"{\"Cmd\": [1]}", "Cmd"},
		{"{\"Entrypoint\": {}}", "Entrypoint"},
		{"{\"Env\": [\"NO\"]}", "Env"},
		{"{\"Env\": [\"=x\"]}", "Env"},
		{"{\"ExposedPorts\": [\"80\"]}", "ExposedPorts"},
		{"{\"ExposedPorts\": {\"x\": {}}}", "ExposedPorts"},
		{"{\"ExposedPorts\": {\"80/icmp\": {}}}", "ExposedPorts"},
		{"{\"ExposedPorts\": {\"-80\": {}}}", "ExposedPorts"},
		{"{\"User\": 0}", "User"},
		{"{\"WorkingDir\": []}", "WorkingDir"},
		{"{\"StopSignal\": \"SIG;x\"}", "StopSignal"},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].text), -EINVAL);
		assert_non_null(strstr(err.text, cases[i].field));
		assert_null(config.cmd);
	}
}

static void lists_are_bounded(void **state)
{
	json_t *list = json_array();
	json_t *json = json_pack("{s:o}", "Cmd", list);
	unsigned i;

	(void)state;
	for (i = 0; i < 4097; i++)
		json_array_append_new(list, json_string("x"));
	assert_int_equal(image_config_parse(json, &config, &err), -E2BIG);
	json_array_remove(list, 0);
	assert_int_equal(image_config_parse(json, &config, &err), 0);
	image_config_fini(&config);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_means_defaults),
		cmocka_unit_test(lists_keep_order_and_empty_strings),
		cmocka_unit_test(what_can_not_be_run_is_refused),
		cmocka_unit_test(lists_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
