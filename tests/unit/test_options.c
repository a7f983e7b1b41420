/* The command line: what clients pass, and every way to get it wrong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/options.h"

/* Splits text at blanks; "" in it stands for an empty argument. */
static int parse(const char *text, struct options *o, struct err *e)
{
	static char copy[1024];
	char *argv[32] = {copy};
	int argc = 1;
	char *at, *save = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	for (at = strtok_r(copy, " ", &save); at;
	     at = strtok_r(NULL, " ", &save))
		argv[argc++] = strcmp(at, "\"\"") ? at : at + 2;
	memset(e, 0, sizeof(*e));
	return options_parse(o, argc, argv, e);
}

static void refuse(const char *text, const char *words)
{
	struct options o;
	struct err e;

	assert_int_equal(parse(text, &o, &e), -EINVAL);
	if (!strstr(e.text, words))
		fail_msg("%s\n  gave: %s\n  not: %s", text, e.text, words);
}

static void defaults_are_the_known_ones(void **state)
{
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(parse("", &o, &e), 0);
	assert_string_equal(o.api_sock, "/run/firecracker.socket");
	assert_string_equal(o.id, "anonymous-instance");
	assert_true(o.payload_max_bytes == 51200);
	assert_null(o.config_file);
	assert_false(o.no_api);
}

static void what_clients_pass_is_taken(void **state)
{
	struct options o;
	struct err e;

	(void)state;
	/* firecracker-go-sdk, one or the other */
	assert_int_equal(
		parse("--api-sock /tmp/s --id a-1 --no-seccomp", &o, &e), 0);
	assert_string_equal(o.api_sock, "/tmp/s");
	assert_string_equal(o.id, "a-1");
	assert_true(o.no_seccomp);
	assert_int_equal(parse("--seccomp-filter /tmp/f", &o, &e), 0);
	assert_string_equal(o.seccomp_filter, "/tmp/f");
	/* flintlock, but for --metadata */
	assert_int_equal(
		parse("--id x --boot-timer --no-api --config-file f", &o, &e),
		0);
	assert_true(o.boot_timer && o.no_api);
	assert_string_equal(o.config_file, "f");
	/* the jailer */
	assert_int_equal(parse("--id x --start-time-us 18446744073709551615 "
			       "--start-time-cpu-us 2 --parent-cpu-time-us 3 "
			       "--api-sock s",
			       &o, &e),
			 0);
	assert_true(o.start_time_us == UINT64_MAX);
	assert_true(o.start_time_cpu_us == 2 && o.parent_cpu_time_us == 3);
	assert_int_equal(
		parse("--level=debug --log-path=l --module m --show-level "
		      "--show-log-origin --http-api-max-payload-size 1 "
		      "--timing",
		      &o, &e),
		0);
	assert_string_equal(o.level, "debug");
	assert_true(o.show_level && o.show_log_origin && o.timing);
	assert_true(o.payload_max_bytes == 1);
	assert_int_equal(parse("--help", &o, &e), 0);
	assert_true(o.help);
	assert_int_equal(parse("--no-api --version", &o, &e), 0);
	assert_true(o.version);
}

static void mistakes_are_sentences(void **state)
{
	(void)state;
	refuse("x", "unknown argument 'x'");
	refuse("--enable-pci", "--enable-pci is not supported");
	refuse("--no-seccomp --seccomp-filter f", "leave one out");
	refuse("-h", "unknown argument '-h'");
	refuse("--", "unknown argument '--'");
	refuse("--apisock s", "unknown argument '--apisock'");
	refuse("--api-sockk s", "unknown argument");
	refuse("--api-sock", "--api-sock needs a value: PATH");
	refuse("--api-sock=", "--api-sock needs a value");
	refuse("--api-sock \"\"", "--api-sock needs a value");
	refuse("--api-sock --no-api", "--api-sock needs a value");
	refuse("--api-sock a --api-sock b", "--api-sock is given twice");
	refuse("--no-api=1 --config-file f", "--no-api takes no value");
	refuse("--no-api", "--no-api needs --config-file");
	refuse("--level loud", "not 'loud'");
	refuse("--kvm-fd 2", "3 or more, not '2'");
	refuse("--vsock-fd 2", "3 or more, not '2'");
	refuse("--file-fds 4,3", "ascending order");
	refuse("--api-fd 2147483648", "3 or more");
	refuse("--api-fd 3x", "needs a number");
	refuse("--api-fd 3 --no-api --config-file f", "leave one out");
	refuse("--id a_b", "--id needs");
	refuse("--id a/b", "--id needs");
	refuse("--id "
	       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	       "--id needs");
	refuse("--start-time-us x", "needs a number");
	refuse("--start-time-us -1", "needs a number");
	refuse("--start-time-us +1", "needs a number");
	refuse("--start-time-us 1x", "needs a number");
	refuse("--start-time-us 18446744073709551616", "needs a number");
	refuse("--http-api-max-payload-size 0", "needs 1 to");
	refuse("--http-api-max-payload-size 1073741825", "needs 1 to");
}

static void what_is_not_there_yet_is_refused(void **state)
{
	(void)state;
	refuse("--metadata f", "--metadata is not supported");
	refuse("--mmds-size-limit 1", "--mmds-size-limit is not supported");
	refuse("--enable-pci", "--enable-pci is not supported");
}

static void questions_need_nothing_else(void **state)
{
	struct options o;
	struct err e;

	(void)state;
	assert_int_equal(parse("--snapshot-version", &o, &e), 0);
	assert_true(o.snapshot_version && options_is_question(&o));
	assert_int_equal(parse("--describe-snapshot f --no-api", &o, &e), 0);
	assert_string_equal(o.describe, "f");
	assert_true(options_is_question(&o));
	refuse("--describe-snapshot", "--describe-snapshot needs");
	assert_int_equal(parse("--id a", &o, &e), 0);
	assert_false(options_is_question(&o));
}

static char *printed(void (*print)(FILE *))
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	print(f);
	fclose(f);
	return text;
}

static void the_version_satisfies_clients(void **state)
{
	char *text = printed(options_version);
	unsigned major, minor, patch;
	char word[32];

	(void)state;
	/* The whole of the first line, and nothing else in it. */
	assert_int_equal(strncmp(text, "Firecracker v", 13), 0);
	assert_int_equal(strcspn(text, "\n"),
			 13 + strspn(text + 13, "0123456789."));
	assert_int_equal(
		sscanf(text, "%31s v%u.%u.%u", word, &major, &minor, &patch),
		4);
	assert_true(major > 0 || minor > 21 || (minor == 21 && patch >= 1));
	assert_non_null(strstr(text, "\nmayfly v" MAYFLY_VERSION "\n"));
	free(text);
}

static void the_help_names_every_flag(void **state)
{
	static const char *const flags[] = {
		"api-sock",
		"id",
		"config-file",
		"no-api",
		"metadata",
		"log-path",
		"level",
		"module",
		"show-level",
		"show-log-origin",
		"metrics-path",
		"seccomp-filter",
		"no-seccomp",
		"boot-timer",
		"start-time-us",
		"start-time-cpu-us",
		"parent-cpu-time-us",
		"http-api-max-payload-size",
		"mmds-size-limit",
		"version",
		"snapshot-version",
		"describe-snapshot",
		"snapshot-key",
		"enable-pci",
		"help",
		"timing",
	};
	char *text = printed(options_help);
	char flag[64];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		snprintf(flag, sizeof(flag), "--%s", flags[i]);
		assert_non_null(strstr(text, flag));
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_the_known_ones),
		cmocka_unit_test(what_clients_pass_is_taken),
		cmocka_unit_test(mistakes_are_sentences),
		cmocka_unit_test(what_is_not_there_yet_is_refused),
		cmocka_unit_test(questions_need_nothing_else),
		cmocka_unit_test(the_version_satisfies_clients),
		cmocka_unit_test(the_help_names_every_flag),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
