/* fd:N in the place of a path: what of it is a file that was passed. */
#include "vmm/base/passed.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void refuse(const char *list)
{
	struct err e = {0};

	if (passed_take(list, &e) != -EINVAL || !strstr(e.text, "ascending"))
		fail_msg("'%s' gave: %s", list, e.text);
	/* A list that is refused allows nothing of it. */
	assert_false(passed_has("fd:3"));
}

static void a_list_is_ascending_numbers_from_three_on(void **state)
{
	struct err e = {0};

	(void)state;
	refuse("");
	refuse("2");
	refuse("3,");
	refuse(",3");
	refuse("3,3");
	refuse("4,3");
	refuse("03");
	refuse("+3");
	refuse("3 ");
	refuse("3,x");
	refuse("99999999999999999999");
	refuse("3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,"
	       "26,27,28,29,30,31,32,33,34,35");
	assert_int_equal(passed_take("3,40,2147483647", &e), 0);
	assert_true(passed_has("fd:3"));
	assert_true(passed_has("fd:40"));
	assert_true(passed_has("fd:40:a name"));
	assert_true(passed_has("fd:40:"));
	assert_true(passed_has("fd:2147483647"));
}

static void nothing_else_is_one(void **state)
{
	static const char *const paths[] = {
		"fd:4",	 "fd:",	  "fd:03",	   "fd:3 ", "fd:3/x", "fd:+3",
		"FD:3",	 "/fd:3", "./fd:3",	   " fd:3", "fd:4:3", "fd:3;x",
		"fd::3", "fd:0",  "fd:4294967299", "fd:-3", "3",
	};
	struct err e = {0};
	unsigned i;

	(void)state;
	assert_int_equal(passed_take("3", &e), 0);
	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (passed_has(paths[i]))
			fail_msg("'%s' is one", paths[i]);
}

static int open_file(const char *path, int flags)
{
	int fd = passed_open(path, flags);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? -errno : 0;
}

static void what_was_not_passed_is_a_name(void **state)
{
	char dir[] = "/tmp/mayfly-passed-XXXXXX", name[16];
	struct err e = {0};
	int fd, file;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(passed_take("1000", &e), 0);
	snprintf(name, sizeof(name), "fd:%d", fd);
	assert_int_equal(open_file(name, O_RDONLY), -ENOENT);
	file = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(open_file(name, O_RDONLY), 0);
	close(file);
	close(fd);
	unlink(name);
	rmdir(dir);
}

static void a_copy_of_it_is_opened_as_it_was(void **state)
{
	static const int modes[] = {O_RDONLY, O_WRONLY, O_RDWR};
	char name[16];
	struct stat a, b;
	struct err e = {0};
	unsigned i, k;
	int fd, copy;

	(void)state;
	for (i = 0; i < 3; i++) {
		fd = open("/dev/null", modes[i] | O_CLOEXEC);
		snprintf(name, sizeof(name), "%d", fd);
		assert_int_equal(passed_take(name, &e), 0);
		snprintf(name, sizeof(name), "fd:%d", fd);
		for (k = 0; k < 3; k++)
			assert_int_equal(open_file(name, modes[k] | O_NONBLOCK),
					 i == k ? 0 : -EACCES);
		copy = passed_open(name, modes[i]);
		assert_int_not_equal(copy, fd);
		assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
		assert_int_equal(fstat(fd, &a), 0);
		assert_int_equal(fstat(copy, &b), 0);
		assert_true(a.st_rdev == b.st_rdev);
		close(copy);
		close(fd);
		assert_int_equal(open_file(name, modes[i]), -EBADF);
	}
}

/* A file in memory can be had for both alone. */
static void one_that_nobody_can_write_to_can_be_read(void **state)
{
	static const int seals[] = {0, F_SEAL_GROW, F_SEAL_WRITE,
				    F_SEAL_FUTURE_WRITE};
	char name[16];
	struct err e = {0};
	unsigned i;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(seals) / sizeof(seals[0]); i++) {
		fd = memfd_create("passed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		assert_int_equal(fcntl(fd, F_ADD_SEALS, seals[i]), 0);
		snprintf(name, sizeof(name), "%d", fd);
		assert_int_equal(passed_take(name, &e), 0);
		snprintf(name, sizeof(name), "fd:%d", fd);
		assert_int_equal(open_file(name, O_RDONLY),
				 i < 2 ? -EACCES : 0);
		assert_int_equal(open_file(name, O_WRONLY), -EACCES);
		close(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_is_ascending_numbers_from_three_on),
		cmocka_unit_test(nothing_else_is_one),
		cmocka_unit_test(what_was_not_passed_is_a_name),
		cmocka_unit_test(a_copy_of_it_is_opened_as_it_was),
		cmocka_unit_test(one_that_nobody_can_write_to_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
