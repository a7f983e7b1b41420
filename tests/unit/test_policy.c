/* Policies of --seccomp-filter: what is taken, and what each mistake gets. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/policy.h"
#include "vmm/base/log.h"
#include "vmm/seccomp/compile.h"

static char path[] = "/tmp/mayfly-policy-XXXXXX";
static char log_path[] = "/tmp/mayfly-policy-log-XXXXXX";

static void write_text(const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f)
		fail_msg("%s", path);
	else
		assert_true(fputs(text, f) >= 0);
	if (f)
		assert_int_equal(fclose(f), 0);
}

static void free_all(struct sock_fprog programs[FILTERS])
{
	unsigned i;

	for (i = 0; i < FILTERS; i++)
		free(programs[i].filter);
}

/* The log since the last time. */
static const char *logged(void)
{
	static char text[4096];
	FILE *f = fopen(log_path, "r+");
	size_t n;

	if (!f) {
		fail_msg("%s", log_path);
		return "";
	}
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	assert_int_equal(ftruncate(fileno(f), 0), 0);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void refused(const char *text, const char *words)
{
	struct sock_fprog programs[FILTERS] = {{0}};
	struct err e = {0};

	write_text(text);
	assert_true(policy_load(path, programs, &e) < 0);
	assert_null(programs[0].filter);
	if (!strstr(e.text, words) || !strstr(e.text, path))
		fail_msg("%s\n gave: %s\n not: %s", text, e.text, words);
}

static void mistakes_are_sentences(void **state)
{
	static const char form[] = "a rule is {\"syscall\": NAME";

	(void)state;
	refused("", "line 1");
	refused("{", "line 1");
	refused("[]", "an object with vcpu, loop, worker, pages, state, start");
	refused("{\"vpcu\": []}", "'vpcu' is no thread; there are vcpu, "
				  "loop, worker, pages, state and start");
	refused("{\"vcpu\": [], \"vcpu\": []}", "duplicate");
	refused("{\"vcpu\": 1}", "vcpu: a list of at most 512 rules");
	refused("{\"vcpu\": [1]}", form);
	refused("{\"vcpu\": [{}]}", "vcpu[0]: ");
	refused("{\"vcpu\": [{\"syscall\": 1}]}", form);
	refused("{\"loop\": [{\"syscall\": \"read\"}, {\"syscall\": "
		"\"no_such\"}]}",
		"there is no system call 'no_such'");
	refused("{\"vcpu\": [{\"syscall\": \"read\", \"args\": 1}]}", form);
	refused("{\"vcpu\": [{\"syscall\": \"read\", \"args\": "
		"[{\"index\": 6, \"mask\": 1, \"value\": 1}]}]}",
		form);
	refused("{\"vcpu\": [{\"syscall\": \"read\", \"args\": "
		"[{\"index\": 0, \"mask\": -1, \"value\": 1}]}]}",
		form);
	refused("{\"vcpu\": [{\"syscall\": \"read\", \"args\": [1, 2, 3]}]}",
		form);
	refused("{\"vcpu\": [{\"syscall\": \"read\", \"errno\": 5000}]}", form);
}

static void a_file_that_is_not_there(void **state)
{
	struct sock_fprog programs[FILTERS] = {{0}};
	struct err e = {0};

	(void)state;
	assert_true(policy_load("/no/such/file", programs, &e) < 0);
	assert_non_null(strstr(e.text, "/no/such/file"));
}

static void fewer_rules_are_taken_silently(void **state)
{
	struct sock_fprog programs[FILTERS] = {{0}};
	struct err e = {0};

	(void)state;
	(void)logged();
	write_text("{\"vcpu\": [{\"syscall\": \"futex\"}], \"loop\": "
		   "[{\"syscall\": \"read\", \"comment\": \"why\"}, "
		   "{\"syscall\": \"openat\", \"errno\": 13}]}");
	assert_int_equal(policy_load(path, programs, &e), 0);
	assert_string_equal(logged(), "");
	assert_true(programs[FILTER_VCPU].len > 0);
	assert_true(programs[FILTER_LOOP].len > programs[FILTER_VCPU].len);
	free_all(programs);
}

/* Whether a program is what is built in, of its rules and those within it. */
static bool is_built_in(const struct sock_fprog *program, enum filter_kind kind)
{
	const struct rules *all[FILTERS], *parts[FILTERS];
	struct sock_fprog own;
	struct err e = {0};
	unsigned i;
	bool is_same;

	for (i = 0; i < FILTERS; i++)
		all[i] = &rules_tables[i];
	assert_int_equal(compile_rules(parts, compile_tables(kind, all, parts),
				       &own, &e),
			 0);
	is_same = own.len == program->len &&
		  !memcmp(own.filter, program->filter,
			  own.len * sizeof(*own.filter));
	free(own.filter);
	return is_same;
}

/* A policy from before there was a table "state" keeps what is built in. */
static void what_is_not_named_stays(void **state)
{
	struct sock_fprog programs[FILTERS] = {{0}};
	struct err e = {0};
	unsigned i;

	(void)state;
	write_text("{}");
	assert_int_equal(policy_load(path, programs, &e), 0);
	for (i = 0; i < FILTERS; i++)
		assert_true(is_built_in(&programs[i], i));
	free_all(programs);
	write_text("{\"state\": []}");
	assert_int_equal(policy_load(path, programs, &e), 0);
	assert_true(is_built_in(&programs[FILTER_VCPU], FILTER_VCPU));
	assert_true(is_built_in(&programs[FILTER_LOOP], FILTER_LOOP));
	assert_true(is_built_in(&programs[FILTER_WORKER], FILTER_WORKER));
	assert_false(is_built_in(&programs[FILTER_STATE], FILTER_STATE));
	/* Which is made of all of them. */
	assert_false(is_built_in(&programs[FILTER_START], FILTER_START));
	/* Of state the loop's are left. */
	assert_int_equal(programs[FILTER_STATE].len, programs[FILTER_LOOP].len);
	free_all(programs);
}

static void more_than_is_needed_is_told(void **state)
{
	struct sock_fprog programs[FILTERS] = {{0}};
	struct err e = {0};
	const char *told;

	(void)state;
	/* A condition left out allows more, too. */
	write_text("{\"vcpu\": [{\"syscall\": \"futex\"}, {\"syscall\": "
		   "\"execve\"}, {\"syscall\": \"ioctl\"}]}");
	assert_int_equal(policy_load(path, programs, &e), 0);
	told = logged();
	assert_non_null(strstr(told, "allows more than mayfly needs: vcpu[1], "
				     "execve"));
	assert_non_null(strstr(told, "vcpu[2], ioctl"));
	assert_null(strstr(told, "futex"));
	free_all(programs);
}

static int setup(void **state)
{
	struct log_config config = {.path = log_path, .level = LOG_WARN};
	int fd = mkstemp(path), log_fd = mkstemp(log_path);
	struct err e;

	(void)state;
	if (fd < 0 || log_fd < 0 || log_configure(&config, &e))
		return -1;
	close(fd);
	close(log_fd);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return unlink(path) || unlink(log_path) ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistakes_are_sentences),
		cmocka_unit_test(a_file_that_is_not_there),
		cmocka_unit_test(fewer_rules_are_taken_silently),
		cmocka_unit_test(what_is_not_named_stays),
		cmocka_unit_test(more_than_is_needed_is_told),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
