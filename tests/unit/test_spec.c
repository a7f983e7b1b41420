/*
 * A bundle's config.json, as containerd writes it and as nobody should: what
 * the agent is told, and what is refused with a sentence.
 */
#include "api/ctl/containerd/spec.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/spec_bench.h"

/* What a tmpfs of this size becomes; 0 is as is usual. */
static uint64_t tmpfs_bytes(const char *size)
{
	char text[256];
	uint64_t bytes;

	snprintf(text, sizeof(text),
		 "{\"process\":{\"args\":[\"x\"]},\"root\":{\"path\":\"r\"},"
		 "\"mounts\":[{\"destination\":\"/t\",\"type\":\"tmpfs\","
		 "\"options\":[\"size=%s\"]}]}",
		 size);
	assert_int_equal(bundle_read(text), 0);
	bytes = spec.plan.mounts[0].tmp_bytes;
	spec_fini(&spec);
	return bytes;
}

static void sizes_are_those_of_tmpfs(void **state)
{
	(void)state;
	assert_int_equal(tmpfs_bytes("4096"), 4096);
	assert_int_equal(tmpfs_bytes("65536k"), 64 << 20);
	assert_int_equal(tmpfs_bytes("64M"), 64 << 20);
	assert_true(tmpfs_bytes("1G") == 1ull << 30);
	assert_true(tmpfs_bytes("0x10k") == 16 << 10);
	/* Shares of a memory that is not the host's, and nonsense. */
	assert_int_equal(tmpfs_bytes("50%"), 0);
	assert_int_equal(tmpfs_bytes("-1"), 0);
	assert_int_equal(tmpfs_bytes("99999999999999999999"), 0);
	assert_int_equal(tmpfs_bytes("99999999999t"), 0);
	assert_int_equal(tmpfs_bytes("12kk"), 0);
	assert_int_equal(tmpfs_bytes(""), 0);
}

/* Reads a process with this user. */
static int read_user(const char *user)
{
	char text[4096];

	spec_fini(&spec);
	snprintf(text, sizeof(text),
		 "{\"process\":{\"args\":[\"x\"],\"user\":%s},"
		 "\"root\":{\"path\":\"r\"}}",
		 user);
	return bundle_read(text);
}

static void nobody_becomes_root_by_accident(void **state)
{
	char groups[2048] = "{\"additionalGids\":[1";

	(void)state;
	assert_int_equal(read_user("{\"uid\":4294967295}"), 0);
	assert_string_equal(spec.user, "4294967295:0");
	assert_int_equal(read_user("{\"uid\":4294967296}"), -EINVAL);
	assert_int_equal(read_user("{\"uid\":-1}"), -EINVAL);
	assert_int_equal(read_user("{\"uid\":\"1000\"}"), -EINVAL);
	assert_int_equal(read_user("{\"uid\":7,\"gid\":-1}"), -EINVAL);
	assert_int_equal(read_user("{\"additionalGids\":[5,null]}"), -EINVAL);
	/* None is left out, for what it forbids would be allowed then. */
	for (size_t i = 0, at = strlen(groups); i < 100; i++)
		at += (size_t)snprintf(groups + at, sizeof(groups) - at,
				       ",1000000000%s", i == 99 ? "]}" : "");
	assert_int_equal(read_user(groups), -E2BIG);
	assert_non_null(strstr(err.text, "more groups"));
}

static void says_what_to_run(void **state)
{
	const struct session_plan *p = &spec.plan;

	(void)state;
	assert_int_equal(
		bundle_read(
			"{\"process\":{\"args\":[\"sh\",\"-c\",\"x\"],"
			"\"env\":[\"A=1\"],\"cwd\":\"/w\",\"terminal\":true,"
			"\"consoleSize\":{\"height\":24,\"width\":80},"
			"\"user\":{\"uid\":7,\"gid\":8,"
			"\"additionalGids\":[9,10]},"
			"\"noNewPrivileges\":true,\"capabilities\":"
			"{\"bounding\":[\"CAP_CHOWN\",\"CAP_SETFCAP\","
			"\"CAP_CHECKPOINT_RESTORE\",\"CAP_NONE\"]},"
			"\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\","
			"\"soft\":1024,\"hard\":18446744073709551615}]},"
			"\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
			"\"hostname\":\"box\",\"mounts\":["
			"{\"destination\":\"/proc\",\"type\":\"proc\","
			"\"source\":\"proc\"},"
			"{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\"},"
			"{\"destination\":\"/run\",\"type\":\"tmpfs\","
			"\"options\":[\"nosuid\",\"size=64k\","
			"\"mode=755\"]}]}"),
		0);
	assert_int_equal(p->kind, SESSION_RUN);
	assert_string_equal(p->argv[2], "x");
	assert_null(p->argv[3]);
	assert_string_equal(p->env[0], "A=1");
	assert_string_equal(p->workdir, "/w");
	assert_string_equal(p->user, "7:8:9,10");
	assert_string_equal(p->hostname, "box");
	assert_true(p->has_tty && p->has_no_new_privs && p->is_read_only);
	assert_int_equal(p->size.rows, 24);
	assert_int_equal(p->size.columns, 80);
	assert_true(p->security->bounding ==
		    (1ull << 0 | 1ull << 31 | 1ull << 40));
	assert_int_equal(p->limit_count, 1);
	assert_int_equal(p->limits[0].resource, RLIMIT_NOFILE);
	assert_int_equal(p->limits[0].soft, 1024);
	assert_true(p->limits[0].hard == UINT64_MAX);
	assert_int_equal(p->mount_count, 1);
	assert_string_equal(p->mounts[0].target, "/run");
	assert_int_equal(p->mounts[0].kind, SESSION_TMPFS);
	assert_int_equal(p->mounts[0].tmp_bytes, 65536);
	assert_int_equal(p->mounts[0].mode, 0755);
	assert_true(p->mounts[0].is_no_suid && !p->mounts[0].is_no_exec);
	assert_int_equal(strncmp(spec.root, bundle, strlen(bundle)), 0);
	assert_string_equal(spec.root + strlen(bundle), "/rootfs");
}

static void a_file_is_copied(void **state)
{
	char text[512];

	(void)state;
	/* This one itself. */
	snprintf(text, sizeof(text),
		 "{\"process\":{\"args\":[\"a\"]},\"root\":{\"path\":\"/r\"},"
		 "\"mounts\":[{\"destination\":\"/etc/x\",\"type\":\"bind\","
		 "\"source\":\"%s\",\"options\":[\"rbind\",\"ro\"]}]}",
		 path);
	assert_int_equal(bundle_read(text), 0);
	assert_string_equal(spec.root, "/r");
	assert_int_equal(spec.plan.mounts[0].kind, SESSION_FILE);
	assert_true(spec.plan.mounts[0].is_read_only);
	assert_int_equal(spec.plan.mounts[0].len, strlen(text));
	assert_memory_equal(spec.plan.mounts[0].bytes, text, strlen(text));
}

/* A mount that is read-only with all that is mounted below it, as 2.x has it.
 */
static void read_only_all_the_way_is_read_only(void **state)
{
	char text[512];

	(void)state;
	snprintf(text, sizeof(text),
		 "{\"process\":{\"args\":[\"a\"]},\"root\":{\"path\":\"/r\"},"
		 "\"mounts\":[{\"destination\":\"/etc/x\",\"type\":\"bind\","
		 "\"source\":\"%s\",\"options\":[\"rbind\",\"rro\"]}]}",
		 path);
	assert_int_equal(bundle_read(text), 0);
	assert_true(spec.plan.mounts[0].is_read_only);
}

/* A directory of the kubelet's, below the bundle, with a file in it. */
static void make_volume(char out[static 160], const char *kind)
{
	char command[512];

	snprintf(out, 160, "%s/volumes/kubernetes.io~%s/v", bundle, kind);
	snprintf(command, sizeof(command),
		 "mkdir -p -m 750 %s && echo word >%s/key", out, out);
	assert_int_equal(system(command), 0);
}

static int read_mount(const char *source)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "{\"process\":{\"args\":[\"a\"]},\"root\":{\"path\":\"/r\"},"
		 "\"mounts\":[{\"destination\":\"/v\",\"type\":\"bind\","
		 "\"source\":\"%s\",\"options\":[\"rbind\",\"ro\"]}]}",
		 source);
	return bundle_read(text);
}

static void a_directory_is_shared_or_copied(void **state)
{
	const struct session_mount *m = &spec.plan.mounts[0];
	char source[160], first[32], command[128];
	static const char *const copied[] = {"configmap", "secret", "projected",
					     "downward-api"};

	(void)state;
	make_volume(source, "empty-dir");
	assert_int_equal(read_mount(source), 0);
	assert_int_equal(m->kind, SESSION_SHARED);
	assert_true(m->is_read_only && !m->bytes && m->mode == 0750);
	snprintf(first, sizeof(first), "%s", m->shared);
	assert_int_equal(strlen(first), 24);
	spec_fini(&spec);
	for (size_t i = 0; i < 4; i++) {
		make_volume(source, copied[i]);
		assert_int_equal(read_mount(source), 0);
		assert_int_equal(m->kind, SESSION_SHARED);
		assert_string_not_equal(m->shared, first);
		/* A tar archive with the file. */
		assert_true(m->len >= 1024 && m->len % 512 == 0);
		assert_non_null(memmem(m->bytes, m->len, "key", 3));
		assert_non_null(memmem(m->bytes, m->len, "word\n", 5));
		spec_fini(&spec);
	}
	/* Others where that is said. */
	make_volume(source, "host");
	assert_int_equal(read_mount(source), -ENOTSUP);
	assert_non_null(strstr(err.text, "\"directories\": \"copy\""));
	spec_fini(&spec);
	assert_int_equal(spec_read(&spec, bundle, true, &err), 0);
	assert_true(m->kind == SESSION_SHARED && m->bytes);
	spec_fini(&spec);
	snprintf(command, sizeof(command),
		 "truncate -s 5M %s/volumes/kubernetes.io~host/v/big", bundle);
	assert_int_equal(system(command), 0);
	assert_int_equal(spec_read(&spec, bundle, true, &err), -EFBIG);
	assert_non_null(strstr(err.text, "4 MiB"));
	snprintf(command, sizeof(command), "rm -r %s/volumes", bundle);
	assert_int_equal(system(command), 0);
}

static void what_cannot_be_is_refused(void **state)
{
	static const struct {
		const char *text;
		int code;
		const char *word;
	} bad[] = {
		{"", -EINVAL, ""},
		{"[]", -EINVAL, "no args"},
		{"{\"process\":{\"args\":[]}}", -EINVAL, "no args"},
		{"{\"process\":{\"args\":[1]}}", -EINVAL, "not all text"},
		{"{\"process\":{\"args\":[\"a\"]}}", -EINVAL, "no root"},
		{"{\"process\":{\"args\":[\"a\"]},\"root\":{\"path\":\"r\"},"
		 "\"mounts\":[{\"type\":\"tmpfs\"}]}",
		 -EINVAL, "no destination"},
		{"{\"process\":{\"args\":[\"a\"]},\"root\":{\"path\":\"r\"},"
		 "\"mounts\":[{\"destination\":\"/t\",\"type\":\"bind\","
		 "\"source\":\"/tmp\"}]}",
		 -ENOTSUP, "no way to share"},
		{"{\"process\":{\"args\":[\"a\"]},\"root\":{\"path\":\"r\"},"
		 "\"mounts\":[{\"destination\":\"/t\",\"type\":\"nfs\"}]}",
		 -ENOTSUP, "of type nfs"},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err = (struct err){0};
		assert_int_equal(bundle_read(bad[i].text), bad[i].code);
		assert_non_null(strstr(err.text, bad[i].word));
		assert_true(strlen(err.text) > 0);
		spec_fini(&spec);
	}
}

static void a_pod_is_a_group(void **state)
{
	char group[32];

	(void)state;
	assert_int_equal(
		bundle_read(
			"{\"process\":{\"args\":[\"a\"]},\"root\":{\"path\":"
			"\"r\"},\"annotations\":{\"io.kubernetes.cri."
			"sandbox-id\":\"pod1\"}}"),
		0);
	assert_string_equal(spec.sandbox, "pod1");
	assert_int_equal(spec_group(bundle, group, sizeof(group), &err), 0);
	assert_string_equal(group, "pod1");
}

/* With a container it has a group of its own; a pod's first knows of all. */
static void resources_are_those_of_its_group(void **state)
{
	(void)state;
	assert_int_equal(
		bundle_read(
			"{\"process\":{\"args\":[\"a\"]},\"root\":{\"path\":"
			"\"r\"},\"linux\":{\"resources\":{\"memory\":{"
			"\"limit\":4096}}},\"annotations\":{"
			"\"io.kubernetes.cri.sandbox-id\":\"pod1\","
			"\"io.kubernetes.cri.sandbox-memory\":\"1073741824\","
			"\"io.kubernetes.cri.sandbox-cpu-quota\":\"250000\","
			"\"io.kubernetes.cri.sandbox-cpu-period\":\"100000\"}}"),
		0);
	assert_non_null(spec.plan.group);
	assert_string_equal(spec.plan.group[0], "memory.max");
	assert_string_equal(spec.plan.group[1], "4096");
	assert_null(spec.plan.group[2]);
	assert_int_equal(spec.resources.memory_bytes, 1 << 30);
	assert_int_equal(spec.resources.cpus, 3);
	spec_fini(&spec);
	assert_int_equal(
		bundle_read("{\"process\":{\"args\":[\"a\"]},\"root\":{"
			    "\"path\":\"r\"}}"),
		0);
	assert_non_null(spec.plan.group);
	assert_null(spec.plan.group[0]);
}

static void its_network_is_a_path(void **state)
{
	static const char form[] =
		"{\"process\":{\"args\":[\"a\"]},\"root\":{\"path\":\"r\"},"
		"\"linux\":{\"namespaces\":[{\"type\":\"pid\",\"path\":\"/p\"},"
		"%s]}}";
	char text[256];

	(void)state;
	snprintf(text, sizeof(text), form,
		 "{\"type\":\"network\",\"path\":\"/run/netns/pod\"}");
	assert_int_equal(bundle_read(text), 0);
	assert_string_equal(spec.netns, "/run/netns/pod");
	spec_fini(&spec);
	/* One of its own has nothing in it. */
	snprintf(text, sizeof(text), form, "{\"type\":\"network\"}");
	assert_int_equal(bundle_read(text), 0);
	assert_null(spec.netns);
	assert_false(spec.wants_hosts_network);
	spec_fini(&spec);
	/* The host's is what a list does not have. */
	snprintf(text, sizeof(text), form, "{\"path\":7},3");
	assert_int_equal(bundle_read(text), 0);
	assert_null(spec.netns);
	assert_true(spec.wants_hosts_network);
}

static void an_exec_is_a_process_alone(void **state)
{
	const char text[] = "{\"args\":[\"ls\"],\"cwd\":\"/\"}";

	(void)state;
	assert_int_equal(
		spec_parse_process(&spec, text, sizeof(text) - 1, &err), 0);
	assert_int_equal(spec.plan.kind, SESSION_EXEC);
	assert_string_equal(spec.plan.argv[0], "ls");
	spec_fini(&spec);
	assert_int_equal(spec_parse_process(&spec, text, 5, &err), -EINVAL);
	/* As teardown expects it. */
	assert_int_equal(bundle_read("{"), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(sizes_are_those_of_tmpfs,
						bundle_setup, bundle_teardown),
		cmocka_unit_test_setup_teardown(nobody_becomes_root_by_accident,
						bundle_setup, bundle_teardown),
		cmocka_unit_test_setup_teardown(says_what_to_run, bundle_setup,
						bundle_teardown),
		cmocka_unit_test_setup_teardown(a_file_is_copied, bundle_setup,
						bundle_teardown),
		cmocka_unit_test_setup_teardown(
			read_only_all_the_way_is_read_only, bundle_setup,
			bundle_teardown),
		cmocka_unit_test_setup_teardown(a_directory_is_shared_or_copied,
						bundle_setup, bundle_teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_is_refused,
						bundle_setup, bundle_teardown),
		cmocka_unit_test_setup_teardown(a_pod_is_a_group, bundle_setup,
						bundle_teardown),
		cmocka_unit_test_setup_teardown(
			resources_are_those_of_its_group, bundle_setup,
			bundle_teardown),
		cmocka_unit_test_setup_teardown(its_network_is_a_path,
						bundle_setup, bundle_teardown),
		cmocka_unit_test_setup_teardown(an_exec_is_a_process_alone,
						bundle_setup, bundle_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
