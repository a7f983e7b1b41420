/* Removing trees of others: deep ones, closed ones, links that lead out. */
#include "api/ctl/base/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int here = -1;
static char scratch[] = "/tmp/test-tree-XXXXXX";

static int set_up(void **state)
{
	(void)state;
	if (!mkdtemp(scratch))
		return -1;
	here = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return here < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(here);
	return rmdir(scratch);
}

static void make_file(int dir, const char *path)
{
	static const char bytes[100000];
	int fd = openat(dir, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
	close(fd);
}

static int is_there(const char *path)
{
	return !faccessat(here, path, F_OK, AT_SYMLINK_NOFOLLOW);
}

static void what_is_not_there_is_gone(void **state)
{
	struct tree_report report = {0};

	(void)state;
	assert_int_equal(tree_remove(here, "nothing", 0, &report), 0);
	assert_int_equal(tree_remove(here, "nothing", TREE_STRICT, NULL), 0);
	assert_int_equal(report.bytes, 0);
	assert_int_equal(tree_empty(here, "nothing"), -ENOENT);
}

static void a_tree_goes_and_links_are_not_followed(void **state)
{
	struct tree_report report = {0};

	(void)state;
	make_file(here, "outside");
	assert_int_equal(mkdirat(here, "kept", 0700), 0);
	make_file(here, "kept/file");
	assert_int_equal(mkdirat(here, "tree", 0700), 0);
	assert_int_equal(mkdirat(here, "tree/sub", 0700), 0);
	assert_int_equal(mkdirat(here, "tree/sub/empty", 0), 0);
	assert_int_equal(symlinkat("nowhere", here, "tree/sub/link"), 0);
	assert_int_equal(fchmodat(here, "tree/sub", 0, 0), 0);
	assert_int_equal(symlinkat("../outside", here, "tree/file"), 0);
	assert_int_equal(symlinkat("../kept", here, "tree/folder"), 0);
	assert_int_equal(mkfifoat(here, "tree/fifo", 0), 0);
	/* Another name of a file frees nothing. */
	assert_int_equal(linkat(here, "outside", here, "tree/name", 0), 0);
	assert_int_equal(tree_remove(here, "tree", 0, &report), 0);
	assert_false(is_there("tree"));
	assert_true(is_there("outside") && is_there("kept/file"));
	assert_string_equal(report.failed, "");
	assert_true(report.bytes < 100000);
	/* A link itself goes. */
	assert_int_equal(symlinkat("kept", here, "link"), 0);
	assert_int_equal(tree_remove(here, "link", 0, NULL), 0);
	assert_true(is_there("kept/file") && !is_there("link"));
	assert_int_equal(tree_remove(here, "kept", 0, &report), 0);
	assert_true(report.bytes >= 100000);
	assert_int_equal(tree_remove(here, "outside", 0, NULL), 0);
}

/* Folders below one another, with a file in each. */
static void make_deep(const char *top, unsigned levels)
{
	char name[201];
	int fd, next;

	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(mkdirat(here, top, 0700), 0);
	fd = openat(here, top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (levels--) {
		assert_int_equal(mkdirat(fd, name, 0700), 0);
		make_file(fd, "file");
		next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	close(fd);
}

static void deeper_than_any_path(void **state)
{
	(void)state;
	make_deep("deep", 300);
	assert_int_equal(tree_remove(here, "deep", 0, NULL), 0);
	assert_false(is_there("deep"));
	make_deep("deep", 300);
	assert_int_equal(tree_remove(here, "deep", TREE_STRICT, NULL), 0);
	assert_false(is_there("deep"));
	make_deep("deep", 300);
	assert_int_equal(tree_empty(here, "deep"), 0);
	/* Empty, but there. */
	assert_int_equal(unlinkat(here, "deep", AT_REMOVEDIR), 0);
}

static void what_is_mounted_is_in_the_way(void **state)
{
	struct tree_report report = {0};
	char path[64];

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdirat(here, "tree", 0700), 0);
	assert_int_equal(mkdirat(here, "tree/at", 0700), 0);
	make_file(here, "tree/file");
	snprintf(path, sizeof(path), "%s/tree/at", scratch);
	if (mount("tmpfs", path, "tmpfs", 0, NULL)) {
		(void)tree_remove(here, "tree", 0, NULL);
		skip();
	}
	make_file(here, "tree/at/file");
	assert_int_equal(tree_remove(here, "tree", 0, &report), -EBUSY);
	assert_string_equal(report.failed, "at");
	assert_true(is_there("tree/at/file"));
	/* The rest has gone, though. */
	assert_false(is_there("tree/file"));
	assert_int_equal(tree_remove(here, "tree", TREE_STRICT, &report),
			 -EBUSY);
	assert_int_equal(umount(path), 0);
	assert_int_equal(tree_remove(here, "tree", TREE_STRICT, &report), 0);
	assert_string_equal(report.failed, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_there_is_gone),
		cmocka_unit_test(a_tree_goes_and_links_are_not_followed),
		cmocka_unit_test(deeper_than_any_path),
		cmocka_unit_test(what_is_mounted_is_in_the_way),
	};

	return cmocka_run_group_tests_name("tree", tests, set_up, tear_down);
}
