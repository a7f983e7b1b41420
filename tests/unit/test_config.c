/* The configuration: every rule of its setters. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/config.h"

static const char default_args[] =
	"reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux "
	"i8042.dumbkbd swiotlb=noforce";

static int parse(struct vm_config *c, const char *text, struct err *e)
{
	config_init(c);
	memset(e, 0, sizeof(*e));
	return config_parse(c, text, strlen(text), e);
}

static void accept(const char *text)
{
	struct vm_config c;
	struct err e;

	if (parse(&c, text, &e))
		fail_msg("%s\n  gave: %s", text, e.text);
	config_fini(&c);
}

static void refuse(const char *text, const char *words)
{
	struct vm_config c;
	struct err e;
	int rc = parse(&c, text, &e);

	config_fini(&c);
	if (!rc || !strstr(e.text, words))
		fail_msg("%s\n  gave %d: %s\n  not: %s", text, rc, e.text,
			 words);
}

/* A file that is right but for `more`, which follows the mandatory keys. */
static const char *file(const char *more)
{
	static char text[4096];

	snprintf(text, sizeof(text),
		 "{\"boot-source\": {\"kernel_image_path\": \"k\"},"
		 "\n\"drives\": []%s}",
		 more);
	return text;
}

static const char *machine(const char *fields)
{
	char more[1024];

	snprintf(more, sizeof(more), ",\n\"machine-config\": {%s}", fields);
	return file(more);
}

static const char *drives(const char *list)
{
	static char text[4096];

	snprintf(text, sizeof(text),
		 "{\"boot-source\": {\"kernel_image_path\": \"k\"},"
		 " \"drives\": [%s]}",
		 list);
	return text;
}

#define DRIVE(id, more) "{\"drive_id\": \"" id "\", " more "}"
#define ROOT(id) \
	DRIVE(id, "\"is_root_device\": true, \"path_on_host\": \"/" id "\"")
#define DATA(id) \
	DRIVE(id, "\"is_root_device\": false, \"path_on_host\": \"/" id "\"")

static void a_whole_file_is_taken(void **state)
{
	struct vm_config c;
	struct err e;

	(void)state;
	assert_int_equal(
		parse(&c,
		      "{\"boot-source\": {\"kernel_image_path\": \"k\","
		      " \"initrd_path\": \"i\", \"boot_args\": \"a b\"},"
		      " \"drives\": [" DATA("d") ", " ROOT(
			      "r") "],"
				   " \"machine-config\": {\"vcpu_count\": 4,"
				   " \"mem_size_mib\": 512, \"smt\": true,"
				   " \"track_dirty_pages\": false, \"huge_pages\": \"2M\","
				   " \"cpu_template\": \"None\"},"
				   " \"logger\": {\"level\": \"Debug\", \"log_path\": \"l\","
				   " \"show_level\": false},"
				   " \"network-interfaces\": [], \"vsock\": null,"
				   " \"metrics\": null, \"mmds-config\": null,"
				   " \"cpu-config\": null, \"balloon\": null,"
				   " \"entropy\": null}",
		      &e),
		0);
	assert_string_equal(c.boot.kernel_image_path, "k");
	assert_string_equal(c.boot.initrd_path, "i");
	assert_int_equal(c.machine.vcpu_count, 4);
	assert_true(c.machine.mem_size_mib == 512);
	assert_true(c.machine.smt);
	assert_int_equal(c.machine.huge_pages, CONFIG_HUGE_2M);
	assert_int_equal(c.drive_count, 2);
	assert_string_equal(config_root(&c)->drive_id, "r");
	assert_string_equal(c.logger.level, "Debug");
	assert_true(c.logger.has_show_level && !c.logger.show_level);
	config_fini(&c);
}

static void defaults_are_the_known_ones(void **state)
{
	struct vm_config c;
	struct err e;
	json_t *json;
	char *text;

	(void)state;
	assert_int_equal(parse(&c, file(""), &e), 0);
	assert_int_equal(c.machine.vcpu_count, 1);
	assert_true(c.machine.mem_size_mib == 128);
	json = json_dump(&config_machine_table, &c.machine);
	text = json_dumps(json, JSON_COMPACT);
	assert_string_equal(text, "{\"vcpu_count\":1,\"mem_size_mib\":128,"
				  "\"smt\":false,\"track_dirty_pages\":false,"
				  "\"huge_pages\":\"None\"}");
	free(text);
	json_decref(json);
	config_fini(&c);
}

static void files_lacking_or_knowing_too_much_are_refused(void **state)
{
	(void)state;
	refuse("{}", "missing field 'boot-source' in the config file");
	refuse("{\"boot-source\": {\"kernel_image_path\": \"k\"}}",
	       "missing field 'drives'");
	refuse("{\"boot-source\": null, \"drives\": []}", "boot-source");
	refuse("{\"boot-source\": {}, \"drives\": []}",
	       "missing field 'kernel_image_path' in boot-source");
	refuse("{\"boot-source\": {\"kernel_image_path\": \"\"}, "
	       "\"drives\": []}",
	       "boot-source: The kernel_image_path is empty");
	refuse(file(", \"bootsource\": 1"), "unknown field 'bootsource'");
	refuse(file(",\n \"x\" 1"), "line 3, column 6");
	refuse(file(", \"drives\": []"), "doubled field 'drives'");
	refuse("[]", "must be an object");
	refuse("", "line 1");
}

static void what_is_not_there_is_refused_by_name(void **state)
{
	(void)state;
	refuse(file(", \"mmds-config\": {}"), "'mmds-config' is not supported");
	refuse(file(", \"metrics\": {}"),
	       "missing field 'metrics_path' in metrics");
	refuse(file(", \"metrics\": {\"metrics_path\": \"\"}"),
	       "metrics: metrics_path must not be empty");
	refuse(file(", \"cpu-config\": {}"), "'cpu-config' is not supported");
	refuse(file(", \"balloon\": {}"), "'balloon' is left out of mayfly");
	refuse(file(", \"entropy\": {}"), "'entropy' is left out of mayfly");
	refuse(file(", \"pmem\": [{}]"), "'pmem' is left out of mayfly");
	refuse(file(", \"memory-hotplug\": {}"), "'memory-hotplug' is left");
}

static void machine_rules_hold(void **state)
{
	(void)state;
	accept(machine("\"vcpu_count\": 1, \"mem_size_mib\": 1"));
	accept(machine("\"vcpu_count\": 32, \"mem_size_mib\": 16777216"));
	accept(machine("\"vcpu_count\": 3, \"mem_size_mib\": 1"));
	accept(machine("\"vcpu_count\": 1, \"mem_size_mib\": 1, "
		       "\"smt\": true"));
	accept(machine("\"vcpu_count\": 1, \"mem_size_mib\": 3, "
		       "\"huge_pages\": \"Transparent\""));
	refuse(machine("\"vcpu_count\": 0, \"mem_size_mib\": 1"),
	       "between 1 and 32, not 0");
	refuse(machine("\"vcpu_count\": 33, \"mem_size_mib\": 1"),
	       "between 1 and 32, not 33");
	refuse(machine("\"vcpu_count\": 4294967297, \"mem_size_mib\": 1"),
	       "'vcpu_count' must be between");
	refuse(machine("\"vcpu_count\": -1, \"mem_size_mib\": 1"), "not -1");
	refuse(machine("\"vcpu_count\": 1.5, \"mem_size_mib\": 1"), "fraction");
	refuse(machine("\"vcpu_count\": \"1\", \"mem_size_mib\": 1"),
	       "not a string");
	refuse(machine("\"vcpu_count\": 1, \"mem_size_mib\": 0"),
	       "between 1 and 16777216, not 0");
	refuse(machine("\"vcpu_count\": 1, \"mem_size_mib\": 16777217"),
	       "not 16777217");
	refuse(machine("\"vcpu_count\": 1, \"mem_size_mib\": "
		       "9223372036854775807"),
	       "not 9223372036854775807");
	refuse(machine("\"vcpu_count\": 1, \"mem_size_mib\": "
		       "18446744073709551616"),
	       "line 3");
	refuse(machine("\"vcpu_count\": 3, \"mem_size_mib\": 1, "
		       "\"smt\": true"),
	       "1 or even, not 3");
	refuse(machine("\"vcpu_count\": 1, \"mem_size_mib\": 3, "
		       "\"huge_pages\": \"2M\""),
	       "must be even, not 3");
	refuse(machine("\"vcpu_count\": 1, \"mem_size_mib\": 2, "
		       "\"huge_pages\": \"1G\""),
	       "one of None, 2M, Transparent, not '1G'");
	refuse(machine("\"vcpu_count\": 1, \"mem_size_mib\": 2, "
		       "\"cpu_template\": \"C3\""),
	       "This CPU template is not supported");
	refuse(machine("\"vcpu_count\": 1, \"mem_size_mib\": 2, "
		       "\"cpu_template\": \"X\""),
	       "not 'X'");
	refuse(machine("\"mem_size_mib\": 2"), "missing field 'vcpu_count'");
	refuse(machine("\"vcpu_count\": 2"), "missing field 'mem_size_mib'");
}

static void drive_rules_hold(void **state)
{
	(void)state;
	accept(drives(ROOT("r") ", " DATA("a") ", " DATA("b_9")));
	refuse(drives(DATA("")), "drives[0]: The ID cannot be empty.");
	refuse(drives(DATA("a-b")),
	       "API Resource IDs can only contain alphanumeric characters and "
	       "underscores.");
	refuse(drives(DATA("\xc3\xa4")), "API Resource IDs");
	refuse(drives(DATA("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
			   "aaaaaaaaaaaaaaaaaaaa")),
	       "at most 64");
	refuse(drives(ROOT("r") ", " ROOT("s")),
	       "drives[1]: The drive r is the root device already");
	refuse(drives(DATA("a") ", " DATA("a")),
	       "drives[1]: this drive_id is used twice");
	refuse(drives(DRIVE("a", "\"is_root_device\": true")),
	       "needs a path_on_host");
	refuse(drives(DRIVE("a", "\"is_root_device\": true, "
				 "\"path_on_host\": \"\"")),
	       "needs a path_on_host");
	refuse(drives(DRIVE("a", "\"path_on_host\": \"x\"")),
	       "missing field 'is_root_device'");
	refuse(drives(DRIVE("a", "\"is_root_device\": true, "
				 "\"socket\": \"s\"")),
	       "'socket' is left out of mayfly by design");
	refuse(drives(DRIVE("a", "\"is_root_device\": true, "
				 "\"path_on_host\": \"x\", "
				 "\"cache_type\": \"Safe\"")),
	       "one of Unsafe, Writeback, not 'Safe'");
	accept(drives(DRIVE("a", "\"is_root_device\": true, "
				 "\"path_on_host\": \"x\", "
				 "\"io_engine\": \"Async\"")));
	refuse(drives(DRIVE("a", "\"is_root_device\": true, "
				 "\"path_on_host\": \"x\", "
				 "\"io_engine\": \"Threads\"")),
	       "one of Sync, Async, not 'Threads'");
	refuse(drives(DRIVE("a", "\"is_root_device\": true, "
				 "\"path_on_host\": \"x\", "
				 "\"partuuid\": \"a b\"")),
	       "partuuid");
	refuse(drives(DRIVE("a", "\"is_root_device\": true, "
				 "\"path_on_host\": \"x\", "
				 "\"partuuid\": \"\"")),
	       "partuuid");
}

#define LIMITED(limiter)                               \
	drives(DRIVE("a", "\"is_root_device\": true, " \
			  "\"path_on_host\": \"x\", "  \
			  "\"rate_limiter\": " limiter))

static void rate_limiters_are_checked(void **state)
{
	(void)state;
	accept(LIMITED("null"));
	accept(LIMITED("{}"));
	accept(LIMITED("{\"ops\": null}"));
	accept(LIMITED("{\"ops\": {\"size\": 0, \"refill_time\": 5}}"));
	accept(LIMITED("{\"bandwidth\": {\"size\": 9, \"refill_time\": 0, "
		       "\"one_time_burst\": 4}}"));
	accept(LIMITED("{\"ops\": {\"size\": 1, \"refill_time\": 1}}"));
	accept(LIMITED("{\"bandwidth\": {\"size\": 1, \"refill_time\": 1}}"));
	refuse(LIMITED("{\"ops\": {\"size\": 1}}"), "'refill_time'");
	refuse(LIMITED("{\"ops\": {\"size\": -1, \"refill_time\": 1}}"), "-1");
	refuse(LIMITED("{\"op\": {}}"), "unknown field 'op' in a rate limiter");
}

static void there_is_a_most_of_drives(void **state)
{
	char list[8192] = "", text[8300];
	size_t at = 0;
	int i;

	(void)state;
	for (i = 0; i <= CONFIG_DRIVES_MAX; i++) {
		if (i == CONFIG_DRIVES_MAX) {
			snprintf(text, sizeof(text),
				 "{\"boot-source\": {\"kernel_image_path\": "
				 "\"k\"}, \"drives\": [%s]}",
				 list);
			accept(text);
		}
		at += (size_t)snprintf(list + at, sizeof(list) - at,
				       "%s{\"drive_id\": \"d%d\", "
				       "\"is_root_device\": false, "
				       "\"path_on_host\": \"x\"}",
				       i ? ", " : "", i);
	}
	snprintf(text, sizeof(text),
		 "{\"boot-source\": {\"kernel_image_path\": \"k\"}, "
		 "\"drives\": [%s]}",
		 list);
	refuse(text, "has 33 items");
}

static struct config_drive drive(const char *id, bool is_root)
{
	return (struct config_drive){
		.drive_id = strdup(id),
		.path_on_host = strdup("/x"),
		.is_root_device = is_root,
	};
}

static void a_drive_of_the_same_id_is_replaced(void **state)
{
	struct config_drive body;
	struct vm_config c;
	struct err e;

	(void)state;
	config_init(&c);
	body = drive("a", true);
	assert_int_equal(config_set_drive(&c, &body, &e), 0);
	assert_null(body.drive_id);
	body = drive("b", false);
	assert_int_equal(config_set_drive(&c, &body, &e), 0);
	/* b can't become the root while a is, and stays as it was. */
	body = drive("b", true);
	assert_int_equal(config_set_drive(&c, &body, &e), -EEXIST);
	assert_non_null(body.drive_id);
	assert_false(c.drives[1].is_root_device);
	/* a may stay the root, or stop being it; then b may. */
	body.is_root_device = false;
	json_unbind(&config_drive_table, &body);
	body = drive("a", true);
	body.is_read_only = true;
	assert_int_equal(config_set_drive(&c, &body, &e), 0);
	assert_int_equal(c.drive_count, 2);
	assert_true(c.drives[0].is_read_only);
	body = drive("a", false);
	assert_int_equal(config_set_drive(&c, &body, &e), 0);
	body = drive("b", true);
	assert_int_equal(config_set_drive(&c, &body, &e), 0);
	assert_string_equal(config_root(&c)->drive_id, "b");
	assert_int_equal(c.drive_count, 2);
	config_fini(&c);
}

static void a_patch_changes_what_it_names(void **state)
{
	struct config_machine_patch patch = {
		.value = {.mem_size_mib = 256, .vcpu_count = 99},
		.has_mem_size_mib = true,
	};
	struct vm_config c;
	struct err e;

	(void)state;
	config_init(&c);
	assert_int_equal(config_patch_machine(&c, &patch, &e), 0);
	assert_int_equal(c.machine.vcpu_count, 1);
	assert_true(c.machine.mem_size_mib == 256);
	patch.has_vcpu_count = true;
	patch.value.mem_size_mib = 1;
	assert_int_equal(config_patch_machine(&c, &patch, &e), -ERANGE);
	assert_true(c.machine.mem_size_mib == 256);
	patch = (struct config_machine_patch){0};
	assert_int_equal(config_patch_machine(&c, &patch, &e), -EINVAL);
	assert_string_equal(e.text, "Empty PATCH request.");
	config_fini(&c);
}

static void loggers_merge(void **state)
{
	struct config_logger body = {.level = strdup("Info"),
				     .show_level = true,
				     .has_show_level = true};
	struct vm_config c;
	struct err e;

	(void)state;
	config_init(&c);
	assert_int_equal(config_set_logger(&c, &body, &e), 0);
	body = (struct config_logger){.module = strdup("api")};
	assert_int_equal(config_set_logger(&c, &body, &e), 0);
	assert_string_equal(c.logger.level, "Info");
	assert_string_equal(c.logger.module, "api");
	assert_true(c.logger.show_level);
	body = (struct config_logger){.level = strdup("Loud")};
	assert_int_equal(config_set_logger(&c, &body, &e), -EINVAL);
	assert_non_null(strstr(e.text, "not 'Loud'"));
	free(body.level);
	body = (struct config_logger){.log_path = strdup("")};
	assert_int_equal(config_set_logger(&c, &body, &e), -EINVAL);
	free(body.log_path);
	config_fini(&c);
}

static void check_cmdline(const char *args, struct config_drive *root,
			  const char *expected)
{
	struct config_boot boot = {.kernel_image_path = strdup("k"),
				   .boot_args = args ? strdup(args) : NULL};
	struct vm_config c;
	char out[512];
	struct err e;

	config_init(&c);
	assert_int_equal(config_set_boot(&c, &boot, &e), 0);
	if (root)
		assert_int_equal(config_set_drive(&c, root, &e), 0);
	assert_int_equal(config_cmdline(&c, out, sizeof(out), &e), 0);
	assert_string_equal(out, expected);
	assert_int_equal(config_cmdline(&c, out, strlen(expected), &e), -E2BIG);
	assert_int_equal(config_cmdline(&c, out, strlen(expected) + 1, &e), 0);
	config_fini(&c);
}

static void the_command_line_names_the_root(void **state)
{
	struct config_drive d = drive("r", true);
	char text[256];

	(void)state;
	check_cmdline(NULL, NULL, default_args);
	snprintf(text, sizeof(text), "%s root=/dev/vda rw", default_args);
	check_cmdline(NULL, &d, text);
	d = drive("r", true);
	d.is_read_only = true;
	check_cmdline("a", &d, "a root=/dev/vda ro");
	d = drive("r", true);
	d.partuuid = strdup("0eaa91a0-01");
	check_cmdline("a", &d, "a root=PARTUUID=0eaa91a0-01 rw");
	d = drive("r", true);
	check_cmdline("", &d, "root=/dev/vda rw");
	d = drive("r", false);
	check_cmdline("a", &d, "a");
	/* What follows -- is for init. */
	d = drive("r", true);
	check_cmdline("a -- b", &d, "a root=/dev/vda rw -- b");
	d = drive("r", true);
	check_cmdline("a --b c--", &d, "a --b c-- root=/dev/vda rw");
	d = drive("r", true);
	check_cmdline("-- b", &d, "root=/dev/vda rw -- b");
	d = drive("r", true);
	check_cmdline("a --", &d, "a root=/dev/vda rw --");
}

/* What is moved is there once, and what it has no use for stays untouched. */
static void a_configuration_moves(void **state)
{
	struct config_drive d = drive("r", true);
	struct vm_config from, to;
	struct err e;

	(void)state;
	config_init(&from);
	memset(&to, 0xa5, sizeof(to));
	assert_int_equal(config_set_drive(&from, &d, &e), 0);
	from.machine.mem_size_mib = 77;
	from.vsock_fd = 9;
	config_move(&to, &from);
	assert_int_equal(to.machine.mem_size_mib, 77);
	assert_int_equal(to.vsock_fd, 9);
	assert_int_equal(to.drive_count, 1);
	assert_string_equal(to.drives[0].drive_id, "r");
	assert_int_equal(to.net_count, 0);
	assert_int_equal(((uint8_t *)&to.drives[1])[0], 0xa5);
	assert_int_equal(((uint8_t *)&to.nets[0])[0], 0xa5);
	/* Nothing is freed twice. */
	config_fini(&from);
	config_fini(&to);
}

static void a_dump_is_a_config_file(void **state)
{
	struct vm_config c, again;
	struct err e;
	json_t *json;
	char *text, *second;

	(void)state;
	assert_int_equal(parse(&c, drives(ROOT("r") ", " DATA("d")), &e), 0);
	json = config_dump(&c);
	text = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	config_fini(&c);
	assert_non_null(strstr(text, "\"rate_limiter\":null"));
	assert_non_null(strstr(text, "\"vsock\":null"));
	assert_non_null(strstr(text, "\"network-interfaces\":[]"));
	assert_int_equal(parse(&again, text, &e), 0);
	json = config_dump(&again);
	second = json_dumps(json, JSON_COMPACT);
	json_decref(json);
	assert_string_equal(second, text);
	config_fini(&again);
	free(text);
	free(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_file_is_taken),
		cmocka_unit_test(defaults_are_the_known_ones),
		cmocka_unit_test(files_lacking_or_knowing_too_much_are_refused),
		cmocka_unit_test(what_is_not_there_is_refused_by_name),
		cmocka_unit_test(machine_rules_hold),
		cmocka_unit_test(drive_rules_hold),
		cmocka_unit_test(rate_limiters_are_checked),
		cmocka_unit_test(there_is_a_most_of_drives),
		cmocka_unit_test(a_drive_of_the_same_id_is_replaced),
		cmocka_unit_test(a_patch_changes_what_it_names),
		cmocka_unit_test(loggers_merge),
		cmocka_unit_test(the_command_line_names_the_root),
		cmocka_unit_test(a_configuration_moves),
		cmocka_unit_test(a_dump_is_a_config_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
