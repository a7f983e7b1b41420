/*
 * What has to be right when it is told, not only at the start: what a body
 * names on the host, the vsock's socket, and null where there is none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/route_bench.h"

static void what_is_named_is_tried_when_it_is_told(void **state)
{
	char folder[] = "/tmp/test_told.XXXXXX", fifo[32], body[4096];

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	fault("PUT", "/boot-source", "{\"kernel_image_path\": \"/no/kernel\"}",
	      "can't open the kernel /no/kernel: *");
	fault("PUT", "/boot-source", "{\"kernel_image_path\": \"/tmp\"}",
	      "the kernel /tmp is a directory; give a regular file");
	snprintf(body, sizeof(body), "{\"kernel_image_path\": \"%s\"}", fifo);
	fault("PUT", "/boot-source", body, "the kernel /tmp/*");
	snprintf(body, sizeof(body),
		 "{\"kernel_image_path\": \"" KERNEL "\", "
		 "\"initrd_path\": \"%s\"}",
		 fifo);
	fault("PUT", "/boot-source", body, "the initrd /tmp/*");
	unlink(fifo);
	rmdir(folder);
	/* 2047 bytes fit beside the NUL, one more does not. */
	snprintf(body, sizeof(body),
		 "{\"kernel_image_path\": \"" KERNEL "\", "
		 "\"boot_args\": \"%2048d\"}",
		 1);
	fault("PUT", "/boot-source", body,
	      "boot_args: the kernel command line has 2048 bytes*");
	assert_null(controller.config.boot.kernel_image_path);
	snprintf(body, sizeof(body),
		 "{\"kernel_image_path\": \"" KERNEL "\", "
		 "\"boot_args\": \"%2047d\"}",
		 1);
	done("PUT", "/boot-source", body);
	fake.fail = "file";
	fault("PUT", "/drives/a", DRIVE_A, "no file x");
	assert_int_equal(controller.config.drive_count, 0);
	fake.fail = "tap";
	fault("PUT", "/network-interfaces/a", NET_A, "no tap tap0");
	fault("PUT", "/network-interfaces/a",
	      "{\"iface_id\": \"a\", \"host_dev_name\": \"fd:1000\"}",
	      "descriptor 1000, for a tap, is not open");
	assert_int_equal(controller.config.net_count, 0);
}

#define VSOCK(cid, path) "{\"guest_cid\": " #cid ", \"uds_path\": \"" path "\"}"

static void the_vsock_stands_from_when_it_is_told(void **state)
{
	(void)state;
	done("PUT", "/vsock", VSOCK(3, "/a"));
	assert_int_equal(fake.alive, 1);
	done("PUT", "/vsock", VSOCK(4, "/a"));
	assert_int_equal(fake.alive, 1);
	/* One that can't be made leaves the other. */
	fake.fail = "vsock";
	fault("PUT", "/vsock", VSOCK(5, "/b"), "vsock failed on demand");
	assert_int_equal(fake.alive, 1);
	assert_int_equal(controller.config.vsock.guest_cid, 4);
	assert_string_equal(fake.calls, "vsock 3 /a; vsock 4 /a; vsock 5 /b");
	/* A start that fails takes it down, and it is made again. */
	done("PUT", "/boot-source", "{\"kernel_image_path\": \"" KERNEL "\"}");
	fake_reset();
	fake.fail = "uart";
	assert_int_equal(serve("PUT", "/actions",
			       "{\"action_type\": \"InstanceStart\"}"),
			 400);
	assert_int_equal(fake.alive, 1);
	assert_non_null(strstr(fake.calls, "free; vsock 4 /a"));
	/* One that fails before it is reached keeps it. */
	fake_reset();
	fake.fail = "new";
	assert_int_equal(serve("PUT", "/actions",
			       "{\"action_type\": \"InstanceStart\"}"),
			 400);
	assert_int_equal(fake.alive, 1);
	assert_null(strstr(fake.calls, "vsock"));
	start();
	assert_null(controller.vsock);
	fault("PUT", "/vsock", VSOCK(3, "/a"), AFTER);
}

static void null_is_a_value_of_some_fields_only(void **state)
{
	static const char *const none[] = {"smt", "track_dirty_pages",
					   "huge_pages"};
	char body[256];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		snprintf(body, sizeof(body),
			 "{\"vcpu_count\": 1, \"mem_size_mib\": 64, "
			 "\"%s\": null}",
			 none[i]);
		fault("PUT", "/machine-config", body, JSON_ERROR "field '*");
		snprintf(body, sizeof(body),
			 "{\"vcpu_count\": 2, \"%s\": null}", none[i]);
		done("PATCH", "/machine-config", body);
	}
	done("PUT", "/machine-config",
	     "{\"vcpu_count\": 1, \"mem_size_mib\": 64, "
	     "\"cpu_template\": null}");
	/* The one that is shown is the one that does something. */
	assert_int_equal(serve("GET", "/machine-config", NULL), 200);
	assert_null(strstr(answer, "cpu_template"));
	done("PATCH", "/machine-config", "{\"cpu_template\": \"T2\"}");
	assert_int_equal(serve("GET", "/machine-config", NULL), 200);
	assert_non_null(strstr(answer, "\"cpu_template\":\"T2\""));
	fault("PUT", "/drives/a",
	      "{\"drive_id\": \"a\", \"is_root_device\": false, "
	      "\"path_on_host\": \"x\", \"cache_type\": null}",
	      JSON_ERROR "field 'cache_type' must be a string, not null.");
	done("PUT", "/drives/a",
	     "{\"drive_id\": \"a\", \"is_root_device\": false, "
	     "\"path_on_host\": \"x\", \"is_read_only\": null, "
	     "\"io_engine\": null, \"partuuid\": null, \"socket\": null, "
	     "\"rate_limiter\": {\"bandwidth\": null, \"ops\": "
	     "{\"size\": 1, \"one_time_burst\": null, "
	     "\"refill_time\": 1}}}");
	fake_reset();
	start();
	assert_non_null(strstr(fake.calls, "new vcpus=1 mem=67108864 pages=0 "
					   "smt=0 t2; "));
}

#define TEST(t)                                               \
	cmocka_unit_test_setup_teardown(t, route_bench_setup, \
					route_bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_named_is_tried_when_it_is_told),
		TEST(the_vsock_stands_from_when_it_is_told),
		TEST(null_is_a_value_of_some_fields_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
