/* The config file: how it is read, and files that nobody wrote. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/config.h"

/* No more than must be said. */
static const char least[] = "{\"boot-source\": {\"kernel_image_path\": \"k\"},"
			    "\n\"drives\": []}";

static int load(const char *path, struct err *e)
{
	struct vm_config c;
	int rc;

	memset(e, 0, sizeof(*e));
	config_init(&c);
	rc = config_load(&c, path, e);
	config_fini(&c);
	return rc;
}

static void files_are_read_whole_and_bounded(void **state)
{
	char path[] = "/tmp/test_config.XXXXXX", name[64];
	const char *text = least;
	int fd = mkstemp(path), pipes[2];
	struct err e;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(load(path, &e), -EINVAL);
	assert_non_null(strstr(e.text, path));
	assert_non_null(strstr(e.text, "line 1"));
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(load(path, &e), 0);
	assert_int_equal(ftruncate(fd, (1 << 20) + 1), 0);
	assert_int_equal(load(path, &e), -EFBIG);
	close(fd);
	unlink(path);
	assert_int_equal(load(path, &e), -ENOENT);
	assert_int_equal(load("/tmp", &e), -EISDIR);
	assert_int_equal(load("/dev/zero", &e), -EINVAL);
	assert_string_equal(e.text, "the config file /dev/zero is a character "
				    "device; give a regular file or a FIFO");
	/* What has no size, such as the /dev/fd of a shell. */
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], text, strlen(text)), strlen(text));
	close(pipes[1]);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", pipes[0]);
	assert_int_equal(load(name, &e), 0);
	close(pipes[0]);
}

static uint32_t random_next(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

static void mutations_are_taken_or_refused(void **state)
{
	static const char seed[] =
		"{\"boot-source\": {\"kernel_image_path\": \"k\", "
		"\"boot_args\": \"x\"}, \"drives\": ["
		"{\"drive_id\": \"r\", \"is_root_device\": true, "
		"\"path_on_host\": \"/r\"}, "
		"{\"drive_id\": \"d\", \"is_root_device\": false, "
		"\"path_on_host\": \"/d\"}], "
		"\"machine-config\": {\"vcpu_count\": 12, "
		"\"mem_size_mib\": 128, \"smt\": true}, "
		"\"logger\": {\"level\": \"Info\"}}";
	static const char salt[] = "\"{}[],:0919.-eE \\untrfalse";
	uint32_t x = 521288629U;
	unsigned good = 0;
	int round;

	(void)state;
	for (round = 0; round < 50000; round++) {
		uint32_t n = random_next(&x) % 3 + 1;
		char text[sizeof(seed)];
		struct vm_config c;
		struct err e = {0};

		memcpy(text, seed, sizeof(seed));
		while (n--)
			text[random_next(&x) % (sizeof(seed) - 1)] =
				random_next(&x) % 4 ? salt[random_next(&x) %
							   (sizeof(salt) - 1)]
						    : (char)random_next(&x);
		config_init(&c);
		if (!config_parse(&c, text, sizeof(seed) - 1, &e)) {
			char line[4096];

			assert_in_range(c.machine.vcpu_count, 1, 32);
			assert_true(c.machine.mem_size_mib >= 1);
			assert_int_equal(
				config_cmdline(&c, line, sizeof(line), &e), 0);
			good++;
		} else {
			assert_true(e.code < 0 && e.text[0]);
		}
		config_fini(&c);
	}
	assert_in_range(good, 1, 49999);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_read_whole_and_bounded),
		cmocka_unit_test(mutations_are_taken_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
