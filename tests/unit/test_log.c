/* The log: the form of a line, what is left out, and that it never blocks. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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

#include "vmm/base/log.h"

enum { LINE_MAX_BYTES = 1024 };

static char folder[64], path[96];
static char content[1 << 20];

static int folder_make(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/test_log.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/log", folder);
	return 0;
}

static int folder_remove(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

/* A log in a fresh file, nothing but the given settings. */
static void log_to_file(enum log_level level, bool show_level, bool show_origin,
			const char *module)
{
	const struct log_config config = {
		.path = path,
		.module = module,
		.level = level,
		.show_level = show_level,
		.show_origin = show_origin,
	};

	unlink(path);
	assert_int_equal(log_configure(&config, NULL), 0);
}

static const char *log_content(void)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd > 0);
	n = read(fd, content, sizeof(content) - 1);
	assert_true(n >= 0);
	content[n] = 0;
	close(fd);
	return content;
}

static unsigned log_lines(void)
{
	const char *p = log_content();
	unsigned n = 0;

	while ((p = strchr(p, '\n'))) {
		p++;
		n++;
	}
	return n;
}

/* 2026-11-21T03:46:08.123456789 and a blank */
static const char *after_time(const char *line)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.ddddddddd ";
	size_t i;

	for (i = 0; form[i]; i++)
		if (form[i] == 'd')
			assert_in_range(line[i], '0', '9');
		else
			assert_int_equal(line[i], form[i]);
	return line + i;
}

static void a_line_has_time_name_thread_and_level(void **state)
{
	(void)state;
	log_set_id("vm-1");
	log_to_file(LOG_INFO, true, false, NULL);
	log_info("hello %d", 7);
	assert_string_equal(after_time(log_content()),
			    "[vm-1:main:INFO] hello 7\n");
}

static void level_and_origin_are_shown_on_demand(void **state)
{
	(void)state;
	log_set_id("vm-1");
	log_to_file(LOG_INFO, false, true, NULL);
	log_line(LOG_WARN, "some/file.c", 42, "x");
	assert_string_equal(after_time(log_content()),
			    "[vm-1:main:some/file.c:42] x\n");
	log_to_file(LOG_INFO, true, true, NULL);
	log_line(LOG_WARN, "some/file.c", 42, "x");
	assert_string_equal(after_time(log_content()),
			    "[vm-1:main:WARN:some/file.c:42] x\n");
	log_to_file(LOG_INFO, false, false, NULL);
	log_line(LOG_WARN, "some/file.c", 42, "x");
	assert_string_equal(after_time(log_content()), "[vm-1:main] x\n");
}

static void lines_below_the_level_are_left_out(void **state)
{
	int level;

	(void)state;
	for (level = LOG_OFF; level <= LOG_TRACE; level++) {
		log_to_file((enum log_level)level, true, false, NULL);
		log_error("e");
		log_warn("w");
		log_info("i");
		log_debug("d");
		log_line(LOG_TRACE, __FILE__, __LINE__, "t");
		assert_int_equal(log_lines(), level);
		assert_true(!level || log_wants((enum log_level)level));
		if (level < LOG_TRACE)
			assert_false(log_wants((enum log_level)(level + 1)));
	}
}

static void only_files_of_the_module_are_told(void **state)
{
	(void)state;
	log_to_file(LOG_INFO, true, false, "devices/virtio");
	log_line(LOG_INFO, "devices/virtio/ring.c", 1, "in");
	log_line(LOG_INFO, "devices/block.c", 1, "out");
	log_line(LOG_INFO, "devices", 1, "out");
	assert_int_equal(log_lines(), 1);
	assert_non_null(strstr(log_content(), "] in\n"));
}

static void control_characters_cannot_forge_a_line(void **state)
{
	(void)state;
	log_to_file(LOG_INFO, true, false, NULL);
	log_info("a%sb", "\n2026 [x] forged\r\t\x1b[31m\x7f");
	assert_int_equal(log_lines(), 1);
	assert_non_null(
		strstr(log_content(), "] a 2026 [x] forged   [31m b\n"));
	/* CSI of C1, in UTF-8 and as one byte; an Umlaut is none. */
	log_info("a%sb", "\xc2\x9b"
			 "2J\x9b"
			 "31m\xc3\xa4\xfc");
	assert_non_null(strstr(log_content(), "] a  2J 31m\xc3\xa4\xfc"
					      "b\n"));
}

static void a_long_line_is_cut_and_still_ends(void **state)
{
	static char word[4096];
	size_t len, got;

	(void)state;
	memset(word, 'x', sizeof(word) - 1);
	for (len = 900; len < 1100; len++) {
		log_to_file(LOG_INFO, true, false, NULL);
		log_info("%.*s", (int)len, word);
		got = strlen(log_content());
		assert_true(got < LINE_MAX_BYTES);
		assert_int_equal(log_lines(), 1);
		assert_int_equal(content[got - 1], '\n');
	}
	log_to_file(LOG_INFO, true, true, NULL);
	log_line(LOG_INFO, word, 1, "%s", word);
	assert_int_equal(log_lines(), 1);
	assert_true(strlen(content) < LINE_MAX_BYTES);
}

static void errno_survives_a_line(void **state)
{
	(void)state;
	log_to_file(LOG_INFO, true, false, NULL);
	errno = EDOM;
	log_info("x");
	assert_int_equal(errno, EDOM);
}

static void levels_are_known_by_word_in_any_case(void **state)
{
	static const struct {
		const char *word;
		enum log_level level;
	} words[] = {
		{"Off", LOG_OFF},     {"error", LOG_ERROR},
		{"Warn", LOG_WARN},   {"WARNING", LOG_WARN},
		{"Info", LOG_INFO},   {"dEbUg", LOG_DEBUG},
		{"Trace", LOG_TRACE},
	};
	static const char *const strangers[] = {"",	 "inf",	 "infos",
						"warn ", " off", "3"};
	enum log_level level;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		assert_int_equal(log_level_parse(words[i].word, &level), 0);
		assert_int_equal(level, words[i].level);
	}
	level = LOG_DEBUG;
	for (i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
		assert_int_equal(log_level_parse(strangers[i], &level),
				 -EINVAL);
	assert_int_equal(level, LOG_DEBUG);
}

static void a_failed_change_changes_nothing(void **state)
{
	const struct log_config bad = {
		.path = "/nonexistent/folder/log",
		.level = LOG_TRACE,
	};
	struct err e = {0};

	(void)state;
	log_to_file(LOG_INFO, true, false, NULL);
	assert_int_equal(log_configure(&bad, &e), -ENOENT);
	assert_non_null(strstr(e.text, bad.path));
	assert_false(log_wants(LOG_DEBUG));
	log_info("still here");
	assert_non_null(strstr(log_content(), ":INFO] still here\n"));
}

static void no_path_keeps_the_destination(void **state)
{
	const struct log_config config = {.level = LOG_DEBUG};

	(void)state;
	log_to_file(LOG_INFO, true, false, NULL);
	log_info("one");
	assert_int_equal(log_configure(&config, NULL), 0);
	log_debug("two");
	assert_int_equal(log_lines(), 2);
}

static void a_new_file_takes_over_and_an_old_one_is_appended_to(void **state)
{
	const struct log_config config = {.path = path, .level = LOG_INFO};
	struct stat st;
	int before, after;

	(void)state;
	log_to_file(LOG_INFO, true, false, NULL);
	log_info("one");
	before = dup(STDERR_FILENO);
	close(before);
	assert_int_equal(log_configure(&config, NULL), 0);
	log_info("two");
	assert_int_equal(log_lines(), 2);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	after = dup(STDERR_FILENO);
	close(after);
	assert_true(after <= before + 1);
	assert_int_equal(log_configure(&config, NULL), 0);
	assert_int_equal(log_configure(&config, NULL), 0);
	before = dup(STDERR_FILENO);
	close(before);
	assert_int_equal(before, after); /* each old one was closed */
}

/* A pipe that is full costs lines, not time. */
static void a_reader_that_stops_costs_lines_and_no_time(void **state)
{
	const struct log_config config = {.path = path, .level = LOG_INFO};
	const uint64_t before = log_lost();
	unsigned i;

	(void)state;
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(log_configure(&config, NULL), 0);
	for (i = 0; i < 5000; i++)
		log_info("a line that nobody is there to read, number %u", i);
	assert_true(log_lost() > before);
	assert_true(log_lost() < before + 5000);
}

static void *speak(void *arg)
{
	log_set_thread(arg);
	log_info("from here");
	return NULL;
}

static void a_thread_has_a_name_of_its_own(void **state)
{
	static char name[] = "vcpu 0", long_name[] = "a name far too long";
	pthread_t thread;

	(void)state;
	log_set_id("vm-1");
	log_to_file(LOG_INFO, true, false, NULL);
	assert_int_equal(pthread_create(&thread, NULL, speak, name), 0);
	pthread_join(thread, NULL);
	assert_int_equal(pthread_create(&thread, NULL, speak, long_name), 0);
	pthread_join(thread, NULL);
	log_info("from main");
	assert_non_null(strstr(log_content(), "[vm-1:vcpu 0:INFO] from here"));
	assert_non_null(strstr(content, "[vm-1:a name far too :INFO] from"));
	assert_non_null(strstr(content, "[vm-1:main:INFO] from main"));
}

static void *speak_often(void *arg)
{
	unsigned i;

	(void)arg;
	for (i = 0; i < 500; i++)
		log_info("0123456789 0123456789 0123456789 0123456789");
	return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
	static const char want[] =
		"[vm-1:main:INFO] 0123456789 0123456789 0123456789 0123456789";
	pthread_t threads[4];
	const char *p;
	unsigned i;

	(void)state;
	log_set_id("vm-1");
	log_to_file(LOG_INFO, true, false, NULL);
	for (i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, speak_often, NULL),
			0);
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	p = log_content();
	for (i = 0; i < 2000; i++) {
		p = after_time(p);
		assert_memory_equal(p, want, sizeof(want) - 1);
		assert_int_equal(p[sizeof(want) - 1], '\n');
		p += sizeof(want);
	}
	assert_int_equal(*p, 0);
}

/* The descriptor that is open for a file; -1 for none. */
static int fd_of(const char *name)
{
	struct stat want, have;
	int fd;

	assert_int_equal(stat(name, &want), 0);
	for (fd = 3; fd < 64; fd++)
		if (!fstat(fd, &have) && have.st_ino == want.st_ino &&
		    have.st_dev == want.st_dev)
			return fd;
	return -1;
}

/*
 * Another thread may be about to write to the log's descriptor: if the number
 * became that of a disk, the line would end there.
 */
static void the_log_moves_and_keeps_its_descriptor(void **state)
{
	struct log_config config = {.level = LOG_INFO, .show_level = true};
	char other[96];
	pthread_t threads[4];
	int fd, i;

	(void)state;
	snprintf(other, sizeof(other), "%s/other", folder);
	log_to_file(LOG_INFO, true, false, NULL);
	fd = fd_of(path);
	assert_true(fd >= 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, speak_often, NULL),
			0);
	for (i = 0; i < 100; i++) {
		config.path = i % 2 ? path : other;
		config.module = i % 3 ? "tests/unit" : NULL;
		assert_int_equal(log_configure(&config, NULL), 0);
		assert_int_equal(fd_of(config.path), fd);
	}
	for (i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	unlink(other);
}

static void a_limited_line_comes_ten_times_and_is_counted(void **state)
{
	struct log_limit limit = {0};
	uint32_t dropped = 77;
	unsigned i;

	(void)state;
	for (i = 0; i < 10; i++) {
		assert_true(log_limit_pass(&limit, &dropped));
		assert_int_equal(dropped, 0);
	}
	for (i = 0; i < 25; i++)
		assert_false(log_limit_pass(&limit, &dropped));
	/* Six seconds ago instead of now. */
	limit.window_start_ns -= 6000000000ULL;
	assert_true(log_limit_pass(&limit, &dropped));
	assert_int_equal(dropped, 25);
	assert_true(log_limit_pass(&limit, &dropped));
	assert_int_equal(dropped, 0);
}

static void a_guest_that_misbehaves_writes_ten_lines(void **state)
{
	unsigned i;

	(void)state;
	log_to_file(LOG_INFO, true, false, NULL);
	for (i = 0; i < 1000; i++)
		log_warn_limited("bad descriptor %u", i);
	assert_int_equal(log_lines(), 10);
	assert_non_null(strstr(content, "bad descriptor 9\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_time_name_thread_and_level),
		cmocka_unit_test(level_and_origin_are_shown_on_demand),
		cmocka_unit_test(lines_below_the_level_are_left_out),
		cmocka_unit_test(only_files_of_the_module_are_told),
		cmocka_unit_test(control_characters_cannot_forge_a_line),
		cmocka_unit_test(a_long_line_is_cut_and_still_ends),
		cmocka_unit_test(errno_survives_a_line),
		cmocka_unit_test(levels_are_known_by_word_in_any_case),
		cmocka_unit_test(a_failed_change_changes_nothing),
		cmocka_unit_test(no_path_keeps_the_destination),
		cmocka_unit_test(
			a_new_file_takes_over_and_an_old_one_is_appended_to),
		cmocka_unit_test(a_reader_that_stops_costs_lines_and_no_time),
		cmocka_unit_test(a_thread_has_a_name_of_its_own),
		cmocka_unit_test(lines_of_threads_do_not_mix),
		cmocka_unit_test(the_log_moves_and_keeps_its_descriptor),
		cmocka_unit_test(a_limited_line_comes_ten_times_and_is_counted),
		cmocka_unit_test(a_guest_that_misbehaves_writes_ten_lines),
	};

	return cmocka_run_group_tests_name("log", tests, folder_make,
					   folder_remove);
}
