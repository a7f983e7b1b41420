/* What -v makes of what the host has; nothing of it is ever changed. */
#include "api/ctl/vm/volume.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/ctl/base/process.h"
#include "tests/unit/own_dir.h"

/* A file of that length in own_dir, with some bytes at an offset. */
static char *make_file(const char *name, off_t length, off_t at,
		       const void *bytes, size_t len)
{
	static char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", own_dir, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0640);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, length), 0);
	assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
	close(fd);
	return path;
}

static void a_file_is_read(void **state)
{
	struct volume_source s = {0};
	struct volume v;
	struct err e = {0};

	(void)state;
	s.source = make_file("hosts", 5, 0, "hello", 5);
	assert_int_equal(volume_find(&v, &s, &e), 0);
	assert_int_equal(v.kind, VOLUME_FILE);
	assert_true(v.is_read_only && v.len == 5 && v.mode == 0640);
	assert_int_equal(v.uid, geteuid());
	assert_memory_equal(v.bytes, "hello", 5);
	volume_fini(&v);
	s.source = make_file("empty", 0, 0, "", 0);
	assert_int_equal(volume_find(&v, &s, &e), 0);
	assert_true(v.kind == VOLUME_FILE && v.len == 0);
	volume_fini(&v);
	s.source = make_file("large", VOLUME_FILE_MAX, 0, "x", 1);
	assert_int_equal(volume_find(&v, &s, &e), 0);
	assert_int_equal(v.kind, VOLUME_FILE);
	volume_fini(&v);
}

static void a_file_system_is_a_disk(void **state)
{
	static const struct {
		off_t at;
		const char *bytes;
		size_t len;
	} magics[] = {
		{1024, "\xe2\xe1\xf5\xe0", 4},
		{1080, "\x53\xef", 2},
		{0, "hsqs", 4},
	};
	struct volume_source s = {0};
	struct volume v;
	struct err e = {0};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
		s.source = make_file("disk", 4096, magics[i].at,
				     magics[i].bytes, magics[i].len);
		assert_int_equal(volume_find(&v, &s, &e), 0);
		assert_int_equal(v.kind, VOLUME_DISK);
		assert_false(v.is_read_only);
		volume_fini(&v);
	}
	s.is_read_only = true;
	assert_int_equal(volume_find(&v, &s, &e), 0);
	assert_true(v.is_read_only);
	volume_fini(&v);
	s.source = own_dir;
	assert_int_equal(volume_find(&v, &s, &e), 0);
	assert_int_equal(v.kind, VOLUME_DIRECTORY);
	assert_true(v.is_read_only);
	volume_fini(&v);
}

/* One writer, or many readers. */
static void a_disk_is_locked(void **state)
{
	struct volume_source s = {0};
	struct volume first, second;
	struct err e = {0};

	(void)state;
	s.source = make_file("shared", 4096, 0, "hsqs", 4);
	assert_int_equal(volume_find(&first, &s, &e), 0);
	assert_int_equal(volume_find(&second, &s, &e), -EBUSY);
	assert_non_null(strstr(e.text, "another microVM's disk"));
	s.is_read_only = true;
	assert_int_equal(volume_find(&second, &s, &e), -EBUSY);
	volume_fini(&first);
	assert_int_equal(volume_find(&first, &s, &e), 0);
	assert_int_equal(volume_find(&second, &s, &e), 0);
	volume_fini(&first);
	volume_fini(&second);
}

static void refuse(char *source, const char *says)
{
	struct volume_source s = {.source = source};
	struct err e = {0};
	struct volume v;

	assert_true(volume_find(&v, &s, &e) < 0);
	if (!strstr(e.text, says))
		fail_msg("%s: %s", source, e.text);
	/* Nobody is told to change a file of theirs. */
	assert_null(strstr(e.text, "truncate rounds"));
	volume_fini(&v);
}

static void refuses_what_leads_nowhere(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char path[64];

	(void)state;
	refuse(make_file("larger", VOLUME_FILE_MAX + 1, 0, "x", 1),
	       "give the directory it is in");
	snprintf(path, sizeof(path), "%s/none", own_dir);
	refuse(path, "No such file");
	refuse((char[]){"pgdata"}, "no volumes of a name");
	refuse((char[]){"/dev/null"}, "leads nowhere");
	snprintf(path, sizeof(path), "%s/fifo", own_dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	refuse(path, "leads nowhere");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket",
		 own_dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)),
			 0);
	refuse(address.sun_path, "leads nowhere");
	close(fd);
}

/* mkfs.erofs 1.5 would cut it by its last byte. */
static void a_directory_keeps_long_names(void **state)
{
	struct volume_source s = {0};
	char name[NAME_MAX + 1], from[512], *image = NULL;
	struct vm vm = {0};
	struct err e = {0};
	struct volume v;
	struct stat st;

	(void)state;
	vm.state.disk_dir = own_dir;
	snprintf(from, sizeof(from), "%s/tree", own_dir);
	assert_int_equal(mkdir(from, 0700), 0);
	s.source = from;
	assert_int_equal(volume_find(&v, &s, &e), 0);
	memset(name, 'n', NAME_MAX - 1);
	memcpy(name + NAME_MAX - 1, "z", 2);
	snprintf(from, sizeof(from), "%s/tree/%s", own_dir, name);
	assert_int_equal(mkdir(from, 0700), 0);
	if (volume_make(&v, &vm, 7, &e))
		fail_msg("%s", e.text);
	assert_non_null(strstr(v.path, "volume7.erofs"));
	assert_int_equal(stat(v.path, &st), 0);
	assert_int_equal(process_read_file(v.path, 1 << 20, &image, &e), 0);
	assert_non_null(memmem(image, (size_t)st.st_size, name, NAME_MAX));
	free(image);
	volume_fini(&v);
}

/* As large as was asked for, as small as what is in it. */
static void makes_a_disk_to_write_to(void **state)
{
	struct volume_source s = {0};
	struct vm vm = {0};
	struct volume v, found;
	struct err e = {0};
	struct stat st;

	(void)state;
	vm.state.disk_dir = own_dir;
	if (volume_make_scratch(&v, &vm, 1 << 30, &e))
		fail_msg("%s", e.text);
	assert_int_equal(stat(v.path, &st), 0);
	assert_int_equal(st.st_size, 1 << 30);
	assert_true(st.st_blocks < (16 << 20) / 512);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_false(v.is_read_only);
	s.source = v.path;
	assert_int_equal(volume_find(&found, &s, &e), 0);
	assert_int_equal(found.kind, VOLUME_DISK);
	volume_fini(&found);
	assert_int_equal(volume_make_scratch(&v, &vm, 1 << 30, &e), -EEXIST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_read),
		cmocka_unit_test(a_file_system_is_a_disk),
		cmocka_unit_test(a_disk_is_locked),
		cmocka_unit_test(refuses_what_leads_nowhere),
		cmocka_unit_test(a_directory_keeps_long_names),
		cmocka_unit_test(makes_a_disk_to_write_to),
	};

	return cmocka_run_group_tests_name("volume", tests, make_dir,
					   remove_dir);
}
