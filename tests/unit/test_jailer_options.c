/* The jailer's command line: what clients pass, and every way to get it wrong.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "jailer/options.h"

#define NEEDED "--id a --exec-file /bin/fc --uid 1 --gid 2 "

static char copy[8192];
static char *args[128];

/* Splits text at blanks; "" in it stands for an empty argument. */
static int parse(const char *text, struct jail_options *o, struct err *e)
{
	int argc = 1;
	char *at = copy, *next;

	snprintf(copy, sizeof(copy), "%s", text);
	args[0] = copy;
	while ((next = strsep(&at, " ")))
		if (*next)
			args[argc++] = strcmp(next, "\"\"") ? next : next + 2;
	memset(e, 0, sizeof(*e));
	return jail_options_parse(o, argc, args, e);
}

static void accept(const char *text, struct jail_options *o)
{
	struct err e;

	if (parse(text, o, &e))
		fail_msg("%s\n  gave: %s", text, e.text);
}

static void refuse(const char *text, const char *words)
{
	struct jail_options o;
	struct err e;

	assert_int_equal(parse(text, &o, &e), -EINVAL);
	if (!strstr(e.text, words))
		fail_msg("%s\n  gave: %s\n  not: %s", text, e.text, words);
}

static void defaults_are_the_known_ones(void **state)
{
	struct jail_options o;

	(void)state;
	accept(NEEDED, &o);
	assert_false(o.memory_exec || o.die_with_parent);
	assert_string_equal(o.id, "a");
	assert_string_equal(o.exec_file, "/bin/fc");
	assert_string_equal(o.exec_name, "fc");
	assert_string_equal(o.chroot_base_dir, "/srv/jailer");
	assert_int_equal(o.uid, 1);
	assert_int_equal(o.gid, 2);
	assert_int_equal(o.cgroup_version, 1);
	assert_int_equal(o.cgroup_count, 0);
	assert_true(o.no_file == 2048 && !o.has_no_file);
	assert_false(o.has_fsize || o.daemonize || o.new_pid_ns || o.help);
	assert_null(o.netns);
	assert_null(o.parent_cgroup);
	assert_int_equal(o.extra_count, 0);
}

static void what_clients_pass_is_taken(void **state)
{
	struct jail_options o;

	(void)state;
	/* firecracker-go-sdk */
	accept("--id vm-1 --uid 123 --gid 100 --exec-file /usr/bin/fc "
	       "--cgroup cpuset.mems=0 --cgroup cpuset.cpus=0-3,8 "
	       "--cgroup-version 2 --chroot-base-dir /tmp/base "
	       "--netns /var/run/netns/x --daemonize -- --no-seccomp "
	       "--api-sock /run/s",
	       &o);
	assert_string_equal(o.id, "vm-1");
	assert_int_equal(o.cgroup_count, 2);
	assert_string_equal(o.cgroups[0].file, "cpuset.mems");
	assert_int_equal(o.cgroups[0].controller_len, 6);
	assert_string_equal(o.cgroups[1].value, "0-3,8");
	assert_int_equal(o.cgroup_version, 2);
	assert_string_equal(o.chroot_base_dir, "/tmp/base");
	assert_string_equal(o.netns, "/var/run/netns/x");
	assert_true(o.daemonize && !o.new_pid_ns);
	assert_int_equal(o.extra_count, 3);
	assert_string_equal(o.extra[0], "--no-seccomp");
	assert_string_equal(o.extra[2], "/run/s");
	accept(NEEDED "--memory-exec --die-with-parent "
		      "--new-pid-ns --parent-cgroup vms/web "
		      "--resource-limit fsize=250000000 "
		      "--resource-limit no-file=1024 "
		      "--cgroup=io.max=8:0=rbps",
	       &o);
	assert_true(o.new_pid_ns && o.has_fsize);
	assert_true(o.memory_exec && o.die_with_parent);
	assert_true(o.fsize_bytes == 250000000 && o.no_file == 1024 &&
		    o.has_no_file);
	assert_string_equal(o.parent_cgroup, "vms/web");
	assert_string_equal(o.cgroups[0].file, "io.max");
	assert_string_equal(o.cgroups[0].value, "8:0=rbps");
	accept(NEEDED "--pass-fds 3,7,2147483647 --minimal-dev", &o);
	assert_int_equal(o.fd_count, 3);
	assert_int_equal(o.fds[1], 7);
	assert_int_equal(o.fds[2], 2147483647);
	assert_true(o.minimal_dev);
	refuse("--id a --exec-file /b --uid 0 --gid 2", "--uid 0 is root");
	refuse("--id a --exec-file /b --uid 1 --gid 0", "--gid 0 is root");
	accept("--id a --exec-file /b --uid 0 --gid 0 --allow-root", &o);
	refuse(NEEDED "--pass-fds 2", "ascending order");
	refuse(NEEDED "--pass-fds 4,4", "ascending order");
	refuse(NEEDED "--pass-fds 3,,4", "ascending order");
	refuse(NEEDED "--pass-fds 2147483648", "ascending order");
}

static void what_follows_two_hyphens_is_not_ours(void **state)
{
	struct jail_options o;

	(void)state;
	accept(NEEDED "-- --id x --help -- --uid", &o);
	assert_string_equal(o.id, "a");
	assert_false(o.help);
	assert_int_equal(o.extra_count, 5);
	accept(NEEDED "--", &o);
	assert_int_equal(o.extra_count, 0);
	refuse("-- " NEEDED, "--id ID is missing");
}

static void help_and_version_need_nothing_else(void **state)
{
	struct jail_options o;

	(void)state;
	accept("--help", &o);
	assert_true(o.help);
	accept("--version", &o);
	assert_true(o.version);
}

static void each_required_flag_is_missed(void **state)
{
	(void)state;
	refuse("", "--id ID is missing");
	refuse("--id a", "--exec-file PATH is missing");
	refuse("--id a --exec-file /f", "--uid UID is missing");
	refuse("--id a --exec-file /f --uid 1", "--gid GID is missing");
}

static void an_id_is_1_to_64_letters_digits_and_hyphens(void **state)
{
	char text[128], id[66];
	struct jail_options o;

	(void)state;
	memset(id, 'z', sizeof(id));
	id[64] = 0;
	snprintf(text, sizeof(text), "--exec-file f --uid 1 --gid 1 --id %s",
		 id);
	accept(text, &o);
	id[64] = 'z';
	id[65] = 0;
	snprintf(text, sizeof(text), "--exec-file f --uid 1 --gid 1 --id %s",
		 id);
	refuse(text, "--id needs");
	accept("--id aZ-09 --exec-file f --uid 1 --gid 1", &o);
	refuse("--id a_b", "--id needs");
	refuse("--id a/b", "--id needs");
	refuse("--id ..", "--id needs");
	refuse("--id a.b", "--id needs");
	refuse("--id \xc3\xa9", "--id needs");
	refuse("--id \"\"", "--id needs a value");
}

static void an_exec_file_has_a_name(void **state)
{
	char text[400], name[260];
	struct jail_options o;

	(void)state;
	refuse("--exec-file /", "--exec-file needs");
	refuse("--exec-file /bin/", "--exec-file needs");
	refuse("--exec-file /bin/..", "--exec-file needs");
	refuse("--exec-file .", "--exec-file needs");
	memset(name, 'n', sizeof(name));
	name[JAIL_NAME_MAX] = 0;
	snprintf(text, sizeof(text), "--id a --uid 1 --gid 1 --exec-file /x/%s",
		 name);
	accept(text, &o);
	assert_string_equal(o.exec_name, name);
	name[JAIL_NAME_MAX] = 'n';
	name[JAIL_NAME_MAX + 1] = 0;
	snprintf(text, sizeof(text), "--exec-file /x/%s", name);
	refuse(text, "--exec-file needs");
}

/* 4294967295 would mean "stay root" to setresuid(). */
static void an_owner_is_a_number_below_the_last(void **state)
{
	struct jail_options o;

	(void)state;
	accept("--id a --exec-file f --uid 0 --gid 4294967294 --allow-root",
	       &o);
	assert_int_equal(o.uid, 0);
	assert_true(o.gid == 4294967294U);
	refuse("--uid 4294967295", "--uid needs a number from 0");
	refuse("--gid 4294967295", "--gid needs a number from 0");
	refuse("--uid 4294967296", "--uid needs");
	refuse("--uid 18446744073709551616", "--uid needs");
	refuse("--uid -1", "--uid needs");
	refuse("--uid +1", "--uid needs");
	refuse("--uid 1x", "--uid needs");
	refuse("--uid 0x1", "--uid needs");
	refuse("--gid root", "--gid needs");
}

static void a_base_does_not_climb(void **state)
{
	struct jail_options o;

	(void)state;
	accept(NEEDED "--chroot-base-dir /a//b..c/...", &o);
	accept(NEEDED "--chroot-base-dir rel/./a/", &o);
	refuse("--chroot-base-dir /a/../b", "without '..'");
	refuse("--chroot-base-dir ..", "without '..'");
	refuse("--chroot-base-dir /a/..", "without '..'");
	refuse("--chroot-base-dir ../a", "without '..'");
}

static void a_parent_cgroup_stays_below(void **state)
{
	struct jail_options o;

	(void)state;
	accept(NEEDED "--parent-cgroup a", &o);
	accept(NEEDED "--parent-cgroup a.slice/...", &o);
	refuse("--parent-cgroup /a", "--parent-cgroup needs");
	refuse("--parent-cgroup a/", "--parent-cgroup needs");
	refuse("--parent-cgroup a//b", "--parent-cgroup needs");
	refuse("--parent-cgroup a/../b", "--parent-cgroup needs");
	refuse("--parent-cgroup ..", "--parent-cgroup needs");
	refuse("--parent-cgroup ./a", "--parent-cgroup needs");
}

static void a_cgroup_is_a_file_of_a_controller(void **state)
{
	char text[256];
	struct jail_options o;

	(void)state;
	accept(NEEDED "--cgroup hugetlb.2MB.limit_in_bytes=0", &o);
	assert_int_equal(o.cgroups[0].controller_len, 7);
	refuse("--cgroup cpu.shares", "--cgroup needs");
	refuse("--cgroup cpu.shares=", "--cgroup needs");
	refuse("--cgroup =1", "--cgroup needs");
	refuse("--cgroup cpu=1", "--cgroup needs");
	refuse("--cgroup cpu.=1", "--cgroup needs");
	refuse("--cgroup .cpu=1", "--cgroup needs");
	refuse("--cgroup ../x.y=1", "--cgroup needs");
	refuse("--cgroup cpu/x.y=1", "--cgroup needs");
	refuse("--cgroup cpu./y=1", "--cgroup needs");
	memset(text, 'f', sizeof(text));
	memcpy(text, "--cgroup c.", 11);
	memcpy(text + 9 + JAIL_CGROUP_FILE_MAX, "=1", 3);
	refuse(text, "--cgroup needs");
	refuse("--cgroup-version 3", "--cgroup-version needs 1 or 2");
	refuse("--cgroup-version 02", "--cgroup-version needs 1 or 2");
}

static void one_cgroup_too_many_is_refused(void **state)
{
	char text[1024];
	struct jail_options o;
	size_t at = (size_t)snprintf(text, sizeof(text), NEEDED);
	unsigned i;

	(void)state;
	for (i = 0; i < JAIL_CGROUPS_MAX; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at,
				       "--cgroup a.b=%u ", i);
	accept(text, &o);
	assert_int_equal(o.cgroup_count, JAIL_CGROUPS_MAX);
	assert_string_equal(o.cgroups[JAIL_CGROUPS_MAX - 1].value, "31");
	snprintf(text + at, sizeof(text) - at, "--cgroup a.b=1");
	refuse(text, "--cgroup can be given 32 times");
}

static void a_resource_limit_is_one_of_two(void **state)
{
	struct jail_options o;

	(void)state;
	accept(NEEDED "--resource-limit fsize=0", &o);
	assert_true(o.has_fsize && o.fsize_bytes == 0);
	accept(NEEDED "--resource-limit fsize=18446744073709551615", &o);
	refuse("--resource-limit fsize=18446744073709551616", "needs fsize=");
	refuse("--resource-limit fsize", "needs fsize=");
	refuse("--resource-limit fsize=", "needs fsize=");
	refuse("--resource-limit no-file=-1", "needs fsize=");
	refuse("--resource-limit nproc=1", "needs fsize=");
}

static void mistakes_are_sentences(void **state)
{
	(void)state;
	refuse("x", "unknown argument 'x'");
	refuse("-h", "unknown argument '-h'");
	refuse("---id a", "unknown argument '---id'");
	refuse("--idd a", "unknown argument '--idd'");
	refuse("--i a", "unknown argument '--i'");
	refuse("--id", "--id needs a value: ID");
	refuse("--id --uid 1", "--id needs a value: ID");
	refuse("--id --", "--id needs a value: ID");
	refuse("--id=", "--id needs a value: ID");
	refuse("--id a --id a", "--id is given twice");
	refuse("--uid 1 --uid=1", "--uid is given twice");
	refuse("--daemonize=1", "--daemonize takes no value");
	refuse("--daemonize yes", "unknown argument 'yes'");
	refuse("--netns \"\"", "--netns needs a value: PATH");
}

static void the_help_names_every_flag(void **state)
{
	static const char *const flags[] = {
		"--id ",
		"--exec-file ",
		"--uid ",
		"--gid ",
		"--netns ",
		"--chroot-base-dir ",
		"--daemonize ",
		"--cgroup ",
		"--new-pid-ns ",
		"--cgroup-version ",
		"--version ",
		"--parent-cgroup ",
		"--resource-limit ",
		"--help ",
	};
	char *text = NULL;
	size_t len, i;
	FILE *f = open_memstream(&text, &len);

	(void)state;
	jail_options_help(f);
	fclose(f);
	for (i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (!strstr(text, flags[i]))
			fail_msg("%s is not in the help", flags[i]);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_the_known_ones),
		cmocka_unit_test(what_clients_pass_is_taken),
		cmocka_unit_test(what_follows_two_hyphens_is_not_ours),
		cmocka_unit_test(help_and_version_need_nothing_else),
		cmocka_unit_test(each_required_flag_is_missed),
		cmocka_unit_test(an_id_is_1_to_64_letters_digits_and_hyphens),
		cmocka_unit_test(an_exec_file_has_a_name),
		cmocka_unit_test(an_owner_is_a_number_below_the_last),
		cmocka_unit_test(a_base_does_not_climb),
		cmocka_unit_test(a_parent_cgroup_stays_below),
		cmocka_unit_test(a_cgroup_is_a_file_of_a_controller),
		cmocka_unit_test(one_cgroup_too_many_is_refused),
		cmocka_unit_test(a_resource_limit_is_one_of_two),
		cmocka_unit_test(mistakes_are_sentences),
		cmocka_unit_test(the_help_names_every_flag),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
