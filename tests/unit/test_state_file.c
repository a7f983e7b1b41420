/* Files that are whole or not there, and what is in the way of it. */
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
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/pair_bench.h"
#include "vmm/base/fd.h"
#include "vmm/state/file.h"

/* A name that part_make() could have made. */
static const char left[] = "mem.mayfly-00112233445566778899aabbccddeeff";

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	if (!file || fputs(text, file) < 0 || fclose(file))
		fail_msg("can't write %s", path);
}

static bool is_there(const char *path)
{
	return !access(path, F_OK);
}

static void a_file_is_written_for_us_alone(void **state)
{
	struct err e = {0};
	struct stat st;
	uint8_t *bytes;
	size_t len;

	(void)state;
	assert_int_equal(state_file_write("one", "first", 5, true, &e), 0);
	assert_int_equal(stat("one", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(state_file_read("one", &bytes, &len, NULL, &e), 0);
	assert_int_equal(len, 5);
	assert_memory_equal(bytes, "first", 5);
	free(bytes);
	assert_int_equal(pair_bench_entries(), 1);
}

/* Whoever has the older file open or mapped keeps it as it was. */
static void a_file_is_replaced_and_not_changed(void **state)
{
	struct err e = {0};
	char old[5];
	uint8_t *bytes;
	size_t len;
	int fd;

	(void)state;
	put("one", "first");
	fd = open("one", O_RDONLY | O_CLOEXEC);
	assert_int_equal(state_file_write("./one", "2", 1, false, &e), 0);
	assert_int_equal(state_file_read("one", &bytes, &len, NULL, &e), 0);
	assert_int_equal(len, 1);
	assert_int_equal(bytes[0], '2');
	assert_int_equal(fd_pread(fd, old, 5, 0), 0);
	assert_memory_equal(old, "first", 5);
	free(bytes);
	close(fd);
}

static void a_link_is_replaced_and_not_followed(void **state)
{
	struct err e = {0};
	struct stat st;

	(void)state;
	put("target", "target");
	assert_int_equal(symlink("target", "link"), 0);
	assert_int_equal(state_file_write("link", "x", 1, false, &e), 0);
	assert_int_equal(lstat("link", &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(stat("target", &st), 0);
	assert_int_equal(st.st_size, 6);
}

static void what_is_no_file_stays(void **state)
{
	char longest[NAME_MAX + 1];
	struct err e = {0};

	(void)state;
	assert_int_equal(mkdir("folder", 0700), 0);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(state_file_write("folder", "x", 1, false, &e),
			 -EISDIR);
	assert_string_equal(e.text, "folder is not a regular file; name one, "
				    "or one that is not there yet");
	assert_int_equal(state_file_write("fifo", "x", 1, false, &e), -EINVAL);
	assert_int_equal(state_file_write("folder/", "x", 1, false, &e),
			 -EINVAL);
	assert_string_equal(e.text, "folder/ is no name of a file");
	assert_int_equal(state_file_write("", "x", 1, false, &e), -EINVAL);
	assert_int_equal(state_file_write("nowhere/x", "x", 1, false, &e),
			 -ENOENT);
	assert_string_equal(e.text, "can't open the folder of nowhere/x: No "
				    "such file or directory");
	memset(longest, 'n', NAME_MAX);
	longest[NAME_MAX] = '\0';
	assert_int_equal(state_file_write(longest, "x", 1, false, &e),
			 -ENAMETOOLONG);
	longest[NAME_MAX - 40] = '\0';
	assert_int_equal(state_file_write(longest, "x", 1, false, &e), 0);
	assert_int_equal(state_file_read("fifo", &(uint8_t *){NULL},
					 &(size_t){0}, NULL, &e),
			 -EINVAL);
	assert_int_equal(pair_bench_entries(), 3);
}

static void a_file_of_another_size_than_a_state_is_not_read(void **state)
{
	struct err e = {0};
	uint8_t *bytes;
	size_t len;

	(void)state;
	put("large", "");
	assert_int_equal(truncate("large", STATE_BYTES_MAX + 1), 0);
	assert_int_equal(state_file_read("large", &bytes, &len, NULL, &e),
			 -EFBIG);
	assert_string_equal(e.text,
			    "the snapshot large has 67108865 bytes, which no "
			    "state file has; give the memory file as "
			    "mem_backend");
	assert_null(bytes);
	assert_int_equal(state_file_read("none", &bytes, &len, NULL, &e),
			 -ENOENT);
}

static void a_pair_is_saved_and_replaced(void **state)
{
	(void)state;
	assert_int_equal(pair_bench_look("state", "mem"), 0);
	pair_bench_save("state", "mem", 1, true);
	assert_int_equal(pair_bench_look("state", "mem"), 1);
	pair_bench_save("state", "mem", 2, false);
	assert_int_equal(pair_bench_look("state", "mem"), 2);
	assert_int_equal(pair_bench_entries(), 2);
}

static void a_pair_may_lie_in_two_folders(void **state)
{
	(void)state;
	assert_int_equal(mkdir("a", 0700), 0);
	assert_int_equal(mkdir("b", 0700), 0);
	pair_bench_save("a/same", "b/same", 7, true);
	assert_int_equal(pair_bench_look("a/same", "b/same"), 7);
}

static void a_pair_that_is_given_up_leaves_the_older(void **state)
{
	struct state_pair p;
	struct err e = {0};

	(void)state;
	pair_bench_save("state", "mem", 1, false);
	assert_int_equal(state_pair_begin(&p, "state", "mem", &e), 0);
	assert_int_equal(pair_bench_entries(), 4);
	assert_int_equal(fd_pwrite(p.mem.fd, "half", 4, 0), 0);
	state_pair_fini(&p);
	state_pair_fini(&p);
	assert_int_equal(pair_bench_look("state", "mem"), 1);
	assert_int_equal(pair_bench_entries(), 2);
}

static void one_file_is_no_pair(void **state)
{
	struct state_pair p;
	struct err e = {0};

	(void)state;
	assert_int_equal(mkdir("a", 0700), 0);
	assert_int_equal(state_pair_begin(&p, "both", "a/../both", &e),
			 -EINVAL);
	assert_string_equal(e.text, "a/../both can't be both the state and the "
				    "memory under two names; give the same "
				    "name for both, or name two files");
	assert_int_equal(pair_bench_entries(), 1);
}

static void a_memory_that_can_not_be_named_is_found(void **state)
{
	struct state_pair p;
	struct err e = {0};
	uint8_t *bytes;
	size_t len;

	(void)state;
	pair_bench_save("state", "mem", 1, false);
	assert_int_equal(state_pair_begin(&p, "state", "mem", &e), 0);
	bytes = pair_bench_fill(&p, 2, &len);
	/* Somebody puts a folder there meanwhile. */
	assert_int_equal(unlink("mem"), 0);
	assert_int_equal(mkdir("mem", 0700), 0);
	assert_int_equal(state_pair_commit(&p, bytes, len, true, &e), -EISDIR);
	assert_non_null(strstr(e.text, "the state was saved, and its memory "
				       "is mem.mayfly-"));
	state_pair_fini(&p);
	free(bytes);
	assert_int_equal(pair_bench_look("state", "mem"), 2);
	/* The next save finishes it. */
	assert_int_equal(rmdir("mem"), 0);
	assert_int_equal(state_pair_begin(&p, "state", "mem", &e), 0);
	assert_true(is_there("mem"));
	state_pair_fini(&p);
	assert_int_equal(pair_bench_look("state", "mem"), 2);
	assert_int_equal(pair_bench_entries(), 2);
}

/* To another host, where no name but the two is known. */
static void a_copied_pair_is_one(void **state)
{
	(void)state;
	pair_bench_save("state", "mem", 3, false);
	assert_int_equal(mkdir("host", 0700), 0);
	assert_int_equal(system("cp state host/vm.state && "
				"cp --sparse=never mem host/vm.mem"),
			 0);
	assert_int_equal(pair_bench_look("host/vm.state", "host/vm.mem"), 3);
}

static void only_what_killed_writers_left_is_swept(void **state)
{
	static const char *const others[] = {
		"mem.mayfly-00112233445566778899aabbccddeefg",
		"mem.mayfly-00112233445566778899aabbccddeeff0",
		"mem.mayfly-00112233445566778899AABBCCDDEEFF",
		"mem-mayfly-00112233445566778899aabbccddeeff",
		"mem2.mayfly-00112233445566778899aabbccddeeff",
	};
	static const char folder[] =
		"mem.mayfly-ffffffffffffffffffffffffffffffff";
	CLEAN_FD int fd = -1;
	unsigned i;

	(void)state;
	put(left, "what a killed save has left");
	for (i = 0; i < 5; i++)
		put(others[i], "another's");
	assert_int_equal(mkdir(folder, 0700), 0);
	pair_bench_save("state", "mem", 1, false);
	assert_false(is_there(left));
	for (i = 0; i < 5; i++)
		assert_true(is_there(others[i]));
	assert_true(is_there(folder));
	/* One that is being written is locked. */
	put(left, "another save's");
	fd = open(left, O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	pair_bench_save("state", "mem", 2, false);
	assert_true(is_there(left));
	fd_close(&fd);
	pair_bench_save("state", "mem", 3, false);
	assert_false(is_there(left));
	assert_int_equal(pair_bench_look("state", "mem"), 3);
}

static void two_saves_at_once_let_each_other_be(void **state)
{
	struct state_pair a;
	struct state_pair b;
	struct err e = {0};
	uint8_t *of_a;
	uint8_t *of_b;
	size_t len_a;
	size_t len_b;

	(void)state;
	assert_int_equal(state_pair_begin(&a, "state", "mem", &e), 0);
	of_a = pair_bench_fill(&a, 1, &len_a);
	assert_int_equal(state_pair_begin(&b, "state", "mem", &e), 0);
	of_b = pair_bench_fill(&b, 2, &len_b);
	assert_int_equal(state_pair_commit(&a, of_a, len_a, false, &e), 0);
	assert_int_equal(pair_bench_look("state", "mem"), 1);
	assert_int_equal(state_pair_commit(&b, of_b, len_b, false, &e), 0);
	state_pair_fini(&a);
	state_pair_fini(&b);
	assert_int_equal(pair_bench_look("state", "mem"), 2);
	assert_int_equal(pair_bench_entries(), 2);
	free(of_a);
	free(of_b);
}

int main(void)
{
#define TEST(f) \
	cmocka_unit_test_setup_teardown(f, pair_bench_enter, pair_bench_leave)
	const struct CMUnitTest tests[] = {
		TEST(a_file_is_written_for_us_alone),
		TEST(a_file_is_replaced_and_not_changed),
		TEST(a_link_is_replaced_and_not_followed),
		TEST(what_is_no_file_stays),
		TEST(a_file_of_another_size_than_a_state_is_not_read),
		TEST(a_pair_is_saved_and_replaced),
		TEST(a_pair_may_lie_in_two_folders),
		TEST(a_pair_that_is_given_up_leaves_the_older),
		TEST(one_file_is_no_pair),
		TEST(a_memory_that_can_not_be_named_is_found),
		TEST(a_copied_pair_is_one),
		TEST(only_what_killed_writers_left_is_swept),
		TEST(two_saves_at_once_let_each_other_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
