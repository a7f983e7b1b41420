/* Folders that are there whole or not at all. */
#include "api/ctl/vm/folder.h"

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
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/own_dir.h"

static const char *path_of(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", own_dir, name);
	return path;
}

static void fill(const struct folder *f)
{
	const int fd = openat(f->fd, "file", O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void it_gets_its_name_last(void **state)
{
	struct folder f;
	struct err e = {0};

	(void)state;
	assert_int_equal(folder_begin(&f, path_of("one/"), &e), 0);
	fill(&f);
	assert_int_equal(access(path_of("one"), F_OK), -1);
	assert_int_equal(access(f.path, F_OK), 0);
	assert_int_equal(folder_commit(&f, true, &e), 0);
	folder_fini(&f);
	assert_int_equal(access(path_of("one/file"), F_OK), 0);
	assert_int_equal(access(f.path, F_OK), -1);
	assert_int_equal(folder_begin(&f, path_of("one"), &e), -EEXIST);
}

static void what_is_not_committed_is_gone(void **state)
{
	struct folder f;
	struct err e = {0};

	(void)state;
	assert_int_equal(folder_begin(&f, path_of("two"), &e), 0);
	fill(&f);
	folder_fini(&f);
	assert_int_equal(access(f.path, F_OK), -1);
	assert_int_equal(access(path_of("two"), F_OK), -1);
	folder_fini(&f);
}

/* The name may be taken meanwhile; what has it stays. */
static void nothing_is_replaced(void **state)
{
	struct folder f, g;
	struct err e = {0};

	(void)state;
	assert_int_equal(folder_begin(&f, path_of("three"), &e), 0);
	assert_int_equal(folder_begin(&g, path_of("three"), &e), 0);
	fill(&g);
	assert_int_equal(folder_commit(&g, false, &e), 0);
	assert_int_equal(folder_commit(&f, false, &e), -EEXIST);
	folder_fini(&f);
	folder_fini(&g);
	assert_int_equal(access(path_of("three/file"), F_OK), 0);
}

static void who_lives_is_left_alone(void **state)
{
	struct folder f, dead = {0};
	struct err e = {0};
	int ends[2];
	pid_t pid;

	(void)state;
	assert_int_equal(folder_begin(&f, path_of("four"), &e), 0);
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	if (!pid) {
		if (folder_begin(&dead, path_of("five"), &e))
			_exit(1);
		fill(&dead);
		_exit(write(ends[1], dead.path, sizeof(dead.path)) !=
		      sizeof(dead.path));
	}
	assert_int_equal(read(ends[0], dead.path, sizeof(dead.path)),
			 sizeof(dead.path));
	waitpid(pid, NULL, 0);
	assert_int_equal(access(dead.path, F_OK), 0);
	assert_int_equal(mkdir(path_of("x.mayfly-0123"), 0700), 0);
	folder_sweep(own_dir);
	assert_int_equal(access(dead.path, F_OK), -1);
	assert_int_equal(access(f.path, F_OK), 0);
	assert_int_equal(access(path_of("x.mayfly-0123"), F_OK), 0);
	folder_fini(&f);
}

static void names_that_are_none_are_refused(void **state)
{
	static const char *const bad[] = {"/", ".", "..", "", "/none/x"};
	struct folder f;
	struct err e = {0};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(folder_begin(&f, bad[i], &e) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_gets_its_name_last),
		cmocka_unit_test(what_is_not_committed_is_gone),
		cmocka_unit_test(nothing_is_replaced),
		cmocka_unit_test(who_lives_is_left_alone),
		cmocka_unit_test(names_that_are_none_are_refused),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
