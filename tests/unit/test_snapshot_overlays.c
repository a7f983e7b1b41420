/* Overlays of drives in bodies, snapshots, marks and resets. */
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

#include "tests/unit/route_bench.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

#define DRIVE(id, more)                                 \
	"{\"drive_id\": \"" id "\", \"path_on_host\": " \
	"\"x\", \"is_root_device\": false" more "}"
#define IN_MEMORY ", \"overlay\": {}"
#define CREATE	  "\"snapshot_path\": \"state\", \"mem_file_path\": \"memory\""
#define LOAD                                              \
	"\"snapshot_path\": \"state\", \"mem_backend\": " \
	"{\"backend_type\": \"File\", \"backend_path\": \"memory\"}"

static char folder[] = "/tmp/mayfly-overlays-XXXXXX";
static int back = -1;

static int setup(void **state)
{
	back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	strcpy(folder, "/tmp/mayfly-overlays-XXXXXX");
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chdir(folder), 0);
	log_configure(&(struct log_config){.level = LOG_OFF}, NULL);
	return route_bench_setup(state);
}

static int teardown(void **state)
{
	static const char *const names[] = {"state", "memory", "other",
					    "state.overlays"};
	unsigned i;

	for (i = 0; i < 4; i++)
		unlink(names[i]);
	assert_int_equal(fchdir(back), 0);
	fd_close(&back);
	assert_int_equal(rmdir(folder), 0); /* nothing else was left there */
	return route_bench_teardown(state);
}

static const char *body(const char *what, const char *rest)
{
	static char text[1024];

	snprintf(text, sizeof(text), "{%s%s}", what, rest);
	return text;
}

static void create(const char *rest)
{
	done("PUT", "/snapshot/create", body(CREATE, rest));
}

static void load(const char *rest)
{
	done("PUT", "/snapshot/load", body(LOAD, rest));
}

static void load_fails(const char *rest, const char *sentence)
{
	fault("PUT", "/snapshot/load", body(LOAD, rest), "*");
	if (!strstr(answer, sentence))
		fail_msg("%s", answer);
	assert_true(loop.stopping);
	controller_fini(&controller);
	assert_int_equal(fake.alive, 0);
}

/* Three drives, of which two have one; paused. */
static void start_paused(void)
{
	done("PUT", "/machine-config",
	     "{\"vcpu_count\": 1, \"mem_size_mib\": 2}");
	done("PUT", "/drives/a", DRIVE("a", IN_MEMORY));
	done("PUT", "/drives/b", DRIVE("b", ", \"is_read_only\": true"));
	done("PUT", "/drives/c",
	     DRIVE("c", ", \"overlay\": {\"dir_on_host\": \"/var/tmp\", "
			"\"size_mib\": 3}"));
	start();
	done("PATCH", "/vm", "{\"state\": \"Paused\"}");
}

static void another_monitor(void)
{
	controller_fini(&controller);
	memset(&loop, 0, sizeof(loop));
	memset(&controller, 0, sizeof(controller));
	controller_init(&controller, &loop, "another", controller_collect);
	fake_reset();
}

static bool is_there(const char *name)
{
	struct stat st;

	return !stat(name, &st) && (st.st_mode & 0777) == 0600;
}

static void bodies_that_have_one(void **state)
{
	(void)state;
	fault("PUT", "/drives/a",
	      DRIVE("a", IN_MEMORY ", \"is_read_only\": true"),
	      "The drive a is read-only, so *");
	fault("PUT", "/drives/a",
	      DRIVE("a", ", \"overlay\": {\"dir_on_host\": \"\"}"),
	      "The dir_on_host of the drive a is empty; *");
	fault("PUT", "/drives/a",
	      DRIVE("a", ", \"overlay\": {\"size_mib\": 4194305}"), "*");
	fault("PUT", "/drives/a", DRIVE("a", ", \"overlay\": {\"x\": 1}"), "*");
	fault("PUT", "/drives/a", DRIVE("a", ", \"overlay\": true"), "*");
	fake.fail = "overlay";
	fault("PUT", "/drives/a", DRIVE("a", IN_MEMORY),
	      "overlay failed on demand");
	done("PUT", "/drives/b", DRIVE("b", ", \"overlay\": null"));
	start_paused();
	assert_non_null(strstr(fake.calls, "overlay of 0 in memory; add a; "));
	assert_non_null(strstr(fake.calls, "add b; "));
	assert_non_null(
		strstr(fake.calls, "overlay of 3145728 in /var/tmp; add c; "));
	assert_int_equal(serve("GET", "/vm/config", NULL), 200);
	assert_non_null(strstr(answer, "\"overlay\":{\"dir_on_host\":null,"
				       "\"size_mib\":0}"));
	assert_non_null(strstr(answer, "\"overlay\":{\"dir_on_host\":"
				       "\"/var/tmp\",\"size_mib\":3}"));
}

static void marks_and_resets_take_them_along(void **state)
{
	(void)state;
	start_paused();
	fake_reset();
	done("PUT", "/snapshot/mark", "{}");
	assert_string_equal(fake.calls,
			    "quiet; save; mark; mark a; mark c; unquiet");
	fake_reset();
	done("PUT", "/snapshot/reset", "{\"resume_vm\": true}");
	assert_string_equal(
		fake.calls,
		"reset; reset a; reset c; generation again; resume");
	/* What has failed has changed nothing. */
	fake_reset();
	fake.fail = "mark";
	fault("PUT", "/snapshot/mark", "{}", "*");
	assert_null(strstr(fake.calls, "mark a"));
	fake_reset();
	fake.fail = "reset";
	fake.fail_code = -EBUSY;
	fault("PUT", "/snapshot/reset", "{}", "*");
	assert_string_equal(fake.calls, "pause; reset; resume");
}

static void they_come_back_with_the_snapshot(void **state)
{
	(void)state;
	start_paused();
	create("");
	assert_true(is_there("state.overlays"));
	another_monitor();
	load(", \"resume_vm\": true");
	assert_non_null(strstr(fake.calls, "mark loaded; load a; load c; "
					   "resume"));
	/* And again, with more than was there before. */
	done("PATCH", "/vm", "{\"state\": \"Paused\"}");
	create(", \"overlay_file_path\": \"other\", \"snapshot_type\": "
	       "\"Diff\"");
	assert_true(is_there("other"));
	another_monitor();
	load(", \"overlay_file_path\": \"other\"");
	another_monitor();
	/* The one beside the state is that of the save before. */
	load_fails("", "state.overlays is not this snapshot's");
}

static void in_one_file_with_memory_too(void **state)
{
	(void)state;
	start_paused();
	done("PUT", "/snapshot/create",
	     "{\"snapshot_path\": \"state\", \"mem_file_path\": \"state\"}");
	another_monitor();
	done("PUT", "/snapshot/load",
	     "{\"snapshot_path\": \"state\", \"mem_backend\": "
	     "{\"backend_type\": \"File\", \"backend_path\": \"state\"}}");
	assert_non_null(strstr(fake.calls, "load a; load c"));
}

/* A save that was killed between its renames. */
static void the_file_of_this_state_is_found_first(void **state)
{
	char name[128] = "state.overlays.mayfly-";
	uint8_t id[16];
	CLEAN_FD int fd = -1;
	size_t i, at = strlen(name);

	(void)state;
	start_paused();
	create("");
	fd = open("state", O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd_pread(fd, id, sizeof(id), 24), 0);
	for (i = 0; i < sizeof(id); i++, at += 2)
		snprintf(name + at, 3, "%02x", id[i]);
	assert_int_equal(rename("state.overlays", name), 0);
	fd_close(&fd);
	fd = open("state.overlays", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "older", 5), 5); /* another's */
	another_monitor();
	load("");
	another_monitor();
	/* The next save gives it its name, and then replaces it. */
	start_paused();
	create("");
	assert_int_equal(access(name, F_OK), -1);
	another_monitor();
	load("");
}

static void a_failure_leaves_the_older_ones(void **state)
{
	(void)state;
	start_paused();
	create("");
	fake.fail = "image";
	fault("PUT", "/snapshot/create", body(CREATE, ""), "*");
	fault("PUT", "/snapshot/create",
	      body(CREATE, ", \"overlay_file_path\": \"./memory\""), "*");
	assert_non_null(strstr(answer, "another file of the snapshot"));
	fault("PUT", "/snapshot/create",
	      body(CREATE, ", \"overlay_file_path\": \"state\""), "*");
	assert_non_null(strstr(answer, "another file of the snapshot"));
	fault("PUT", "/snapshot/create",
	      body(CREATE, ", \"overlay_file_path\": \"nowhere/x\""), "*");
	another_monitor();
	load("");
}

static void loads_can_give_drives_another(void **state)
{
#define OVERRIDE(id, overlay)                                 \
	", \"drive_overrides\": [{\"drive_id\": \"" id "\", " \
	"\"path_on_host\": \"y\", \"overlay\": " overlay "}]"
	(void)state;
	done("PUT", "/drives/d", DRIVE("d", ""));
	start_paused();
	create("");
	another_monitor();
	load(OVERRIDE("d", "{\"size_mib\": 1}"));
	assert_non_null(strstr(fake.calls, "overlay of 1048576 in memory; "
					   "add d; "));
	/* It had none, so there is nothing to come back. */
	assert_non_null(strstr(fake.calls, "mark loaded; load a; load c"));
	assert_null(strstr(fake.calls, "load d"));
	another_monitor();
	load(OVERRIDE("c", "{}"));
	assert_non_null(strstr(fake.calls, "overlay of 0 in memory; add c; "));
	assert_non_null(strstr(fake.calls, "mark loaded; load a; load c"));
	another_monitor();
	load_fails(OVERRIDE("b", "{}"), "The drive b is read-only");
}

static void what_is_damaged_is_refused(void **state)
{
	(void)state;
	start_paused();
	create("");
	assert_int_equal(truncate("state.overlays", 24), 0);
	another_monitor();
	load_fails("", "an overlay of");
	unlink("state.overlays");
	another_monitor();
	load_fails("", "state.overlays");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bodies_that_have_one),
		TEST(marks_and_resets_take_them_along),
		TEST(they_come_back_with_the_snapshot),
		TEST(in_one_file_with_memory_too),
		TEST(the_file_of_this_state_is_found_first),
		TEST(a_failure_leaves_the_older_ones),
		TEST(loads_can_give_drives_another),
		TEST(what_is_damaged_is_refused),
	};

	return cmocka_run_group_tests_name("snapshot_overlays", tests, NULL,
					   NULL);
}
