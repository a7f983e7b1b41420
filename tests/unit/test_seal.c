/* Tags of snapshots' folders: which of them load by which key. */
#include "api/ctl/vm/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/ctl/vm/manifest.h"
#include "vmm/base/fd.h"

static const char machine[] = "{\"version\": 1}";
static const char state[] = "what the guest was";
static const struct state_key none;
static const struct state_key key = {.bytes = "sixteen bytes and", .len = 17};
static const struct state_key other = {.bytes = "sixteen bytes are", .len = 17};

static char path[] = "/tmp/test-seal.XXXXXX";
static int dir;

static void put(const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
			0600);

	assert_true(fd >= 0);
	assert_int_equal(fd_write(fd, text, strlen(text)), 0);
	close(fd);
}

static int setup(void **unused)
{
	(void)unused;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	put(MANIFEST_FILE, machine);
	put(MANIFEST_STATE, state);
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	unlinkat(dir, MANIFEST_FILE, 0);
	unlinkat(dir, MANIFEST_STATE, 0);
	unlinkat(dir, SEAL_FILE, 0);
	close(dir);
	unsetenv("MAYFLY_SNAPSHOT_KEY");
	return 0;
}

/* By what is loaded, as it is when somebody has changed the folder since. */
static void loads(const struct state_key *by)
{
	char text[64] = "";
	struct sealed s;
	struct err e;

	assert_int_equal(seal_open(dir, by, &s, &e), 0);
	if (by->len)
		put(MANIFEST_STATE, "something else now");
	assert_int_equal(fd_pread(s.state_fd, text, strlen(state), 0), 0);
	assert_string_equal(text, state);
	assert_int_equal(fd_pread(s.manifest_fd, text, strlen(machine), 0), 0);
	assert_memory_equal(text, machine, strlen(machine));
	seal_close(&s);
	put(MANIFEST_STATE, state);
}

static void is_refused(const struct state_key *by, const char *why)
{
	struct sealed s;
	struct err e;

	assert_int_equal(seal_open(dir, by, &s, &e), -EKEYREJECTED);
	if (!strstr(e.text, why))
		fail_msg("'%s' says nothing of '%s'", e.text, why);
}

static void a_tag_is_of_one_key_and_both_files(void **unused)
{
	char tag[128] = "";
	struct err e;
	int fd;

	(void)unused;
	loads(&none);
	is_refused(&key, "without a key");
	assert_int_equal(seal_write(dir, &key, false, &e), 0);
	loads(&key);
	is_refused(&none, "--snapshot-key");
	is_refused(&other, "another key");
	put(MANIFEST_STATE, "what the guest is.");
	is_refused(&key, "changed since");
	put(MANIFEST_STATE, state);
	/* What one has lost the other has not won. */
	put(MANIFEST_FILE, "{\"version\": 1}w");
	put(MANIFEST_STATE, state + 1);
	is_refused(&key, "changed since");
	put(MANIFEST_FILE, machine);
	put(MANIFEST_STATE, state);
	loads(&key);
	fd = openat(dir, SEAL_FILE, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fd_pread(fd, tag, 65, 0), 0);
	close(fd);
	tag[64] = '\0';
	put(SEAL_FILE, tag);
	is_refused(&key, "changed since");
	is_refused(&none, "--snapshot-key");
}

/* A folder of somebody's who would have us wait, or look elsewhere. */
static void a_tag_that_is_no_file_is_refused(void **unused)
{
	struct sealed s;
	struct err e;

	(void)unused;
	assert_int_equal(symlinkat("/nowhere", dir, SEAL_FILE), 0);
	assert_true(seal_open(dir, &none, &s, &e) < 0);
	assert_true(seal_open(dir, &key, &s, &e) < 0);
	unlinkat(dir, SEAL_FILE, 0);
	assert_int_equal(mkfifoat(dir, SEAL_FILE, 0600), 0);
	assert_true(seal_open(dir, &none, &s, &e) < 0);
	assert_true(seal_open(dir, &key, &s, &e) < 0);
}

/* Who names a file and has none must not go without by mistake. */
static void a_key_that_is_named_is_there(void **unused)
{
	struct state_key got;
	char file[64];
	struct err e;

	(void)unused;
	assert_int_equal(seal_key(NULL, &got, &e), 0);
	assert_int_equal(got.len, 0);
	assert_true(seal_key("/nowhere/key", &got, &e) < 0);
	setenv("MAYFLY_SNAPSHOT_KEY", "", 1);
	assert_int_equal(seal_key(NULL, &got, &e), 0);
	assert_int_equal(got.len, 0);
	setenv("MAYFLY_SNAPSHOT_KEY", "/nowhere/key", 1);
	assert_true(seal_key(NULL, &got, &e) < 0);
	put(SEAL_FILE, (const char *)key.bytes);
	snprintf(file, sizeof(file), "%s/" SEAL_FILE, path);
	assert_int_equal(seal_key(file, &got, &e), 0);
	assert_int_equal(got.len, key.len);
	assert_memory_equal(got.bytes, key.bytes, key.len);
}

static int make(void **unused)
{
	(void)unused;
	return mkdtemp(path) ? 0 : -1;
}

static int clear(void **unused)
{
	(void)unused;
	return rmdir(path);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_tag_is_of_one_key_and_both_files),
		TEST(a_tag_that_is_no_file_is_refused),
		TEST(a_key_that_is_named_is_there),
	};

	return cmocka_run_group_tests_name("seal", tests, make, clear);
}
