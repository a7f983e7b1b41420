/* /snapshot: what is asked of the machine, files, and what is put in place. */
#include <errno.h>
#include <fcntl.h>
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

#include "api/snapshot_config.h"
#include "tests/unit/route_bench.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

enum { MIB = 1 << 20, PAGE = 4096 };

static char folder[] = "/tmp/mayfly-snapshot-XXXXXX";

static const char *in_folder(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static int setup(void **state)
{
	strcpy(folder, "/tmp/mayfly-snapshot-XXXXXX");
	assert_non_null(mkdtemp(folder));
	log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
	return route_bench_setup(state);
}

static int teardown(void **state)
{
	unlink(in_folder("state"));
	unlink(in_folder("memory"));
	unlink(in_folder("vsock"));
	assert_int_equal(rmdir(folder), 0); /* nothing else was left there */
	return route_bench_teardown(state);
}

/* The text with every @ as the folder. */
static const char *at(const char *text)
{
	static char out[2048];
	size_t n = 0;

	for (; *text; text++)
		if (*text == '@')
			n += (size_t)snprintf(out + n, sizeof(out) - n, "%s",
					      folder);
		else
			out[n++] = *text;
	out[n] = '\0';
	return out;
}

#define PAIR "\"snapshot_path\": \"@/state\", \"mem_file_path\": \"@/memory\""
#define LOADED                                              \
	"\"snapshot_path\": \"@/state\", \"mem_backend\": " \
	"{\"backend_type\": \"File\", \"backend_path\": \"@/memory\"}"

#define PREPARED                                          \
	"This microVM was prepared from a snapshot: PUT " \
	"/snapshot/finish has it go on."

static void create(const char *rest)
{
	char body[512];

	snprintf(body, sizeof(body), "{" PAIR "%s}", rest);
	done("PUT", "/snapshot/create", at(body));
}

static void load(const char *rest)
{
	char body[1024];

	snprintf(body, sizeof(body), "{" LOADED "%s}", rest);
	done("PUT", "/snapshot/load", at(body));
}

static void load_fails(const char *rest, const char *sentence)
{
	char body[1024];

	snprintf(body, sizeof(body), "{" LOADED "%s}", rest);
	fault("PUT", "/snapshot/load", at(body), sentence);
}

/* A microVM with one of each, paused. */
static void start_paused(void)
{
	done("PUT", "/machine-config",
	     "{\"vcpu_count\": 3, \"mem_size_mib\": 2, "
	     "\"track_dirty_pages\": true}");
	done("PUT", "/drives/a", DRIVE_A);
	done("PUT", "/network-interfaces/a", NET_A);
	done("PUT", "/vsock",
	     at("{\"guest_cid\": 3, \"uds_path\": \"@/vsock\"}"));
	start();
	done("PATCH", "/vm", "{\"state\": \"Paused\"}");
	fake_reset();
}

/* As another process, which has nothing of it but the files. */
static void another_monitor(void)
{
	controller_fini(&controller);
	memset(&loop, 0, sizeof(loop));
	memset(&controller, 0, sizeof(controller));
	controller_init(&controller, &loop, "another", controller_collect);
	fake_reset();
}

static void is_byte(const char *name, off_t offset, int byte)
{
	CLEAN_FD int fd = open(in_folder(name), O_RDONLY | O_CLOEXEC);
	uint8_t got;

	assert_int_equal(pread(fd, &got, 1, offset), 1);
	assert_int_equal(got, byte);
}

static void a_running_microvm_is_not_saved(void **state)
{
	(void)state;
	fault("PUT", "/snapshot/create", at("{" PAIR "}"), BEFORE);
	start();
	fake_reset();
	fault("PUT", "/snapshot/create", at("{" PAIR "}"),
	      "Cannot create a snapshot: save/restore unavailable while "
	      "running; pause the microVM first.");
	assert_string_equal(fake.calls, "");
}

static void devices_are_quiet_while_it_is_saved(void **state)
{
	struct stat st;

	(void)state;
	start_paused();
	create("");
	assert_string_equal(fake.calls,
			    "quiet; save; image full; kept; unquiet");
	assert_int_equal(stat(in_folder("memory"), &st), 0);
	assert_int_equal(st.st_size, 2 * MIB);
	assert_int_equal(st.st_mode & 0777, 0600);
	is_byte("memory", 0, 'f');
	is_byte("memory", PAGE, 0);
	/* The microVM is as it was. */
	assert_int_equal(controller.state, CONTROLLER_PAUSED);
	done("PATCH", "/vm", "{\"state\": \"Resumed\"}");
}

static void a_diff_goes_over_what_is_there(void **state)
{
	(void)state;
	start_paused();
	create(", \"snapshot_type\": \"Full\", \"sync\": false");
	fake_reset();
	create(", \"snapshot_type\": \"Diff\", \"sync\": true");
	assert_string_equal(fake.calls,
			    "quiet; save; image diff; kept; unquiet");
	is_byte("memory", 0, 'f');
	is_byte("memory", PAGE, 'd');
	/* A file of another size is no base; a full one goes over nothing. */
	assert_int_equal(truncate(in_folder("memory"), MIB), 0);
	create(", \"snapshot_type\": \"Diff\"");
	is_byte("memory", 0, 0);
	is_byte("memory", PAGE, 'd');
	create("");
	is_byte("memory", 0, 'f');
	is_byte("memory", PAGE, 0);
}

/* What failed leaves the older pair, and pages for the next diff. */
static void what_fails_leaves_the_older_pair(void **state)
{
	static const char *const steps[][2] = {
		{"quiet", "quiet"},
		{"save", "quiet; save; unquiet"},
		{"image", "quiet; save; image full; unquiet"},
	};
	unsigned i;

	(void)state;
	start_paused();
	create(", \"snapshot_type\": \"Diff\"");
	for (i = 0; i < 3; i++) {
		fake_reset();
		fake.fail = steps[i][0];
		fault("PUT", "/snapshot/create", at("{" PAIR "}"), "*");
		assert_non_null(strstr(answer, "failed on demand"));
		assert_string_equal(fake.calls, steps[i][1]);
		is_byte("memory", PAGE, 'd');
	}
	another_monitor();
	load("");
}

static void paths_that_can_not_be(void **state)
{
	(void)state;
	start_paused();
	fault("PUT", "/snapshot/create",
	      "{\"snapshot_path\": \"\", \"mem_file_path\": \"x\"}",
	      "a path of the snapshot is empty");
	fault("PUT", "/snapshot/create",
	      at("{\"snapshot_path\": \"@/state\", \"mem_file_path\": "
		 "\"@/./state\"}"),
	      "*");
	assert_non_null(strstr(answer, "can't be both"));
	fault("PUT", "/snapshot/create",
	      at("{\"snapshot_path\": \"@/no/state\", \"mem_file_path\": "
		 "\"@/memory\"}"),
	      "*");
	fault("PUT", "/snapshot/create",
	      at("{\"snapshot_path\": \"@\", \"mem_file_path\": "
		 "\"@/memory\"}"),
	      "*");
}

static void it_comes_back_as_it_was(void **state)
{
	(void)state;
	start_paused();
	create("");
	another_monitor();
	load("");
	assert_string_equal(
		fake.calls,
		at("new vcpus=3 mem=2097152 pages=3 smt=0; "
		   "block x rw queues=3; add a; "
		   "net tap0 00:00:00:00:00:00 mtu=0 pairs=3; add a; "
		   "vsock 3 @/vsock; add vsock; add uart; add i8042; "
		   "add sleep; add generation; load; generation changed; "
		   "mark loaded"));
	assert_int_equal(controller.state, CONTROLLER_PAUSED);
	assert_int_equal(serve("GET", "/", NULL), 200);
	assert_non_null(strstr(answer, "\"state\":\"Paused\""));
	assert_non_null(strstr(answer, "another"));
	fake_reset();
	done("PATCH", "/vm", "{\"state\": \"Resumed\"}");
	assert_string_equal(fake.calls, "resume");
	/* And can be saved again. */
	done("PATCH", "/vm", "{\"state\": \"Paused\"}");
	create("");
}

static void what_the_load_overrides(void **state)
{
	(void)state;
	start_paused();
	create("");
	another_monitor();
	load(", \"track_dirty_pages\": true, \"clock_realtime\": true, "
	     "\"resume_vm\": true, "
	     "\"drive_overrides\": [{\"drive_id\": \"a\", \"path_on_host\": "
	     "\"y\"}], "
	     "\"network_overrides\": [{\"iface_id\": \"a\", "
	     "\"host_dev_name\": \"tap7\"}], "
	     "\"vsock_override\": {\"uds_path\": \"@/other\"}");
	assert_non_null(strstr(fake.calls, " tracked realtime; "));
	assert_non_null(strstr(fake.calls, "block y rw"));
	assert_non_null(strstr(fake.calls, "net tap7 "));
	assert_non_null(strstr(fake.calls, at("vsock 3 @/other;")));
	assert_non_null(strstr(fake.calls, "load; generation changed; "
					   "mark loaded; resume"));
	assert_int_equal(controller.state, CONTROLLER_RUNNING);
	assert_int_equal(serve("GET", "/vm/config", NULL), 200);
	assert_non_null(strstr(answer, "\"path_on_host\":\"y\""));
	assert_non_null(strstr(answer, "\"host_dev_name\":\"tap7\""));
	unlink(in_folder("other"));
}

/* Whether pages are noted is the load's to say, not the save's. */
static void a_load_in_two_halves(void **state)
{
	(void)state;
	start_paused();
	create("");
	another_monitor();
	done("PUT", "/snapshot/prepare",
	     at("{" LOADED ", \"vsock_override\": {\"uds_path\": \"@/v\"}}"));
	assert_non_null(strstr(fake.calls, "net later"));
	assert_non_null(strstr(fake.calls, "/v; "));
	assert_null(strstr(fake.calls, "generation changed"));
	assert_int_equal(controller.state, CONTROLLER_PREPARED);
	fake_reset();
	fault("PUT", "/actions", "{\"action_type\": \"InstanceStart\"}",
	      PREPARED);
	fault("PUT", "/snapshot/load", at("{" LOADED "}"), PREPARED);
	fault("PATCH", "/vm", "{\"state\": \"Resumed\"}", BEFORE);
	assert_string_equal(fake.calls, "");
	done("PUT", "/snapshot/finish",
	     "{\"network_overrides\": [{\"iface_id\": \"a\", "
	     "\"host_dev_name\": \"tap9\"}], \"clock_realtime\": true, "
	     "\"drive_overrides\": [{\"drive_id\": \"a\", "
	     "\"path_on_host\": \"/dev/null\"}], \"resume_vm\": true}");
	assert_string_equal(fake.calls,
			    "late tap a tap9; path a /dev/null; reload a; "
			    "reload a; renew realtime; generation changed; "
			    "resume");
	assert_int_equal(controller.state, CONTROLLER_RUNNING);
	fault("PUT", "/snapshot/finish", "{\"resume_vm\": true}", AFTER);
	assert_int_equal(controller.end_ns, 0);
}

/* Each step of a finish that fails ends the monitor. */
static void a_finish_that_fails_ends_it(void **state)
{
	static const char *const steps[] = {"late tap", "late vsock", "reload",
					    "renew", "generation changed"};
	unsigned i;

	(void)state;
	start_paused();
	create("");
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		another_monitor();
		done("PUT", "/snapshot/prepare", at("{" LOADED "}"));
		fake.fail = steps[i];
		fault("PUT", "/snapshot/finish", "{\"resume_vm\": true}", "*");
		assert_non_null(strstr(answer, "failed on demand"));
		assert_int_equal(controller.end, MACHINE_FAILED);
		assert_true(controller.end_ns > 0);
		assert_null(strstr(fake.calls, "resume"));
	}
}

static void tracking_is_of_the_load(void **state)
{
	(void)state;
	start_paused();
	create("");
	another_monitor();
	load("");
	assert_null(strstr(fake.calls, "tracked"));
	another_monitor();
	load(", \"enable_diff_snapshots\": true");
	assert_non_null(strstr(fake.calls, "tracked"));
}

static void what_fits_no_device_ends_it(void **state)
{
	static const char *const bad[][2] = {
		{", \"drive_overrides\": [{\"drive_id\": \"b\", "
		 "\"path_on_host\": \"y\"}]",
		 "drive_overrides[0]: There is no drive of the id 'b'.*"},
		{", \"drive_overrides\": [{\"drive_id\": \"a\", "
		 "\"path_on_host\": \"\"}]",
		 "drive_overrides[0]: an override's path is empty"},
		{", \"network_overrides\": [{\"iface_id\": \"a\", "
		 "\"host_dev_name\": \"tap1\"}, {\"iface_id\": \"c\", "
		 "\"host_dev_name\": \"tap2\"}]",
		 "network_overrides[1]: *"},
		{", \"vsock_override\": {\"uds_path\": \"\"}",
		 "vsock_override: an override's path is empty"},
		{", \"huge_pages\": \"2M\"", "this version loads memory in*"},
	};
	unsigned i;

	(void)state;
	start_paused();
	create("");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		another_monitor();
		load_fails(bad[i][0], bad[i][1]);
		assert_null(strstr(fake.calls, "load"));
		assert_true(loop.stopping);
		assert_int_equal(controller.end, MACHINE_FAILED);
		assert_int_equal(fake.alive, 0);
	}
}

static void a_snapshot_without_a_vsock_gets_none(void **state)
{
	(void)state;
	start();
	done("PATCH", "/vm", "{\"state\": \"Paused\"}");
	create("");
	another_monitor();
	load_fails(", \"vsock_override\": {\"uds_path\": \"x\"}",
		   "vsock_override: the snapshot has no vsock device");
}

static void mistakes_before_anything_was_opened_end_nothing(void **state)
{
	(void)state;
	fault("PUT", "/snapshot/load", "{\"snapshot_path\": \"x\"}",
	      "give the memory: *");
	fault("PUT", "/snapshot/load",
	      at("{" LOADED ", \"mem_file_path\": \"y\"}"),
	      "give the memory once: *");
	done("PUT", "/machine-config",
	     "{\"vcpu_count\": 1, \"mem_size_mib\": 2}");
	load_fails("", "Loading a microVM snapshot not allowed after "
		       "configuring boot-specific resources.");
	assert_false(loop.stopping);
	start();
	load_fails("", AFTER);
	assert_false(loop.stopping);
}

static void files_that_are_not_it(void **state)
{
	(void)state;
	load_fails("", "can't open the snapshot *");
	start_paused();
	create("");
	another_monitor();
	assert_int_equal(truncate(in_folder("memory"), 2 * MIB + PAGE), 0);
	load_fails("", "the memory file has 2101248 bytes, and the guest has "
		       "2 MiB; it is another snapshot's");
	another_monitor();
	assert_int_equal(truncate(in_folder("state"), 100), 0);
	load_fails("", "the snapshot *");
	assert_string_equal(fake.calls, "");
	another_monitor();
	fake.fail = NULL;
	unlink(in_folder("state"));
	assert_int_equal(mkdir(in_folder("state"), 0700), 0);
	load_fails("", "*");
	assert_int_equal(rmdir(in_folder("state")), 0);
}

static void a_machine_that_does_not_load_is_none(void **state)
{
	static const char *const steps[] = {"new", "a", "load"};
	unsigned i;

	(void)state;
	start_paused();
	create("");
	for (i = 0; i < 3; i++) {
		another_monitor();
		fake.fail = steps[i];
		load_fails("", "*");
		assert_non_null(strstr(answer, "failed on demand"));
		assert_true(loop.stopping);
		assert_int_equal(fake.alive, 0);
	}
}

/* ---- the section "config" -------------------------------------------------
 */

static struct state *config_section(const void *bytes, size_t len)
{
	struct state *s = state_new();
	struct visitor v;

	visitor_save(&v, 1, NULL);
	visit_bytes(&v, (void *)(uintptr_t)bytes, len);
	assert_int_equal(state_add(s, "config", &v, NULL), 0);
	return s;
}

/* Its own layout, written down a second time: a flag, a length, JSON. */
static int load_config(const char *text, uint32_t len, struct err *e)
{
	uint8_t bytes[1024] = {0, (uint8_t)len, (uint8_t)(len >> 8),
			       (uint8_t)(len >> 16), (uint8_t)(len >> 24)};
	struct state *s;
	int rc;

	memcpy(bytes + 5, text, strlen(text));
	s = config_section(bytes, 5 + strlen(text));
	rc = snapshot_config_load(&controller, s, e);
	state_free(s);
	return rc;
}

static void bad_config(const char *text, uint32_t len, const char *sentence)
{
	struct err e = {0};

	assert_true(load_config(text, len, &e) < 0);
	if (!strstr(e.text, sentence))
		fail_msg("%s: %s", text, e.text);
	if (!strstr(e.text, "'config'"))
		fail_msg("%s", e.text);
}

#define NEEDED \
	"{\"boot-source\": {\"kernel_image_path\": \"k\"}, \"drives\": []"

static void a_configuration_is_judged(void **state)
{
	static const char small[] =
		"{\"machine-config\": {\"vcpu_count\": 2, "
		"\"mem_size_mib\": 4}, \"boot-source\": "
		"{\"kernel_image_path\": \"k\"}, \"drives\": []}";
	static const char *const bad[][2] = {
		{"{\"x\": 1}", "x"},
		{NEEDED ", "
			"\"machine-config\": {\"vcpu_count\": 0, "
			"\"mem_size_mib\": 4}}",
		 "vcpu_count"},
		{NEEDED ", "
			"\"logger\": {\"log_path\": \"/tmp/x\"}}",
		 "a log or metrics"},
		{NEEDED ", "
			"\"metrics\": {\"metrics_path\": \"/tmp/x\"}}",
		 "a log or metrics"},
	};
	struct err e = {0};
	unsigned i;

	(void)state;
	bad_config("", 0, "config");
	bad_config("{", 1, "config");
	bad_config(small, 4, "");
	bad_config(small, sizeof(small) + 8, "");
	bad_config(small, UINT32_MAX, "a configuration of 4294967295 bytes");
	bad_config(small, (1 << 20) + 1, "a configuration of 1048577 bytes");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		bad_config(bad[i][0], (uint32_t)strlen(bad[i][0]), bad[i][1]);
	assert_int_equal(controller.config.machine.vcpu_count, 1);
	if (load_config(small, sizeof(small) - 1, &e))
		fail_msg("%s", e.text);
	assert_int_equal(controller.config.machine.vcpu_count, 2);
	assert_int_equal(controller.config.machine.mem_size_mib, 4);
}

static void a_configuration_is_needed(void **state)
{
	struct state *s = state_new();
	struct err e = {0};

	(void)state;
	assert_int_equal(snapshot_config_load(&controller, s, &e), -ENOENT);
	assert_non_null(strstr(e.text, "config"));
	state_free(s);
}

static void a_log_is_the_monitors_own(void **state)
{
	struct state *s = state_new();
	struct err e = {0};
	const char *section;

	(void)state;
	done("PUT", "/boot-source", "{\"kernel_image_path\": \"" KERNEL "\"}");
	done("PUT", "/logger", at("{\"log_path\": \"@/memory\"}"));
	done("PUT", "/metrics", at("{\"metrics_path\": \"@/state\"}"));
	controller.has_boot_timer = true;
	assert_int_equal(snapshot_config_save(&controller, false, s, &e), 0);
	section = state_name(s, 0);
	assert_string_equal(section, "config");
	controller.has_boot_timer = false;
	/* It comes back beside the log that the monitor has. */
	if (snapshot_config_load(&controller, s, &e))
		fail_msg("%s", e.text);
	assert_true(controller.has_boot_timer);
	assert_true(controller.config.has_logger);
	assert_non_null(controller.config.metrics.metrics_path);
	state_free(s);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_running_microvm_is_not_saved),
		TEST(devices_are_quiet_while_it_is_saved),
		TEST(a_diff_goes_over_what_is_there),
		TEST(what_fails_leaves_the_older_pair),
		TEST(paths_that_can_not_be),
		TEST(it_comes_back_as_it_was),
		TEST(what_the_load_overrides),
		TEST(a_load_in_two_halves),
		TEST(a_finish_that_fails_ends_it),
		TEST(tracking_is_of_the_load),
		TEST(what_fits_no_device_ends_it),
		TEST(a_snapshot_without_a_vsock_gets_none),
		TEST(mistakes_before_anything_was_opened_end_nothing),
		TEST(files_that_are_not_it),
		TEST(a_machine_that_does_not_load_is_none),
		TEST(a_configuration_is_judged),
		TEST(a_configuration_is_needed),
		TEST(a_log_is_the_monitors_own),
	};

	return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
