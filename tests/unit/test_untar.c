/* Unpacking what a guest sent: names, merging, and archives that mean ill. */
#include "api/ctl/base/untar.h"

#include <dirent.h>
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

#include "api/ctl/base/tar.h"
#include "api/ctl/base/tree.h"

enum { DEEP = 2100 };

static char scratch[] = "/tmp/test-untar-XXXXXX";
static int here = -1; /* where copies go */
static struct untar *u;
static struct err err;
static int status; /* of the first call that failed */

static int set_up(void **state)
{
	(void)state;
	umask(022);
	if (!mkdtemp(scratch))
		return -1;
	here = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return here < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(here);
	return tree_remove(AT_FDCWD, scratch, 0, NULL);
}

/* An empty folder for each test. */
static int fresh(void **state)
{
	(void)state;
	return tree_empty(AT_FDCWD, scratch);
}

static void begin(const char *from, const char *as)
{
	const struct untar_rules rules = {here, from, as};

	err = (struct err){0};
	status = 0;
	u = untar_new(&rules, &err);
	assert_non_null(u);
}

static void feed(const void *data, size_t len)
{
	if (!status)
		status = untar_add(u, data, len, &err);
}

static void add(const char *name, char type, unsigned mode, const char *text)
{
	static const char zeros[TAR_BLOCK];
	const bool is_link = type == '1' || type == '2';
	const size_t len = is_link ? 0 : strlen(text);
	unsigned char block[TAR_BLOCK];
	unsigned sum = 0;
	size_t i;

	tar_header(block, name, type, mode, len, 1000);
	if (is_link) {
		memcpy(block + 157, text, strlen(text));
		memset(block + 148, ' ', 8);
		for (i = 0; i < TAR_BLOCK; i++)
			sum += block[i];
		snprintf((char *)block + 148, 8, "%06o", sum);
	}
	feed(block, sizeof(block));
	feed(text, len);
	feed(zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK);
}

/* A path longer than a header has room for. */
static void add_long(const char *name, char type)
{
	static const char zeros[TAR_BLOCK];
	const size_t len = strlen(name);
	unsigned char block[TAR_BLOCK];

	tar_header(block, "long", 'L', 0, len, 0);
	feed(block, sizeof(block));
	feed(name, len);
	feed(zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK);
	tar_header(block, "short", type, 0755, 0, 1000);
	feed(block, sizeof(block));
}

/* Ends the copy; its status. What is private is gone whatever it says. */
static int end(void)
{
	DIR *dir;
	const struct dirent *d;

	if (!status)
		status = untar_end(u, &err);
	untar_free(u);
	u = NULL;
	assert_int_equal(!!err.text[0], !!status);
	dir = opendir(scratch);
	assert_non_null(dir);
	while ((d = readdir(dir)))
		assert_null(strstr(d->d_name, "mayctl"));
	closedir(dir);
	return status;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return fstatat(here, path, &st, AT_SYMLINK_NOFOLLOW) ? 0 : st.st_mode;
}

static const char *text_of(const char *path)
{
	static char text[64];
	const int fd = openat(here, path, O_RDONLY | O_CLOEXEC);
	const ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n < 0 ? 0 : n] = 0;
	return n < 0 ? "(none)" : text;
}

static void put(const char *path, const char *text)
{
	const int fd = openat(here, path, O_WRONLY | O_CREAT, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void a_folder_arrives_under_its_name(void **state)
{
	struct stat st;

	(void)state;
	begin("etc", "out");
	add("etc/", '5', 0750, "");
	add("etc/passwd", '0', 04777, "root\n");
	add("etc/hard", '1', 0644, "etc/passwd");
	add("etc/link", '2', 0777, "/etc/shadow");
	add("etc/closed/", '5', 0500, "");
	add("etc/closed/in", '0', 0400, "in");
	assert_int_equal(end(), 0);
	assert_int_equal(mode_of("out"), S_IFDIR | 0750);
	assert_int_equal(mode_of("out/passwd"), S_IFREG | 0755);
	assert_int_equal(mode_of("out/closed"), S_IFDIR | 0500);
	assert_int_equal(mode_of("out/link") & S_IFMT, S_IFLNK);
	assert_string_equal(text_of("out/closed/in"), "in");
	assert_int_equal(fstatat(here, "out/passwd", &st, 0), 0);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(st.st_mtime, 1000);
	assert_int_equal(fstatat(here, "out", &st, 0), 0);
	assert_int_equal(st.st_mtime, 1000);
}

static void a_file_replaces_a_file(void **state)
{
	(void)state;
	put("old", "a longer text than the new");
	begin("f", "old");
	add("f", '0', 0600, "new");
	assert_int_equal(end(), 0);
	assert_string_equal(text_of("old"), "new");
}

static void contents_go_into_the_folder_itself(void **state)
{
	static const char *const froms[] = {".", "app"};
	unsigned i;

	(void)state;
	for (i = 0; i < 2; i++) {
		char name[16];

		begin(froms[i], "");
		snprintf(name, sizeof(name), "%s/", froms[i]);
		add(name, '5', 0755, "");
		snprintf(name, sizeof(name), "%s/f", froms[i]);
		add(name, '0', 0644, froms[i]);
		assert_int_equal(end(), 0);
		assert_string_equal(text_of("f"), froms[i]);
	}
	begin("f", "");
	add("f", '0', 0644, "no folder");
	assert_int_equal(end(), -ENOTDIR);
}

static void folders_merge_and_the_old_keep_their_modes(void **state)
{
	(void)state;
	assert_int_equal(mkdirat(here, "out", 0711), 0);
	assert_int_equal(mkdirat(here, "out/sub", 0711), 0);
	put("out/keep", "kept");
	put("out/sub/old", "old");
	begin("d", "out");
	add("d/", '5', 0755, "");
	add("d/sub/", '5', 0755, "");
	add("d/sub/old", '0', 0644, "new");
	add("d/sub/more/", '5', 0555, "");
	add("d/sub/more/f", '0', 0644, "f");
	assert_int_equal(end(), 0);
	assert_string_equal(text_of("out/keep"), "kept");
	assert_string_equal(text_of("out/sub/old"), "new");
	assert_string_equal(text_of("out/sub/more/f"), "f");
	assert_int_equal(mode_of("out"), S_IFDIR | 0711);
	assert_int_equal(mode_of("out/sub"), S_IFDIR | 0711);
	assert_int_equal(mode_of("out/sub/more"), S_IFDIR | 0555);
}

/* Nothing is moved where not all fits. */
static void what_does_not_fit_changes_nothing(void **state)
{
	(void)state;
	assert_int_equal(mkdirat(here, "out", 0755), 0);
	assert_int_equal(mkdirat(here, "out/z", 0755), 0);
	put("out/a", "old");
	put("out/y", "a file");
	begin("d", "out");
	add("d/a", '0', 0644, "new");
	add("d/z", '0', 0644, "a file over a folder");
	assert_int_equal(end(), -EISDIR);
	assert_string_equal(text_of("out/a"), "old");
	begin("d", "out");
	add("d/a", '0', 0644, "new");
	add("d/y/", '5', 0755, "");
	assert_int_equal(end(), -ENOTDIR);
	assert_string_equal(text_of("out/a"), "old");
	begin("d", "out/y");
	status = 0;
	add("d/", '5', 0755, "");
	assert_int_equal(end(), -ENOTDIR);
}

static void no_link_is_followed(void **state)
{
	(void)state;
	assert_int_equal(mkdirat(here, "elsewhere", 0755), 0);
	/* The archive's own. */
	begin("d", "out");
	add("d/", '5', 0755, "");
	add("d/l", '2', 0777, scratch);
	add("d/l/planted", '0', 0644, "x");
	assert_true(end() < 0);
	assert_int_equal(mode_of("planted"), 0);
	assert_int_equal(mode_of("out"), 0);
	/* One from an earlier copy, or of the host's. */
	assert_int_equal(mkdirat(here, "out", 0755), 0);
	assert_int_equal(symlinkat("../elsewhere", here, "out/l"), 0);
	begin("d", "out");
	add("d/l/planted", '0', 0644, "x");
	assert_int_equal(end(), -ENOTDIR);
	assert_int_equal(mode_of("elsewhere/planted"), 0);
	/* A hard link through one, and one to what is above. */
	begin("d", "o2");
	add("d/l", '2', 0777, scratch);
	add("d/h", '1', 0644, "d/l/elsewhere");
	assert_true(end() < 0);
	begin("d", "o2");
	add("d/h", '1', 0644, "d/../../etc/passwd");
	assert_int_equal(end(), -EPROTO);
}

static void paths_that_climb_or_were_not_asked_for(void **state)
{
	static const char *const paths[] = {
		"../x", "d/../../x", "d/..", "x", "dx", "/etc/x", "d2/f", "",
	};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		begin("d", "out");
		add(paths[i], '0', 0644, "x");
		assert_int_equal(end(), -EPROTO);
		assert_int_equal(mode_of("out"), 0);
	}
	/* A slash in front is the container's root. */
	begin("d", "out");
	add("/d", '0', 0644, "x");
	assert_int_equal(end(), 0);
}

static void nodes_are_left_out(void **state)
{
	static const char kinds[] = "346";
	unsigned i;

	(void)state;
	begin("d", "out");
	add("d/", '5', 0755, "");
	for (i = 0; kinds[i]; i++)
		add("d/node", kinds[i], 0666, "");
	assert_int_equal(end(), 0);
	assert_int_equal(mode_of("out"), S_IFDIR | 0755);
	assert_int_equal(mode_of("out/node"), 0);
	/* A node that was asked for is nothing. */
	begin("sda", "out");
	add("sda", '4', 0666, "");
	assert_int_equal(end(), -ENOENT);
}

/* Deeper than a path can say: all arrives, or all is gone. */
static void any_depth(void **state)
{
	static char path[2 * DEEP + 8];
	unsigned i;
	int fd;

	(void)state;
	for (i = 0; i <= DEEP; i++)
		memcpy(path + (size_t)i * 2, "d/", 2);
	begin("d", "deep");
	add_long(path, '5');
	memcpy(path + sizeof(path) - 4, "f", 2);
	path[2 * DEEP] = 'f';
	path[2 * DEEP + 1] = 0;
	add_long(path, '0');
	path[2 * DEEP] = 'p';
	add_long(path, '6');
	assert_int_equal(end(), 0);
	fd = openat(here, "deep", O_RDONLY | O_DIRECTORY);
	for (i = 1; i < DEEP; i++) {
		const int next = openat(fd, "d", O_RDONLY | O_DIRECTORY);

		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	assert_int_equal(faccessat(fd, "f", F_OK, 0), 0);
	assert_int_equal(faccessat(fd, "p", F_OK, 0), -1);
	close(fd);
	/* And merges, and goes when a later entry is wrong. */
	path[2 * DEEP] = 'g';
	begin("d", "deep");
	add_long(path, '0');
	assert_int_equal(end(), 0);
	begin("d", "gone");
	add_long(path, '0');
	add("..", '0', 0644, "");
	assert_int_equal(end(), -EPROTO);
	assert_int_equal(mode_of("gone"), 0);
}

static void what_breaks_off_leaves_nothing(void **state)
{
	unsigned char block[TAR_BLOCK];

	(void)state;
	begin("f", "out");
	tar_header(block, "f", '0', 0644, 100000, 0);
	feed(block, sizeof(block));
	feed(block, sizeof(block));
	assert_int_equal(end(), -EINVAL);
	assert_int_equal(mode_of("out"), 0);
	begin("f", "out");
	assert_int_equal(end(), -ENOENT);
	begin("f", "out");
	memset(block, 'x', sizeof(block));
	feed(block, sizeof(block));
	assert_int_equal(end(), -EINVAL);
}

/* As archives had them before POSIX; what they have of data means nothing. */
static void a_name_that_ends_in_a_slash_is_a_folders(void **state)
{
	static const char types[] = {'0', '\0'};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(types); i++) {
		assert_int_equal(fresh(state), 0);
		begin("top", "out");
		add("top", '5', 0755, "");
		add("top/old/", types[i], 0755, "data");
		add("top/old/file", types[i], 0644, "in");
		assert_int_equal(end(), 0);
		assert_true(S_ISDIR(mode_of("out/old")));
		assert_string_equal(text_of("out/old/file"), "in");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_folder_arrives_under_its_name, fresh),
		cmocka_unit_test_setup(a_file_replaces_a_file, fresh),
		cmocka_unit_test_setup(contents_go_into_the_folder_itself,
				       fresh),
		cmocka_unit_test_setup(
			folders_merge_and_the_old_keep_their_modes, fresh),
		cmocka_unit_test_setup(what_does_not_fit_changes_nothing,
				       fresh),
		cmocka_unit_test_setup(no_link_is_followed, fresh),
		cmocka_unit_test_setup(paths_that_climb_or_were_not_asked_for,
				       fresh),
		cmocka_unit_test_setup(nodes_are_left_out, fresh),
		cmocka_unit_test_setup(any_depth, fresh),
		cmocka_unit_test_setup(what_breaks_off_leaves_nothing, fresh),
		cmocka_unit_test_setup(a_name_that_ends_in_a_slash_is_a_folders,
				       fresh),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
