/* What bench block reads: how it is named, and files made for it. */
#include "api/ctl/bench/disk.h"

#include <errno.h>
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

static char folder[] = "/dev/shm/mayfly-disk.XXXXXX";
static char file[64];

static int setup(void **state)
{
	FILE *f;

	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(file, sizeof(file), "%s/file", folder);
	f = fopen(file, "we");
	return f ? fclose(f) : -1;
}

static int teardown(void **state)
{
	(void)state;
	unlink(file);
	return rmdir(folder);
}

static void a_second_of_a_kind_has_a_number(void **state)
{
	const char *const named[] = {folder, file, file};
	static struct disks d;

	(void)state;
	assert_int_equal(disks_find(&d, named, 3, NULL), 0);
	assert_int_equal(d.count, 3);
	assert_string_equal(d.list[0].kind, "tmpfs");
	assert_string_equal(d.list[1].kind, "tmpfs-2");
	assert_string_equal(d.list[2].kind, "tmpfs-3");
	assert_true(d.list[0].is_first && d.list[0].is_directory);
	assert_false(d.list[1].is_first || d.list[1].is_directory);
}

static void without_names_there_is_one(void **state)
{
	static struct disks d;

	(void)state;
	assert_int_equal(setenv("TMPDIR", folder, 1), 0);
	assert_int_equal(disks_find(&d, NULL, 0, NULL), 0);
	/* It lies in memory already, so nothing else does. */
	assert_int_equal(d.count, 1);
	assert_string_equal(d.list[0].path, folder);
}

static void what_is_no_disk_is_refused(void **state)
{
	static const struct {
		const char *path;
		int code;
		const char *says;
	} table[] = {
		{"/nowhere", -ENOENT, "--drive: can't use /nowhere"},
		{"/dev/null", -EINVAL, "a file, a directory or a block device"},
	};
	static struct disks d;
	struct err e;
	unsigned i;

	(void)state;
	for (i = 0; i < 2; i++) {
		e = (struct err){0};
		assert_int_equal(disks_find(&d, &table[i].path, 1, &e),
				 table[i].code);
		assert_non_null(strstr(e.text, table[i].says));
	}
}

/* A folder gets a file that is whole; a file is read as it is. */
static void only_a_folder_gets_a_file(void **state)
{
	const char *const named[] = {folder, file};
	static struct disks d;
	char path[PATH_MAX];
	struct stat st;
	bool is_made;

	(void)state;
	assert_int_equal(disks_find(&d, named, 2, NULL), 0);
	assert_int_equal(disk_open(&d.list[0], path, &is_made, NULL), 0);
	assert_true(is_made);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, (off_t)DISK_MIB << 20);
	assert_true(st.st_blocks * 512 >= st.st_size);
	unlink(path);
	assert_int_equal(disk_open(&d.list[1], path, &is_made, NULL), 0);
	assert_false(is_made);
	assert_string_equal(path, file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_of_a_kind_has_a_number),
		cmocka_unit_test(without_names_there_is_one),
		cmocka_unit_test(what_is_no_disk_is_refused),
		cmocka_unit_test(only_a_folder_gets_a_file),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
