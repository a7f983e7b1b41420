/*
 * Routes and controller, over a machine that only remembers: each request's
 * answer to the byte, and what it made the machine do.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/route_bench.h"

static void what_it_is_can_be_asked_at_any_time(void **state)
{
	(void)state;
	says("/", "{\"id\":\"test-vm\",\"state\":\"Not started\","
		  "\"vmm_version\":\"1.17.0\",\"app_name\":\"mayfly\"}");
	says("/version", "{\"firecracker_version\":\"1.17.0\"}");
	says("/version/", "{\"firecracker_version\":\"1.17.0\"}");
	says("//version", "{\"firecracker_version\":\"1.17.0\"}");
	says("/machine-config",
	     "{\"vcpu_count\":1,\"mem_size_mib\":128,\"smt\":false,"
	     "\"track_dirty_pages\":false,\"huge_pages\":\"None\"}");
	says("/vm/config",
	     "{\"boot-source\":null,\"drives\":[],\"machine-config\":"
	     "{\"vcpu_count\":1,\"mem_size_mib\":128,\"smt\":false,"
	     "\"track_dirty_pages\":false,\"huge_pages\":\"None\"},"
	     "\"logger\":null,\"cpu-config\":null,\"network-interfaces\":[],"
	     "\"vsock\":null,\"mmds-config\":null,\"metrics\":null,"
	     "\"serial\":null,\"balloon\":null,\"entropy\":null,\"pmem\":[],"
	     "\"memory-hotplug\":null}");
	start();
	says("/", "{\"id\":\"test-vm\",\"state\":\"Running\","
		  "\"vmm_version\":\"1.17.0\",\"app_name\":\"mayfly\"}");
	assert_int_equal(serve("GET", "/machine-config", NULL), 200);
	assert_int_equal(serve("GET", "/vm/config", NULL), 200);
}

static void wrong_paths_and_bodies_have_the_known_words(void **state)
{
	(void)state;
	fault("GET", "/nope", NULL,
	      "Invalid request method and/or path: GET nope.");
	fault("PUT", "/", "{}", "Invalid request method and/or path: PUT .");
	fault("POST", "/vm", "{}",
	      "Invalid request method and/or path: POST vm.");
	fault("DELETE", "/drives/a", NULL,
	      "Invalid request method and/or path: DELETE drives/a.");
	fault("GET", "/vm", NULL,
	      "Invalid request method and/or path: GET vm.");
	fault("GET", "/vm/configs", NULL,
	      "Invalid request method and/or path: GET vm/configs.");
	fault("GET", "/vm/config/x", NULL,
	      "Invalid request method and/or path: GET vm/config/x.");
	fault("get", "/", NULL, "Invalid request method and/or path: get .");
	fault("PUT", "/drives/a/b", "{}",
	      "Invalid request method and/or path: PUT drives/a/b.");
	fault("GET", "/", "{}", "GET request cannot have a body.");
	fault("GET", "/nope", "{}", "GET request cannot have a body.");
	fault("PUT", "/boot-source", NULL, "Empty PUT request.");
	fault("PUT", "/nope", NULL, "Empty PUT request.");
	fault("PATCH", "/vm", NULL, "Empty PATCH request.");
	fault("PATCH", "/machine-config", "{}", "Empty PATCH request.");
	fault("PUT", "/drives", "{}", "The ID cannot be empty.");
	fault("PUT", "/drives/", "{}", "The ID cannot be empty.");
	fault("PUT", "/drives/a-b", "{}",
	      "API Resource IDs can only contain alphanumeric characters and "
	      "underscores.");
	fault("PUT", "/drives/a%20b", "{}", "API Resource IDs can only*");
	fault("PUT",
	      "/drives/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	      "aaaaaaaaaaaaaaaaaaaaaaaa",
	      "{}", "An ID can have at most 64 characters.");
}

static void broken_bodies_have_the_known_words(void **state)
{
	(void)state;
	fault("PUT", "/boot-source", "{", JSON_ERROR "line 1, column 1: *");
	fault("PUT", "/boot-source", "{}",
	      JSON_ERROR "missing field 'kernel_image_path' in boot-source.");
	fault("PUT", "/boot-source", "[]",
	      JSON_ERROR "boot-source must be an object, not an array.");
	fault("PUT", "/boot-source", "{\"kernel_image_path\": 1}",
	      JSON_ERROR
	      "field 'kernel_image_path' must be a string, not an integer.");
	fault("PUT", "/boot-source", "{\"kernel_image_path\": \"a\", \"x\": 1}",
	      JSON_ERROR "unknown field 'x' in boot-source*");
	fault("PUT", "/boot-source",
	      "{\"kernel_image_path\": \"a\", \"kernel_image_path\": \"b\"}",
	      JSON_ERROR "line 1, column 46: doubled field "
			 "'kernel_image_path'.");
	fault("PUT", "/boot-source", "{\"kernel_image_path\": \"\xff\"}",
	      JSON_ERROR "line 1*");
	fault("PUT", "/actions", "{\"action_type\": \"Stop\"}",
	      JSON_ERROR "field 'action_type' must be one of InstanceStart, "
			 "FlushMetrics, SendCtrlAltDel, not 'Stop'.");
	fault("PATCH", "/vm", "{\"state\": \"Running\"}", JSON_ERROR "*");
	/* A body that is wrong is wrong before and after the start. */
	start();
	fault("PUT", "/boot-source", "{}", JSON_ERROR "*");
}

static void what_is_not_there_says_so(void **state)
{
	static const char *const later[] = {
		"/cpu-config",
		"/mmds",
		"/mmds/config",
	};
	static const char *const never[] = {"/balloon", "/entropy", "/pmem/a",
					    "/hotplug/memory"};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		fault("PUT", later[i], "{}", "This version of mayfly has no *");
	for (i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		assert_int_equal(serve("PUT", never[i], "{}"), 400);
		assert_non_null(strstr(answer, "left out of mayfly by design"));
	}
	fault("GET", "/balloon/statistics", NULL, "The balloon device*");
	fault("PATCH", "/balloon", "{}", "The balloon device*");
	fault("GET", "/mmds", NULL, "This version of mayfly has no *");
}

static void a_start_makes_the_machine_that_was_asked_for(void **state)
{
	(void)state;
	done("PUT", "/boot-source",
	     "{\"kernel_image_path\": \"" KERNEL "\", "
	     "\"initrd_path\": \"/proc/self/maps\", \"boot_args\": \"quiet\"}");
	done("PUT", "/machine-config",
	     "{\"vcpu_count\": 2, \"mem_size_mib\": 64, \"smt\": true, "
	     "\"huge_pages\": \"2M\"}");
	done("PUT", "/drives/data",
	     "{\"drive_id\": \"data\", \"is_root_device\": false, "
	     "\"path_on_host\": \"/d\", \"cache_type\": \"Writeback\"}");
	done("PUT", "/drives/root",
	     "{\"drive_id\": \"root\", \"is_root_device\": true, "
	     "\"path_on_host\": \"/r\", \"is_read_only\": true, "
	     "\"io_engine\": \"Async\", \"rate_limiter\": "
	     "{\"ops\": {\"size\": 7, \"refill_time\": 8}}}");
	done("PUT", "/network-interfaces/eth0",
	     "{\"iface_id\": \"eth0\", \"host_dev_name\": \"tap0\", "
	     "\"guest_mac\": \"06:00:AC:10:00:02\", \"mtu\": 9000, "
	     "\"tx_rate_limiter\": {\"bandwidth\": "
	     "{\"size\": 9, \"one_time_burst\": 3, \"refill_time\": 4}}}");
	done("PUT", "/vsock", "{\"guest_cid\": 3, \"uds_path\": \"/v.sock\"}");
	done("PUT", "/actions", "{\"action_type\": \"InstanceStart\"}");
	assert_string_equal(
		fake.calls,
		"vsock 3 /v.sock; "
		"new vcpus=2 mem=67108864 pages=1 smt=1; block /r ro async "
		"queues=2 ops=7/0/8; add root; block /d rw writeback queues=2; "
		"add data; net tap0 06:00:ac:10:00:02 mtu=9000 pairs=2 "
		"tx-bytes=9/3/4; add eth0; add vsock; "
		"add uart; add i8042; add sleep; add generation; start kernel=" KERNEL
		" "
		"initrd=/proc/self/maps cmdline=[quiet root=/dev/vda ro]");
}

static void order_rules_hold(void **state)
{
	(void)state;
	fault("PATCH", "/vm", "{\"state\": \"Paused\"}", BEFORE);
	fault("PATCH", "/vm", "{\"state\": \"Resumed\"}", BEFORE);
	fault("PUT", "/actions", "{\"action_type\": \"SendCtrlAltDel\"}",
	      BEFORE);
	fault("PUT", "/actions", "{\"action_type\": \"FlushMetrics\"}", BEFORE);
	fault("PUT", "/actions", "{\"action_type\": \"InstanceStart\"}",
	      "There is no kernel to start*");
	start();
	fault("PUT", "/actions", "{\"action_type\": \"InstanceStart\"}", AFTER);
	fault("PUT", "/boot-source", "{\"kernel_image_path\": \"k\"}", AFTER);
	fault("PUT", "/machine-config",
	      "{\"vcpu_count\": 1, \"mem_size_mib\": 1}", AFTER);
	fault("PATCH", "/machine-config", "{\"vcpu_count\": 1}", AFTER);
	fault("PUT", "/drives/a",
	      "{\"drive_id\": \"a\", \"is_root_device\": false, "
	      "\"path_on_host\": \"x\"}",
	      AFTER);
	fault("PUT", "/metrics", "{\"metrics_path\": \"m\"}", AFTER);
	fault("PUT", "/logger", "{\"level\": \"Error\"}", AFTER);
}

static void metrics_have_one_file_and_are_flushed_on_demand(void **state)
{
	char path[] = "/tmp/test_routes.XXXXXX", body[128];
	int fd = mkstemp(path);

	(void)state;
	fault("PUT", "/metrics", "{\"metrics_path\": \"/no/such/file\"}",
	      "can't open the metrics file /no/such/file: *");
	fault("PUT", "/metrics", "{\"metrics_path\": \"\"}",
	      "metrics_path must not be empty");
	fault("PUT", "/metrics", "{}",
	      JSON_ERROR "missing field 'metrics_path' in metrics.");
	snprintf(body, sizeof(body), "{\"metrics_path\": \"%s\"}", path);
	done("PUT", "/metrics", body);
	fault("PUT", "/metrics", body,
	      "The metrics have a file already, and it can't be changed.");
	assert_string_equal(controller.config.metrics.metrics_path, path);
	assert_int_equal(lseek(fd, 0, SEEK_END), 0);
	start();
	done("PUT", "/actions", "{\"action_type\": \"FlushMetrics\"}");
	assert_true(lseek(fd, 0, SEEK_END) > 100);
	close(fd);
	unlink(path);
}

static void metrics_without_a_file_can_still_be_asked(void **state)
{
	(void)state;
	start();
	done("PUT", "/actions", "{\"action_type\": \"FlushMetrics\"}");
	fault("PUT", "/nope", "{}", "Invalid request*");
	fault("PUT", "/boot-source", "{}", "*");
	fault("GET", "/metrics", "{}", "GET request cannot have a body.");
	assert_int_equal(serve("GET", "/metrics", NULL), 200);
	assert_true(is_text);
	assert_non_null(strstr(answer,
			       "mayfly_api_requests_total{method=\"PUT\",path="
			       "\"/boot-source\"} 2\n"));
	assert_non_null(strstr(answer,
			       "mayfly_api_failures_total{method=\"PUT\",path="
			       "\"/boot-source\"} 1\n"));
	assert_non_null(strstr(answer,
			       "mayfly_api_failures_total{method=\"GET\",path="
			       "\"/metrics\"} 1\n"));
	assert_non_null(strstr(
		answer, "mayfly_api_failures_total{method=\"other\",path="
			"\"other\"} 1\n"));
	assert_non_null(strstr(answer, "mayfly_vcpu_exit_io_out_total 7\n"));
}

static void pausing_is_idempotent(void **state)
{
	(void)state;
	start();
	fake_reset();
	done("PATCH", "/vm", "{\"state\": \"Resumed\"}");
	assert_string_equal(fake.calls, "");
	done("PATCH", "/vm", "{\"state\": \"Paused\"}");
	done("PATCH", "/vm", "{\"state\": \"Paused\"}");
	assert_string_equal(fake.calls, "pause");
	assert_int_equal(serve("GET", "/", NULL), 200);
	assert_non_null(strstr(answer, "\"Paused\""));
	done("PUT", "/actions", "{\"action_type\": \"SendCtrlAltDel\"}");
	done("PATCH", "/vm", "{\"state\": \"Resumed\"}");
	assert_string_equal(fake.calls, "pause; ctrl-alt-del; resume");
}

static void drives_obey_their_path(void **state)
{
	(void)state;
	fault("PUT", "/drives/a",
	      "{\"drive_id\": \"b\", \"is_root_device\": false, "
	      "\"path_on_host\": \"x\"}",
	      "The drive_id 'b' differs from the 'a' of the path.");
	done("PUT", "/drives/a",
	     "{\"drive_id\": \"a\", \"is_root_device\": true, "
	     "\"path_on_host\": \"x\"}");
	fault("PUT", "/drives/b",
	      "{\"drive_id\": \"b\", \"is_root_device\": true, "
	      "\"path_on_host\": \"x\"}",
	      "The drive a is the root device already: only one drive can "
	      "be.");
	done("PUT", "/drives/a",
	     "{\"drive_id\": \"a\", \"is_root_device\": false, "
	     "\"path_on_host\": \"y\"}");
	assert_int_equal(controller.config.drive_count, 1);
	assert_string_equal(controller.config.drives[0].path_on_host, "y");
}

#define LIMIT_OPS "{\"ops\": {\"size\": 1, \"refill_time\": 2}}"

static void drives_change_at_run_time(void **state)
{
	(void)state;
	done("PUT", "/drives/a", DRIVE_A);
	fault("PATCH", "/drives/a", "{\"drive_id\": \"a\"}", BEFORE);
	start();
	fake_reset();
	fault("PATCH", "/drives/b", "{\"drive_id\": \"b\"}",
	      "There is no drive of the id 'b'.");
	fault("PATCH", "/drives/a", "{\"drive_id\": \"b\"}",
	      "The drive_id 'b' differs from the 'a' of the path.");
	fault("PATCH", "/drives/a",
	      "{\"drive_id\": \"a\", \"is_read_only\": true}",
	      JSON_ERROR "unknown field 'is_read_only'*");
	assert_string_equal(fake.calls, "");
	done("PATCH", "/drives/a",
	     "{\"drive_id\": \"a\", \"path_on_host\": \"y\"}");
	fault("PATCH", "/drives/a", "{\"drive_id\": \"a\"}",
	      "A PATCH of the drive a needs a path_on_host or a *");
	done("PATCH", "/drives/a",
	     "{\"drive_id\": \"a\", \"rate_limiter\": " LIMIT_OPS "}");
	assert_string_equal(fake.calls, "path a y; limiter a ops=1/0/2");
	fake.fail = "path";
	assert_int_equal(
		serve("PATCH", "/drives/a",
		      "{\"drive_id\": \"a\", \"path_on_host\": \"z\"}"),
		400);
	assert_string_equal(controller.config.drives[0].path_on_host, "y");
	assert_int_equal(serve("GET", "/vm/config", NULL), 200);
	assert_non_null(strstr(answer, "\"ops\":{\"size\":1,"));
	assert_non_null(strstr(answer, "\"path_on_host\":\"y\""));
}

static void limits_of_an_interface_change_at_run_time(void **state)
{
	(void)state;
	done("PUT", "/network-interfaces/a", NET_A);
	fault("PATCH", "/network-interfaces/a", "{\"iface_id\": \"a\"}",
	      BEFORE);
	start();
	fake_reset();
	fault("PUT", "/network-interfaces/a", NET_A, AFTER);
	fault("PATCH", "/network-interfaces/b", "{\"iface_id\": \"b\"}",
	      "There is no network interface of the id 'b'.");
	fault("PATCH", "/network-interfaces/a", "{\"iface_id\": \"b\"}",
	      "The iface_id 'b' differs from the 'a' of the path.");
	done("PATCH", "/network-interfaces/a",
	     "{\"iface_id\": \"a\", \"rx_rate_limiter\": " LIMIT_OPS "}");
	done("PATCH", "/network-interfaces/a",
	     "{\"iface_id\": \"a\", \"tx_rate_limiter\": " LIMIT_OPS "}");
	assert_string_equal(fake.calls, "limiters a rx-ops=1/0/2; "
					"limiters a tx-ops=1/0/2");
	assert_true(controller.config.nets[0].has_rx_rate_limiter);
	assert_true(controller.config.nets[0].tx_rate_limiter.has_ops);
}

static void the_serial_port_s_file_is_opened_at_the_start(void **state)
{
	char path[] = "/tmp/test_routes.XXXXXX", body[128];
	int fd = mkstemp(path);

	(void)state;
	fault("PUT", "/serial", "{\"serial_out_path\": \"\"}",
	      "The serial_out_path is empty.");
	done("PUT", "/serial", "{\"serial_out_path\": \"/no/such/file\"}");
	done("PUT", "/boot-source", "{\"kernel_image_path\": \"" KERNEL "\"}");
	fault("PUT", "/actions", "{\"action_type\": \"InstanceStart\"}",
	      "can't open the serial_out_path /no/such/file: *");
	snprintf(body, sizeof(body), "{\"serial_out_path\": \"%s\"}", path);
	done("PUT", "/serial", body);
	start();
	fault("PUT", "/serial", body, AFTER);
	assert_int_equal(serve("GET", "/vm/config", NULL), 200);
	assert_non_null(strstr(answer, path));
	close(fd);
	unlink(path);
}

static void deprecated_fields_are_marked(void **state)
{
	(void)state;
	done("PUT", "/machine-config",
	     "{\"vcpu_count\": 1, \"mem_size_mib\": 1}");
	assert_false(is_deprecated);
	done("PUT", "/machine-config",
	     "{\"vcpu_count\": 1, \"mem_size_mib\": 1, "
	     "\"cpu_template\": \"None\"}");
	assert_true(is_deprecated);
	done("PATCH", "/machine-config", "{\"cpu_template\": \"None\"}");
	assert_true(is_deprecated);
	done("PUT", "/vsock",
	     "{\"guest_cid\": 3, \"uds_path\": \"v\", \"vsock_id\": \"1\"}");
	assert_true(is_deprecated);
}

static void a_failed_start_can_be_repeated(void **state)
{
	static const char *const calls[] = {"new",   "root",  "add",  "uart",
					    "i8042", "sleep", "start"};
	unsigned i;

	(void)state;
	done("PUT", "/drives/root",
	     "{\"drive_id\": \"root\", \"is_root_device\": true, "
	     "\"path_on_host\": \"/r\"}");
	done("PUT", "/boot-source", "{\"kernel_image_path\": \"" KERNEL "\"}");
	for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		fake.fail = calls[i];
		assert_int_equal(serve("PUT", "/actions",
				       "{\"action_type\": \"InstanceStart\"}"),
				 400);
		assert_non_null(strstr(answer, "failed on demand"));
		assert_int_equal(fake.alive, 0);
		assert_int_equal(serve("GET", "/", NULL), 200);
		assert_non_null(strstr(answer, "Not started"));
		done("PATCH", "/machine-config", "{\"mem_size_mib\": 32}");
	}
	done("PUT", "/actions", "{\"action_type\": \"InstanceStart\"}");
}

static void a_kernel_that_goes_is_missed_at_the_start(void)
{
	char path[] = "/tmp/test_routes.XXXXXX", body[128];
	int fd = mkstemp(path);

	snprintf(body, sizeof(body), "{\"kernel_image_path\": \"%s\"}", path);
	done("PUT", "/boot-source", body);
	snprintf(body, sizeof(body),
		 "{\"kernel_image_path\": \"" KERNEL "\", "
		 "\"initrd_path\": \"%s\"}",
		 path);
	unlink(path);
	close(fd);
	fault("PUT", "/actions", "{\"action_type\": \"InstanceStart\"}",
	      "can't open the kernel /tmp/test_routes.*");
	fault("PUT", "/boot-source", body,
	      "can't open the initrd /tmp/test_routes.*");
}

static void a_start_without_its_files_or_memory_fails(void **state)
{
	(void)state;
	a_kernel_that_goes_is_missed_at_the_start();
	done("PATCH", "/machine-config", "{\"mem_size_mib\": 16777216}");
	fault("PUT", "/actions", "{\"action_type\": \"InstanceStart\"}",
	      "mem_size_mib of 16777216 is more than the *");
	done("PATCH", "/machine-config", "{\"mem_size_mib\": 16}");
	start();
}

static void the_end_of_the_machine_stops_the_loop(void **state)
{
	const struct err e = {.code = -EIO, .text = "it broke"};

	(void)state;
	start();
	assert_false(loop.stopping);
	fake.hooks.ended(fake.hooks.context, MACHINE_FAILED, &e);
	assert_true(loop.stopping);
	assert_int_equal(controller.end, MACHINE_FAILED);
	assert_true(controller.end_ns > 0);
	assert_string_equal(controller.end_error.text, "it broke");
}

static void the_boot_timer_is_logged_and_only_then_a_device(void **state)
{
	char path[] = "/tmp/test_routes.XXXXXX", body[128], text[512] = "";
	int fd = mkstemp(path);

	(void)state;
	controller.has_boot_timer = true;
	snprintf(body, sizeof(body), "{\"log_path\": \"%s\"}", path);
	done("PUT", "/logger", body);
	start();
	assert_non_null(strstr(fake.calls, "add boot_timer"));
	fake.hooks.booted(fake.hooks.context);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	assert_non_null(strstr(text, "Guest-boot-time = "));
	assert_non_null(strstr(text, " CPU ms"));
	close(fd);
	unlink(path);
}

/* Nobody would tell the guest of it, and a start has none to give away. */
static void without_acpi_there_is_no_generation(void **state)
{
	(void)state;
	done("PUT", "/boot-source",
	     "{\"kernel_image_path\": \"" KERNEL "\", "
	     "\"boot_args\": \"quiet acpi=off -- x\"}");
	done("PUT", "/actions", "{\"action_type\": \"InstanceStart\"}");
	assert_non_null(strstr(fake.calls, "add sleep; start"));
	assert_null(strstr(fake.calls, "generation"));
}

static void acpi_off_for_init_is_not_for_the_kernel(void **state)
{
	(void)state;
	done("PUT", "/boot-source",
	     "{\"kernel_image_path\": \"" KERNEL "\", "
	     "\"boot_args\": \"quiet -- acpi=off\"}");
	done("PUT", "/actions", "{\"action_type\": \"InstanceStart\"}");
	assert_non_null(strstr(fake.calls, "add generation; start"));
}

static void a_logger_that_cannot_be_opened_changes_nothing(void **state)
{
	(void)state;
	fault("PUT", "/logger", "{\"log_path\": \"/no/such/log\"}",
	      "can't open the log file /no/such/log: *");
	assert_null(controller.config.logger.log_path);
	fault("PUT", "/logger", "{\"level\": \"Loud\"}", "The level must be*");
	done("PUT", "/logger", "{\"level\": \"warning\"}");
	done("PUT", "/logger", "{\"show_level\": true}");
	assert_string_equal(controller.config.logger.level, "warning");
}

int main(void)
{
#define TEST(name)                                               \
	cmocka_unit_test_setup_teardown(name, route_bench_setup, \
					route_bench_teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_it_is_can_be_asked_at_any_time),
		TEST(wrong_paths_and_bodies_have_the_known_words),
		TEST(broken_bodies_have_the_known_words),
		TEST(what_is_not_there_says_so),
		TEST(a_start_makes_the_machine_that_was_asked_for),
		TEST(order_rules_hold),
		TEST(metrics_have_one_file_and_are_flushed_on_demand),
		TEST(metrics_without_a_file_can_still_be_asked),
		TEST(pausing_is_idempotent),
		TEST(drives_obey_their_path),
		TEST(drives_change_at_run_time),
		TEST(limits_of_an_interface_change_at_run_time),
		TEST(the_serial_port_s_file_is_opened_at_the_start),
		TEST(deprecated_fields_are_marked),
		TEST(a_failed_start_can_be_repeated),
		TEST(a_start_without_its_files_or_memory_fails),
		TEST(the_end_of_the_machine_stops_the_loop),
		TEST(without_acpi_there_is_no_generation),
		TEST(acpi_off_for_init_is_not_for_the_kernel),
		TEST(a_logger_that_cannot_be_opened_changes_nothing),
		TEST(the_boot_timer_is_logged_and_only_then_a_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
