/* A monitor's stderr: bounded, its begin and its end kept, nobody waiting. */
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

#include "api/ctl/base/process.h"
#include "api/ctl/vm/monitor_log.h"

static struct monitor_log kept;
static char path[64];

static int set_up(void **state)
{
	struct err e;
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "/tmp/mayfly-log.XXXXXX");
	fd = mkstemp(path);
	if (fd < 0)
		return -1;
	close(fd);
	return monitor_log_open(&kept, path, &e);
}

static int tear_down(void **state)
{
	(void)state;
	monitor_log_close(&kept);
	return unlink(path);
}

static void say(const char *line)
{
	assert_int_equal(write(kept.write_fd, line, strlen(line)),
			 strlen(line));
}

/* What the file holds; the caller's to free. */
static char *text_of(size_t *len)
{
	struct err e = {0};
	char *text = NULL;
	struct stat st;

	if (process_read_file(path, 4 * MONITOR_LOG_MAX, &text, &e) ||
	    stat(path, &st))
		fail_msg("%s", e.text);
	*len = (size_t)st.st_size;
	return text;
}

static void what_is_said_is_kept(void **state)
{
	size_t len;
	char *text;

	(void)state;
	say("one\n");
	say("two\n");
	assert_int_equal(monitor_log_drain(&kept), -EAGAIN);
	say("three\n");
	close(kept.write_fd);
	kept.write_fd = -1;
	assert_int_equal(monitor_log_drain(&kept), -EPIPE);
	text = text_of(&len);
	assert_string_equal(text, "one\ntwo\nthree\n");
	free(text);
}

static void a_flood_leaves_its_begin_and_its_end(void **state)
{
	char line[64], said[200];
	unsigned i, parts;
	size_t len;
	char *text;

	(void)state;
	for (i = 0; i < 3 * MONITOR_LOG_MAX / 32; i++) {
		snprintf(line, sizeof(line), "line %026u\n", i);
		say(line);
		if (i % 1000 == 0)
			(void)monitor_log_drain(&kept);
	}
	close(kept.write_fd);
	kept.write_fd = -1;
	assert_int_equal(monitor_log_drain(&kept), -EPIPE);
	text = text_of(&len);
	assert_true(len <= MONITOR_LOG_MAX);
	assert_true(len >= MONITOR_LOG_FIRST);
	assert_memory_equal(text, "line 00000000000000000000000000\n", 32);
	assert_memory_equal(text + len - 32, line, 32);
	for (parts = 0, i = 0; i + 8 < len; i++)
		parts += !strncmp(text + i, "left out", 8);
	assert_int_equal(parts, 1);
	free(text);
	line[31] = '\0';
	monitor_log_said(path, said, sizeof(said));
	assert_string_equal(said + strlen("the monitor ended: "), line);
}

/* Others append, too, as the shim does. */
static void what_others_write_counts(void **state)
{
	char block[4096];
	int fd = open(path, O_WRONLY | O_APPEND);
	struct stat st;
	unsigned i;

	(void)state;
	memset(block, 'x', sizeof(block));
	for (i = 0; i < MONITOR_LOG_MAX / sizeof(block); i++)
		assert_int_equal(write(fd, block, sizeof(block)),
				 sizeof(block));
	close(fd);
	say("the last\n");
	(void)monitor_log_drain(&kept);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size < MONITOR_LOG_FIRST + 100);
}

/* As one that stands still must not stop its monitor. */
static void a_reader_that_is_late_costs_lines(void **state)
{
	char block[4096];
	unsigned i;

	(void)state;
	memset(block, 'x', sizeof(block));
	for (i = 0; i < 1000; i++)
		if (write(kept.write_fd, block, sizeof(block)) < 0)
			break;
	assert_true(i < 1000);
	assert_int_equal(errno, EAGAIN);
}

static void without_words_there_is_no_reason(void **state)
{
	char said[200];

	(void)state;
	monitor_log_said(path, said, sizeof(said));
	assert_string_equal(said, "the monitor ended");
	say("\x1b[31mred\n\n");
	(void)monitor_log_drain(&kept);
	monitor_log_said(path, said, sizeof(said));
	assert_string_equal(said, "the monitor ended: \\x1b[31mred");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_said_is_kept, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			a_flood_leaves_its_begin_and_its_end, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(what_others_write_counts,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_reader_that_is_late_costs_lines, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			without_words_there_is_no_reason, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
