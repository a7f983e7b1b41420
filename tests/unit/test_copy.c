/* Files that are copied out of folders that others may write to. */
#include "api/ctl/base/copy.h"

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

#include "tests/unit/own_dir.h"
#include "vmm/base/fd.h"

static int dir_fd;

static int make(const char *name, off_t length)
{
	const int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, length), 0);
	return fd;
}

static off_t blocks(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_blocks * 512;
}

/* 64 MiB with data at both ends and in the middle, as far as size. */
static void copied(uint64_t size)
{
	int from = make("from", 64 << 20), to = make("to", 0);
	char bytes[8] = "", text[] = "datadata";
	struct err e = {0};

	assert_int_equal(pwrite(from, text, 8, 0), 8);
	assert_int_equal(pwrite(from, text, 8, 33 << 20), 8);
	assert_int_equal(pwrite(from, text, 8, (64 << 20) - 8), 8);
	assert_int_equal(copy_file(from, to, size, "it", &e), 0);
	assert_int_equal(lseek(to, 0, SEEK_END), size);
	assert_int_equal(pread(to, bytes, 8, 0), 8);
	assert_memory_equal(bytes, text, 8);
	assert_int_equal(pread(to, bytes, 8, 33 << 20), 8);
	assert_memory_equal(bytes, text, 8);
	if (size == 64 << 20) {
		assert_int_equal(pread(to, bytes, 8, (64 << 20) - 8), 8);
		assert_memory_equal(bytes, text, 8);
	}
	assert_true(blocks(to) <= blocks(from) + 65536);
	close(from);
	close(to);
}

static void holes_stay_holes(void **state)
{
	(void)state;
	copied(64 << 20);
	copied(40 << 20);
}

/* A device has no holes, nor has a file on another file system. */
static void zeroes_become_holes(void **state)
{
	int from = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	int to = make("to", 0);
	struct err e = {0};

	(void)state;
	assert_int_equal(copy_file(from, to, 32 << 20, "it", &e), 0);
	assert_int_equal(lseek(to, 0, SEEK_END), 32 << 20);
	assert_true(blocks(to) < 65536);
	close(from);
	close(to);
}

static void what_became_shorter_is_told(void **state)
{
	int from = make("from", 0), to = make("to", 0);
	char text[10000];
	struct err e = {0};

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(fd_pwrite(from, text, sizeof(text), 0), 0);
	/* The end of a file counts as a hole; what is no hole is not there. */
	assert_int_equal(copy_file(from, to, sizeof(text) - 1, "it", &e), 0);
	assert_int_equal(lseek(to, 0, SEEK_END), sizeof(text) - 1);
	close(from);
	from = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	assert_int_equal(copy_file(from, to, 1 << 20, "it", &e), -ENODATA);
	assert_non_null(strstr(e.text, "it became shorter"));
	close(from);
	close(to);
}

static void only_files_are_opened(void **state)
{
	uint64_t size = 0;
	struct err e = {0};
	int fd = make("file", 12345);

	(void)state;
	close(fd);
	fd = copy_open(dir_fd, "file", &size, &e);
	assert_true(fd >= 0);
	assert_int_equal(size, 12345);
	close(fd);
	assert_int_equal(symlinkat("file", dir_fd, "link"), 0);
	assert_int_equal(copy_open(dir_fd, "link", &size, &e), -ELOOP);
	assert_int_equal(mkfifoat(dir_fd, "fifo", 0600), 0);
	assert_int_equal(copy_open(dir_fd, "fifo", &size, &e), -EINVAL);
	assert_int_equal(mkdirat(dir_fd, "folder", 0700), 0);
	assert_int_equal(copy_open(dir_fd, "folder", &size, &e), -EINVAL);
	assert_int_equal(copy_open(dir_fd, "none", &size, &e), -ENOENT);
	assert_int_equal(copy_make(dir_fd, "file", &e), -EEXIST);
	assert_int_equal(copy_make(dir_fd, "link", &e), -EEXIST);
}

static int open_dir(void **state)
{
	if (make_dir(state))
		return -1;
	dir_fd = open(own_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir_fd < 0 ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holes_stay_holes),
		cmocka_unit_test(zeroes_become_holes),
		cmocka_unit_test(what_became_shorter_is_told),
		cmocka_unit_test(only_files_are_opened),
	};

	return cmocka_run_group_tests(tests, open_dir, remove_dir);
}
