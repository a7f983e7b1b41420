/* OCI configurations: defaults, what is kept, what is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/ctl/image/config.h"

static struct image_config config;
static struct err err;
static char warning[512]; /* the last */
static unsigned warnings;

static void on_warning(const char *sentence)
{
	snprintf(warning, sizeof(warning), "%s", sentence);
	warnings++;
}

static int parse(const char *text)
{
	json_t *json = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
	int r;

	assert_true(!text || json);
	r = image_config_parse(json, &config, on_warning, &err);
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
		{"{\"Cmd\": [1]}", "Cmd"},
		{"{\"Entrypoint\": {}}", "Entrypoint"},
		{"{\"Env\": \"A=b\"}", "Env"},
		{"{\"Env\": {\"A\": \"b\"}}", "Env"},
		{"{\"ExposedPorts\": \"80\"}", "ExposedPorts"},
		{"{\"ExposedPorts\": [80]}", "ExposedPorts"},
		{"{\"User\": -1}", "User"},
		{"{\"User\": true}", "User"},
		{"{\"WorkingDir\": []}", "WorkingDir"},
		{"{\"StopSignal\": []}", "StopSignal"},
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].text), -EINVAL);
		assert_non_null(strstr(err.text, cases[i].field));
		assert_null(config.cmd);
	}
}

static void what_means_the_same_is_the_same(void **state)
{
	static const char *const signals[][2] = {
		{"\"sigquit\"", "SIGQUIT"},
		{"\"QUIT\"", "SIGQUIT"},
		{"\"3\"", "SIGQUIT"},
		{"3", "SIGQUIT"},
		{"\"SigQuit\"", "SIGQUIT"},
		{"\"SIGIO\"", "SIGPOLL"},
		{"\"iot\"", "SIGABRT"},
		{"\"SIGCLD\"", "SIGCHLD"},
		{"\"SIGUNUSED\"", "SIGSYS"},
		{"\"SIGRTMIN+3\"", "SIGRTMIN+3"},
		{"\"rtmin+3\"", "SIGRTMIN+3"},
		{"\"37\"", "SIGRTMIN+3"},
		{"\"RTMAX-27\"", "SIGRTMIN+3"},
		{"\"SIGRTMIN\"", "SIGRTMIN"},
		{"null", "SIGTERM"},
	};
	static const char *const ports[][2] = {
		{"80", "80/tcp"},	  {"80/TCP", "80/tcp"},
		{"53/udp", "53/udp"},	  {"8000-8010", "8000-8010/tcp"},
		{"1-2/Sctp", "1-2/sctp"},
	};
	char text[80];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		snprintf(text, sizeof(text), "{\"StopSignal\": %s}",
			 signals[i][0]);
		assert_int_equal(parse(text), 0);
		assert_string_equal(config.stop_signal, signals[i][1]);
		image_config_fini(&config);
	}
	for (i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		snprintf(text, sizeof(text),
			 i & 1 ? "{\"ExposedPorts\": [\"%s\"]}"
			       : "{\"ExposedPorts\": {\"%s\": null}}",
			 ports[i][0]);
		assert_int_equal(parse(text), 0);
		assert_string_equal(config.exposed_ports[0], ports[i][1]);
		image_config_fini(&config);
	}
	assert_int_equal(parse("{\"Cmd\": \"sh -c x\", \"User\": 1000,"
			       "\"WorkingDir\": \"srv\", \"Unknown\": [{}]}"),
			 0);
	assert_string_equal(config.cmd[0], "sh -c x");
	assert_null(config.cmd[1]);
	assert_string_equal(config.user, "1000");
	assert_string_equal(config.working_dir, "/srv");
	image_config_fini(&config);
	assert_int_equal(warnings, 0);
}

static void what_is_odd_is_left_out_with_a_word(void **state)
{
	static const char *const texts[] = {
		"{\"Env\": [\"NO\", \"A=b\"]}",
		"{\"Env\": [\"A=b\", \"=x\"]}",
		"{\"ExposedPorts\": {\"x\": {}}}",
		"{\"ExposedPorts\": {\"80/icmp\": {}}}",
		"{\"ExposedPorts\": {\"-80\": {}}}",
		"{\"ExposedPorts\": {\"0\": {}}}",
		"{\"ExposedPorts\": {\"65536/tcp\": {}}}",
		"{\"ExposedPorts\": {\"90-80\": {}}}",
		"{\"ExposedPorts\": {\"80; reboot\": {}}}",
		"{\"StopSignal\": \"SIG;\\u001b[31m\"}",
		"{\"StopSignal\": 65}",
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		warnings = 0;
		assert_int_equal(parse(texts[i]), 0);
		assert_int_equal(warnings, 1);
		assert_null(strchr(warning, '\033'));
		if (strstr(texts[i], "Env"))
			assert_string_equal(config.env[0], "A=b");
		assert_null(config.exposed_ports[0]);
		assert_string_equal(config.stop_signal, "SIGTERM");
		image_config_fini(&config);
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
	assert_int_equal(image_config_parse(json, &config, NULL, &err), -E2BIG);
	json_array_remove(list, 0);
	assert_int_equal(image_config_parse(json, &config, NULL, &err), 0);
	image_config_fini(&config);
	json_decref(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_means_defaults),
		cmocka_unit_test(lists_keep_order_and_empty_strings),
		cmocka_unit_test(what_can_not_be_run_is_refused),
		cmocka_unit_test(what_means_the_same_is_the_same),
		cmocka_unit_test(what_is_odd_is_left_out_with_a_word),
		cmocka_unit_test(lists_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
