/* Guests at rest: their names, and which of a folder stay. */
#include "api/ctl/vm/warm.h"

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

#include "api/ctl/base/process.h"
#include "api/ctl/vm/manifest.h"
#include "tests/unit/own_dir.h"

/* Of monitor.c, which needs all that starts one. */
const char *monitor_drive_id(const struct monitor_plan *p, unsigned i,
			     char id[MONITOR_ID_SIZE])
{
	snprintf(id, MONITOR_ID_SIZE, "%s", p->drives[i].id);
	return id;
}

static struct monitor_files files;
static struct monitor_plan plan;
static struct warm warm;
static char folder[200];

static void write_file(const char *path, const char *text)
{
	struct err e = {0};

	assert_int_equal(process_write_file(path, text, &e), 0);
}

static int setup(void **state)
{
	if (make_dir(state))
		return -1;
	snprintf(files.program, sizeof(files.program), "%s/mayfly", own_dir);
	snprintf(files.kernel, sizeof(files.kernel), "%s/vmlinux", own_dir);
	snprintf(files.initrd, sizeof(files.initrd), "%s/initrd", own_dir);
	write_file(files.program, "a");
	write_file(files.kernel, "b");
	write_file(files.initrd, "c");
	snprintf(folder, sizeof(folder), "%s/warm", own_dir);
	plan = (struct monitor_plan){
		.files = &files,
		.drives = {{.id = "image", .is_read_only = true},
			   {.id = "slot1", .is_read_only = true}},
		.drive_count = 2,
		.vcpu_count = 1,
		.memory_mib = 1,
	};
	return 0;
}

static int teardown(void **state)
{
	warm_fini(&warm);
	return remove_dir(state);
}

/* What the plan is called just now. */
static const char *name(void)
{
	struct err e = {0};

	warm_fini(&warm);
	assert_int_equal(warm_name_bare(&warm, &plan, folder, &e), 0);
	assert_int_equal(strlen(warm.key), WARM_KEY_SIZE - 1);
	return warm.key;
}

static void a_name_is_all_it_was_made_of(void **state)
{
	char usual[WARM_KEY_SIZE];
	struct err e = {0};

	(void)state;
	memcpy(usual, name(), sizeof(usual));
	assert_string_equal(name(), usual);
	/* Which file a drive has is for the load. */
	plan.drives[0].path = "/some/file";
	plan.drives[0].fd = 7;
	assert_string_equal(name(), usual);
	plan.vcpu_count = 2;
	assert_string_not_equal(name(), usual);
	plan.vcpu_count = 1;
	plan.memory_mib = 2;
	assert_string_not_equal(name(), usual);
	plan.memory_mib = 1;
	plan.tap = "eth0";
	assert_string_not_equal(name(), usual);
	plan.tap = NULL;
	plan.drive_count = 1;
	assert_string_not_equal(name(), usual);
	plan.drive_count = 2;
	plan.drives[1].is_read_only = false;
	assert_string_not_equal(name(), usual);
	plan.drives[1].is_read_only = true;
	assert_string_equal(name(), usual);
	/* The same length, by a rename: another inode. */
	write_file(files.kernel, "x");
	assert_string_not_equal(name(), usual);
	memcpy(usual, name(), sizeof(usual));
	write_file(files.initrd, "x");
	assert_string_not_equal(name(), usual);
	/* One of an image is never taken for one of none. */
	memcpy(usual, name(), sizeof(usual));
	warm_fini(&warm);
	assert_int_equal(warm_name(&warm, &plan, "/x/rootfs.erofs", "none", &e),
			 0);
	assert_false(warm.is_bare);
	assert_string_equal(warm.folder, "/x/warm");
}

/* As whoever makes it has it: what it is about, and two files. */
static void make(const char *key, const char *about)
{
	char path[400];

	(void)mkdir(folder, 0700);
	snprintf(path, sizeof(path), "%s/%s", folder, key);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/%s/about", folder, key);
	write_file(path, about);
	snprintf(path, sizeof(path), "%s/%s/" MANIFEST_STATE, folder, key);
	write_file(path, "state");
	snprintf(path, sizeof(path), "%s/%s/" MANIFEST_MEMORY, folder, key);
	write_file(path, "");
	assert_int_equal(truncate(path, 1 << 20), 0);
}

static bool is_there(const char *key)
{
	char path[400];

	snprintf(path, sizeof(path), "%s/%s", folder, key);
	return !access(path, F_OK);
}

static void what_fits_is_opened(void **state)
{
	struct err e = {0};
	char path[400];

	(void)state;
	name();
	assert_int_equal(warm_open(&warm, &e), -ENOENT);
	make(warm.key, warm.about);
	assert_int_equal(warm_open(&warm, &e), 0);
	name();
	snprintf(path, sizeof(path), "%s/%s/" MANIFEST_MEMORY, folder,
		 warm.key);
	assert_int_equal(truncate(path, 5), 0);
	assert_int_equal(warm_open(&warm, &e), -EINVAL);
	warm_remove(&warm);
	assert_false(is_there(warm.key));
}

static void what_does_not_fit_goes(void **state)
{
	struct warm_report report = {0};
	char key[WARM_KEY_SIZE];

	(void)state;
	memcpy(key, name(), sizeof(key));
	make(key, warm.about);
	warm_sweep_folder(folder, &report);
	assert_int_equal(report.count, 0);
	assert_true(is_there(key));
	write_file(files.kernel, "another");
	warm_sweep_folder(folder, &report);
	assert_int_equal(report.count, 1);
	assert_false(is_there(key));
}

static void those_used_last_stay(void **state)
{
	struct warm_report report = {0};
	struct timespec times[2] = {{0}};
	char key[5][WARM_KEY_SIZE], path[sizeof(folder) + WARM_KEY_SIZE];
	struct err e = {0};

	(void)state;
	for (int i = 0; i < 5; i++) {
		plan.memory_mib = 1 + (unsigned)i;
		memcpy(key[i], name(), WARM_KEY_SIZE);
		make(key[i], warm.about);
		snprintf(path, sizeof(path), "%s/%.64s", folder, key[i]);
		times[0].tv_sec = times[1].tv_sec = 1000 + 10 * i;
		assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	}
	warm_trim(folder, 5, &report);
	assert_int_equal(report.count, 0);
	/* The first is used, so the second is the oldest. */
	plan.memory_mib = 1;
	name();
	assert_int_equal(warm_open(&warm, &e), 0);
	warm_trim(folder, 3, &report);
	assert_int_equal(report.count, 2);
	assert_true(is_there(key[0]) && is_there(key[3]) && is_there(key[4]));
	warm_trim(folder, 0, &report);
	assert_int_equal(report.count, 5);
	assert_int_equal(access(folder, F_OK), -1);
	warm_trim(folder, 0, &report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_name_is_all_it_was_made_of,
						setup, teardown),
		cmocka_unit_test_setup_teardown(what_fits_is_opened, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_does_not_fit_goes, setup,
						teardown),
		cmocka_unit_test_setup_teardown(those_used_last_stay, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
