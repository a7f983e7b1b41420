/* Images that are kept: their keys, their store, and what needs none. */
#include "api/ctl/image/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/ctl/base/process.h"
#include "api/ctl/containerd/disk.h"
#include "api/ctl/containerd/key.h"
#include "tests/unit/own_dir.h"
#include "vmm/base/fd.h"

/* ---- the store ---------------------------------------------------------- */

static unsigned writes;
static size_t write_len = 8192;
static int write_result;

static int write_one(void *ctx, const char *path, struct err *e)
{
	char *bytes = calloc(1, write_len);
	CLEAN_FD int fd =
		open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	(void)ctx;
	assert_non_null(bytes);
	assert_true(fd >= 0);
	memset(bytes, 'x', write_len);
	assert_int_equal(fd_write(fd, bytes, write_len), 0);
	free(bytes);
	writes++;
	return write_result ? err_set(e, write_result, "it fails") : 0;
}

static struct image_kept_maker maker = {write_one, NULL, 1 << 20};

static const char *key(char digit)
{
	static char text[IMAGE_HEX_SIZE];

	memset(text, digit, sizeof(text) - 1);
	return text;
}

static int take(char digit, struct image_kept *out)
{
	struct err e = {0};

	return image_kept_take(key(digit), &maker, out, &e);
}

static bool is_there(char digit)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/store/kept/%s", own_dir, key(digit));
	return !access(path, F_OK);
}

/* As if it was used so many seconds before now. */
static void age(char digit, int seconds)
{
	const time_t then = time(NULL) - seconds;
	const struct timespec times[2] = {{.tv_sec = then}, {.tv_sec = then}};
	char path[256];

	snprintf(path, sizeof(path), "%s/store/kept/%s", own_dir, key(digit));
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static unsigned temps(void)
{
	char path[256], word[64] = "";
	FILE *out;

	snprintf(path, sizeof(path), "ls %s/store/tmp | wc -l", own_dir);
	out = popen(path, "r");
	assert_non_null(out);
	assert_non_null(fgets(word, sizeof(word), out));
	pclose(out);
	return (unsigned)atoi(word);
}

static int use_store(void **state)
{
	char path[256];

	(void)state;
	snprintf(path, sizeof(path), "rm -rf %s/store", own_dir);
	if (system(path))
		return -1;
	snprintf(path, sizeof(path), "%s/store", own_dir);
	writes = 0;
	write_result = 0;
	maker.max_bytes = 1 << 20;
	return setenv("MAYFLY_STORE", path, 1);
}

static void is_made_once(void **state)
{
	struct image_kept one, two;

	(void)state;
	assert_int_equal(take('a', &one), 0);
	assert_int_equal(take('a', &two), 0);
	assert_int_equal(writes, 1);
	assert_string_equal(one.path, two.path);
	assert_int_equal(fcntl(one.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	fd_close(&one.fd);
	fd_close(&two.fd);
	assert_int_equal(temps(), 0);
}

static void a_failure_leaves_nothing(void **state)
{
	struct image_kept one;

	(void)state;
	write_result = -EIO;
	assert_int_equal(take('a', &one), -EIO);
	assert_int_equal(one.fd, -1);
	assert_false(is_there('a'));
	assert_int_equal(temps(), 0);
}

static int kill_self(void *ctx, const char *path, struct err *e)
{
	(void)write_one(ctx, path, e);
	raise(SIGKILL);
	return 0;
}

static void a_kill_leaves_no_half(void **state)
{
	struct image_kept one;
	pid_t pid = fork();

	(void)state;
	if (!pid) {
		maker.write = kill_self;
		take('a', &one);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(is_there('a'));
	assert_int_equal(temps(), 1);
	image_kept_sweep();
	assert_int_equal(temps(), 0);
	assert_int_equal(take('a', &one), 0);
	assert_int_equal(writes, 1);
	fd_close(&one.fd);
}

static void two_at_once_make_one(void **state)
{
	struct image_kept one;
	int status;
	pid_t pids[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		pids[i] = fork();
		if (!pids[i])
			_exit(take('a', &one) ? 9 : (int)writes);
	}
	for (int i = 0, sum = 0; i < 4; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status));
		sum += WEXITSTATUS(status);
		if (i == 3)
			assert_int_equal(sum, 1);
	}
}

static void the_longest_unused_goes_first(void **state)
{
	struct image_kept held, one;

	(void)state;
	assert_int_equal(take('a', &held), 0);
	assert_int_equal(take('b', &one), 0);
	fd_close(&one.fd);
	assert_int_equal(take('c', &one), 0);
	fd_close(&one.fd);
	age('a', 300);
	age('b', 200);
	age('c', 100);
	/* To be used makes it young. */
	assert_int_equal(take('b', &one), 0);
	fd_close(&one.fd);
	maker.max_bytes = 3 * 8192;
	assert_int_equal(take('d', &one), 0);
	fd_close(&one.fd);
	assert_true(is_there('a'));
	assert_true(is_there('b'));
	assert_false(is_there('c'));
	assert_true(is_there('d'));
	/* What is larger than all that may be is there while it is used. */
	maker.max_bytes = 1;
	assert_int_equal(take('e', &one), 0);
	assert_true(is_there('a') && is_there('e'));
	assert_false(is_there('b') || is_there('d'));
	fd_close(&held.fd);
	fd_close(&one.fd);
	assert_int_equal(take('f', &one), 0);
	assert_false(is_there('a') || is_there('e'));
	fd_close(&one.fd);
}

/* ---- keys --------------------------------------------------------------- */

static void in_dir(char out[256], const char *name)
{
	snprintf(out, 256, "%s/%s", own_dir, name);
}

static int make_layers(void **state)
{
	static const char *const names[] = {"low1", "low2", "upper", "work"};
	char path[256];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		in_dir(path, names[i]);
		if (mkdir(path, 0755))
			return -1;
	}
	return 0;
}

static int remove_layers(void **state)
{
	char command[400];

	(void)state;
	snprintf(command, sizeof(command),
		 "cd %s && rm -rf low1 low2 upper work", own_dir);
	return system(command);
}

static bool key_with(const char *options, const char *type, char hex[KEY_SIZE])
{
	char text[1024], source[] = "overlay", kind[16];
	struct rootfs_mount m = {kind, source, text};
	const struct rootfs r = {.mounts = &m, .count = 1};
	char *at = text;

	snprintf(kind, sizeof(kind), "%s", type);
	/* @ is the directory. */
	for (; *options; options++)
		at += snprintf(at, 256, *options == '@' ? "%s" : "%.1s",
			       *options == '@' ? own_dir : options);
	*at = '\0';
	return key_of(&r, hex);
}

#define USUAL "index=off,workdir=@/work,upperdir=@/upper,lowerdir=@/low1:@/low2"

static void a_key_is_of_the_layers(void **state)
{
	char one[KEY_SIZE], two[KEY_SIZE], path[256], moved[256];

	(void)state;
	assert_true(key_with(USUAL, "overlay", one));
	assert_true(image_is_hex(one));
	assert_true(key_with("index=off,upperdir=@/upper,"
			     "lowerdir=@/low1:@/low2",
			     "overlay", two));
	assert_string_equal(one, two);
	assert_true(
		key_with("index=off,lowerdir=@/low2:@/low1", "overlay", two));
	assert_string_not_equal(one, two);
	assert_true(key_with("metacopy=on,upperdir=@/upper,"
			     "lowerdir=@/low1:@/low2",
			     "overlay", two));
	assert_string_not_equal(one, two);
	/* Another directory in the place of one. */
	in_dir(path, "low1");
	in_dir(moved, "low3");
	assert_int_equal(rename(path, moved), 0);
	assert_int_equal(mkdir(path, 0755), 0);
	assert_true(key_with(USUAL, "overlay", two));
	assert_string_not_equal(one, two);
	assert_int_equal(rmdir(moved), 0);
}

static void what_was_written_to_has_no_key(void **state)
{
	char one[KEY_SIZE], two[KEY_SIZE], path[256];

	(void)state;
	assert_true(key_with(USUAL, "overlay", one));
	in_dir(path, "upper");
	assert_int_equal(chmod(path, 0700), 0);
	assert_true(key_with(USUAL, "overlay", two));
	assert_string_not_equal(one, two);
	in_dir(path, "upper/file");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_false(key_with(USUAL, "overlay", two));
}

static void what_is_not_known_has_no_key(void **state)
{
	static const char *const bad[] = {
		"upperdir=@/upper,workdir=@/work",
		"lowerdir=@/low1:@/nothing",
		"lowerdir=@/low1::@/low2",
		"lowerdir=low1",
		"lowerdir=@/low1\\:@/low2",
		"lowerdir=@/low1,lowerdir+=@/low2",
		"lowerdir=@/low1,datadir+=@/low2",
		"lowerdir=@/low1,upperdir=@/nothing",
		/* A file system that numbers nothing by itself. */
		"lowerdir=/proc/self",
	};
	char hex[KEY_SIZE];

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (key_with(bad[i], "overlay", hex))
			fail_msg("%s has a key", bad[i]);
	assert_false(key_with(USUAL, "bind", hex));
}

/* ---- what is a disk by itself ------------------------------------------- */

static int opened(const char *type, const char *name, const char *options,
		  struct disk *d)
{
	char kind[16], path[256], text[64];
	struct rootfs_mount m = {kind, path, text};
	const struct rootfs r = {.mounts = &m, .count = 1};
	struct err e = {0};

	snprintf(kind, sizeof(kind), "%s", type);
	snprintf(text, sizeof(text), "%s", options);
	in_dir(path, name);
	return disk_open(&r, d, &e);
}

static int is_disk(const char *type, const char *name, const char *options)
{
	struct disk d;
	const int rc = opened(type, name, options, &d);

	assert_true((rc > 0) == (d.fd >= 0));
	fd_close(&d.fd);
	return rc;
}

static void change(const char *name, off_t at, uint8_t byte)
{
	char path[256];
	CLEAN_FD int fd = -1;

	in_dir(path, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static uint8_t byte_of(const char *name, off_t at)
{
	char path[256];
	CLEAN_FD int fd = -1;
	uint8_t byte = 0;

	in_dir(path, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	return byte;
}

/* Whether it is still a disk with another byte there. */
static int is_disk_with(const char *type, const char *name, off_t at,
			uint8_t byte)
{
	const uint8_t before = byte_of(name, at);
	int rc;

	change(name, at, byte);
	rc = is_disk(type, name, "ro");
	change(name, at, before);
	return rc;
}

static void images_are_disks(void **state)
{
	char command[600];
	struct disk d;

	(void)state;
	snprintf(command, sizeof(command),
		 "cd %s && mkdir tree && echo x >tree/file && "
		 "mkfs.erofs -zlz4 e tree >/dev/null && "
		 "PATH=$PATH:/sbin:/usr/sbin mke2fs -q -t ext4 -d tree x 4M",
		 own_dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(opened("erofs", "e", "ro,loop", &d), 1);
	assert_true(d.bytes && d.bytes <= (uint64_t)d.st.st_size);
	fd_close(&d.fd);
	assert_int_equal(opened("ext4", "x", "loop", &d), 1);
	assert_int_equal(d.bytes, 4 << 20);
	fd_close(&d.fd);
	/* As something else, or with words that change what is seen. */
	assert_int_equal(is_disk("ext4", "e", "ro"), 0);
	assert_int_equal(is_disk("xfs", "x", "ro"), 0);
	assert_int_equal(is_disk("erofs", "e", "ro,device=/dev/sda"), 0);
	assert_int_equal(is_disk("ext4", "x", "ro,sb=8193"), 0);
	/* What the guest's kernel has not. */
	assert_int_equal(is_disk_with("erofs", "e", 1024 + 12, 9), 0);
	assert_int_equal(is_disk_with("erofs", "e", 1024 + 80, 0x40), 0);
	assert_int_equal(is_disk_with("erofs", "e", 1024 + 86, 1), 0);
	assert_int_equal(is_disk_with("erofs", "e", 1024 + 39, 1), 0);
	assert_int_equal(is_disk_with("ext4", "x", 1024 + 98, 1), 0);
	assert_int_equal(is_disk_with("ext4", "x", 1024 + 58, 0), 0);
	assert_int_equal(is_disk_with("ext4", "x", 1024 + 24, 6), 0);
	/* A journal that is to be replayed: INCOMPAT_RECOVER. */
	assert_int_equal(is_disk_with("ext4", "x", 1024 + 96,
				      byte_of("x", 1024 + 96) | 4),
			 0);
	/* Shorter than it says; empty. */
	snprintf(command, sizeof(command), "cd %s && truncate -s 1M x && : >e",
		 own_dir);
	assert_int_equal(system(command), 0);
	assert_int_equal(is_disk("ext4", "x", "ro"), 0);
	assert_int_equal(is_disk("erofs", "e", "ro"), 0);
}

static void others_are_refused_without_waiting(void **state)
{
	char path[256];

	(void)state;
	in_dir(path, "fifo");
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_true(is_disk("erofs", "fifo", "ro") < 0);
	assert_true(is_disk("ext4", "nothing", "ro") < 0);
	assert_true(is_disk("ext4", ".", "ro") < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(is_made_once, use_store),
		cmocka_unit_test_setup(a_failure_leaves_nothing, use_store),
		cmocka_unit_test_setup(a_kill_leaves_no_half, use_store),
		cmocka_unit_test_setup(two_at_once_make_one, use_store),
		cmocka_unit_test_setup(the_longest_unused_goes_first,
				       use_store),
		cmocka_unit_test_setup_teardown(a_key_is_of_the_layers,
						make_layers, remove_layers),
		cmocka_unit_test_setup_teardown(what_was_written_to_has_no_key,
						make_layers, remove_layers),
		cmocka_unit_test_setup_teardown(what_is_not_known_has_no_key,
						make_layers, remove_layers),
		cmocka_unit_test(images_are_disks),
		cmocka_unit_test(others_are_refused_without_waiting),
	};

	return cmocka_run_group_tests_name("kept", tests, make_dir, remove_dir);
}
