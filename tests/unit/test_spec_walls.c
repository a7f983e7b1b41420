/*
 * What config.json says of a container's walls: what the agent is told of it,
 * what is refused with a sentence, and that a seccomp profile becomes the
 * filter that it describes.
 */
#include "api/ctl/containerd/spec.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/spec_bench.h"

static char text[1 << 20];

/* A bundle with this process (besides args) and this "linux". */
static int read_parts(const char *process, const char *mounts,
		      const char *linux_part)
{
	char *whole;
	int rc;

	if (asprintf(
		    &whole,
		    "{\"process\":{\"args\":[\"x\"]%s%s},\"root\":{\"path\":\"r\"},"
		    "\"mounts\":[%s],\"linux\":{%s}}",
		    *process ? "," : "", process, mounts, linux_part) < 0)
		abort();
	spec_fini(&spec);
	err = (struct err){0};
	rc = bundle_read(whole);
	free(whole);
	return rc;
}

static int read_linux(const char *linux_part)
{
	return read_parts("", "", linux_part);
}

static void refuses(const char *linux_part, int code, const char *word)
{
	assert_int_equal(read_linux(linux_part), code);
	assert_non_null(strstr(err.text, word));
}

/* ---- rights ------------------------------------------------------------- */

static void five_sets_are_apart(void **state)
{
	const struct session_security *s = &spec.security;
	const char exec[] = "{\"args\":[\"ls\"],\"user\":{\"umask\":63},"
			    "\"capabilities\":{\"effective\":[\"CAP_CHOWN\"]}}";

	(void)state;
	assert_int_equal(
		read_parts("\"capabilities\":{\"bounding\":[\"CAP_CHOWN\","
			   "\"CAP_KILL\",\"CAP_NONE\",7],\"effective\":["
			   "\"CAP_KILL\"],\"permitted\":[\"CAP_KILL\","
			   "\"CAP_CHOWN\"],\"inheritable\":[\"CAP_SETUID\"],"
			   "\"ambient\":[\"CAP_SETGID\"]},\"user\":{"
			   "\"umask\":0},\"oomScoreAdj\":-998",
			   "", ""),
		0);
	assert_true(s->has_sets);
	assert_int_equal(s->bounding, 1 << 0 | 1 << 5);
	assert_int_equal(s->effective, 1 << 5);
	assert_int_equal(s->permitted, 1 << 0 | 1 << 5);
	assert_int_equal(s->inheritable, 1 << 7);
	assert_int_equal(s->ambient, 1 << 6);
	assert_true(s->has_umask && s->umask == 0);
	assert_true(s->has_score && s->score == -998);
	assert_ptr_equal(spec.plan.security, s);
	/* What says nothing has nothing. */
	assert_int_equal(read_linux(""), 0);
	assert_true(s->has_sets && !s->bounding && !s->effective);
	assert_false(s->has_umask || s->has_score || s->filter_len);
	spec_fini(&spec);
	assert_int_equal(
		spec_parse_process(&spec, exec, sizeof(exec) - 1, &err), 0);
	assert_true(s->has_sets && s->effective == 1 && s->umask == 077);
	spec_fini(&spec);
	/* An exec that says nothing has what the container has. */
	assert_int_equal(
		spec_parse_process(&spec, "{\"args\":[\"ls\"]}", 15, &err), 0);
	assert_false(s->has_sets || s->has_umask);
	for (size_t i = 0; i < 4; i++) {
		static const char *const bad[] = {
			"\"oomScoreAdj\":1001", "\"oomScoreAdj\":\"1\"",
			"\"user\":{\"umask\":512}", "\"user\":{\"umask\":-1}"};

		assert_int_equal(read_parts(bad[i], "", ""), -EINVAL);
		assert_non_null(
			strstr(err.text, i < 2 ? "oomScoreAdj" : "umask"));
	}
}

/* ---- paths, sysctls, mounts --------------------------------------------- */

static void paths_are_taken(void **state)
{
	const struct session_security *s = &spec.security;
	size_t at;

	(void)state;
	assert_int_equal(read_linux("\"maskedPaths\":[\"/a\",\"/b\"],"
				    "\"readonlyPaths\":[\"/c\"]"),
			 0);
	assert_string_equal(s->hidden[1], "/b");
	assert_null(s->hidden[2]);
	assert_string_equal(s->fixed[0], "/c");
	assert_null(s->fixed[1]);
	refuses("\"maskedPaths\":[\"a\"]", -EINVAL, "maskedPaths");
	refuses("\"readonlyPaths\":[7]", -EINVAL, "readonlyPaths");
	at = (size_t)snprintf(text, sizeof(text), "\"maskedPaths\":[\"/a\"");
	for (int i = 0; i < 256; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, ",\"/a\"");
	snprintf(text + at, sizeof(text) - at, "]");
	refuses(text, -E2BIG, "more than 256 paths");
}

static void sysctls_are_those_of_namespaces(void **state)
{
	static const char *const bad[] = {
		"kernel.hostname", "kernel.panic",	  "vm.swappiness",
		"fs.file-max",	   "kernel.shmmaxx",	  "net.//.kernel.panic",
		"net.a b",	   "net/../kernel/panic", "net/ipv4/..",
	};
	const struct session_security *s = &spec.security;

	(void)state;
	assert_int_equal(
		read_linux("\"sysctl\":{\"net.ipv4.conf.eno2/100.rp_filter\":"
			   "\"1\",\"net/ipv4/conf/a.b/rp_filter\":\"2\","
			   "\"kernel.shmmax\":\"3\",\"fs.mqueue.msg_max\":"
			   "\"4\"}"),
		0);
	assert_string_equal(s->sysctls[0], "net/ipv4/conf/eno2.100/rp_filter");
	assert_string_equal(s->sysctls[1], "1");
	assert_string_equal(s->sysctls[2], "net/ipv4/conf/a.b/rp_filter");
	assert_string_equal(s->sysctls[4], "kernel/shmmax");
	assert_string_equal(s->sysctls[6], "fs/mqueue/msg_max");
	assert_null(s->sysctls[8]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "\"sysctl\":{\"%s\":\"1\"}",
			 bad[i]);
		refuses(text, -EINVAL, bad[i]);
	}
	refuses("\"sysctl\":{\"net.x\":1}", -EINVAL, "no text");
}

static void the_kernels_mounts_are_as_asked(void **state)
{
	const struct session_security *s = &spec.security;

	(void)state;
	assert_int_equal(read_parts("",
				    "{\"destination\":\"/sys\",\"type\":"
				    "\"sysfs\",\"options\":[\"nosuid\","
				    "\"ro\"]},{\"destination\":"
				    "\"/sys/fs/cgroup\",\"type\":\"cgroup\","
				    "\"options\":[\"ro\",\"rw\"]},"
				    "{\"destination\":\"/dev/shm\",\"type\":"
				    "\"tmpfs\",\"options\":[\"size=65536k\"]}",
				    "\"rootfsPropagation\":\"rshared\""),
			 0);
	assert_false(s->is_sys_writable);
	assert_true(s->is_group_writable);
	assert_int_equal(spec.plan.shm_bytes, 64 << 20);
	assert_int_equal(s->propagation, MS_SHARED | MS_REC);
	assert_int_equal(read_linux(""), 0);
	assert_false(s->is_sys_writable || s->is_group_writable);
	assert_int_equal(spec.plan.shm_bytes, 0);
	refuses("\"rootfsPropagation\":\"wild\"", -EINVAL, "wild");
}

static void namespaces_have_paths(void **state)
{
	(void)state;
	assert_int_equal(read_linux("\"namespaces\":[{\"type\":\"ipc\","
				    "\"path\":\"/proc/7/ns/ipc\"},{\"type\":"
				    "\"uts\"},{\"type\":\"pid\",\"path\":\"\"}"
				    ",{\"type\":\"network\",\"path\":\"/n\"}]"),
			 0);
	assert_string_equal(spec.ipc, "/proc/7/ns/ipc");
	assert_null(spec.uts);
	assert_null(spec.pid);
	assert_string_equal(spec.netns, "/n");
}

/* ---- devices ------------------------------------------------------------ */

static void devices_are_the_guests(void **state)
{
	const struct session_security *s = &spec.security;
	const struct session_device *d;

	(void)state;
	assert_int_equal(
		read_linux("\"devices\":[{\"path\":\"/dev/net/tun\",\"type\":"
			   "\"c\",\"major\":10,\"minor\":200,\"fileMode\":432,"
			   "\"uid\":7,\"gid\":8},{\"path\":\"/dev/pipe\","
			   "\"type\":\"p\"}],\"resources\":{\"devices\":[{"
			   "\"allow\":false,\"access\":\"rwm\"},{\"allow\":"
			   "true,\"type\":\"c\",\"major\":10,\"minor\":200,"
			   "\"access\":\"rw\"}]}"),
		0);
	d = s->devices;
	assert_int_equal(s->device_count, 2);
	assert_string_equal(d[0].path, "/dev/net/tun");
	assert_true(d[0].kind == SESSION_CHAR && d[0].major == 10 &&
		    d[0].minor == 200 && d[0].mode == 0660 && d[0].uid == 7 &&
		    d[0].gid == 8 && !d[0].is_optional);
	assert_true(d[1].kind == SESSION_FIFO && d[1].mode == 0666);
	/* Its own come first, then those that runc gives to all. */
	assert_true(s->rule_count > 8 && !s->has_nodes);
	assert_true(!s->rules[0].is_allowed &&
		    s->rules[0].kind == SESSION_RULE_ANY &&
		    s->rules[0].major == SESSION_ANY &&
		    s->rules[0].access == 7);
	assert_true(s->rules[1].is_allowed &&
		    s->rules[1].kind == SESSION_RULE_CHAR &&
		    s->rules[1].major == 10 &&
		    s->rules[1].access == (SESSION_READ | SESSION_WRITE));
	refuses("\"devices\":[{\"path\":\"/dev/sda\",\"type\":\"b\",\"major\":"
		"8,\"minor\":0}]",
		-ENOTSUP, "privileged_without_host_devices");
	refuses("\"devices\":[{\"path\":\"/etc/x\",\"type\":\"c\"}]", -EINVAL,
		"below /dev");
	refuses("\"devices\":[{\"path\":\"/dev/../x\",\"type\":\"c\"}]",
		-EINVAL, "below /dev");
	refuses("\"devices\":[{\"path\":\"/dev/x\",\"type\":\"c\",\"major\":"
		"-1}]",
		-EINVAL, "no numbers");
	refuses("\"devices\":[{\"path\":\"/dev/x\",\"type\":\"z\"}]", -EINVAL,
		"type z");
	refuses("\"resources\":{\"devices\":[{\"type\":\"z\"}]}", -EINVAL,
		"type z");
	refuses("\"resources\":{\"devices\":[{\"major\":\"1\"}]}", -EINVAL,
		"no numbers");
}

/* Of all that the host has, what the guest has; none of it is a disk. */
static void a_privileged_one_has_what_the_guest_has(void **state)
{
	const struct session_security *s = &spec.security;

	(void)state;
	assert_int_equal(
		read_linux("\"devices\":[{\"path\":\"/dev/sda\",\"type\":\"b\","
			   "\"major\":8,\"minor\":0},{\"path\":\"/dev/ptmx\","
			   "\"type\":\"c\",\"major\":5,\"minor\":2},"
			   "{\"path\":\"/dev/kvm\","
			   "\"type\":\"c\",\"major\":10,\"minor\":232}],"
			   "\"resources\":{\"devices\":[{\"allow\":false},"
			   "{\"allow\":true,\"access\":\"rwm\"}]}"),
		0);
	assert_true(s->has_nodes);
	assert_int_equal(s->device_count, 1);
	assert_string_equal(s->devices[0].path, "/dev/kvm");
	assert_true(s->devices[0].is_optional);
}

/* ---- seccomp ------------------------------------------------------------ */

/* What a child with the filter gets for a call: an errno, 0, or -signal. */
static int outcome(long number, long one, long two)
{
	const struct sock_fprog program = {
		.len = (unsigned short)(spec.security.filter_len / 8),
		.filter = spec.filter,
	};
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
			    spec.security.filter_flags, &program))
			_exit(255);
		/* No more than that call: a library's _exit() may do more. */
		syscall(SYS_exit_group,
			syscall(number, one, two, 0) < 0 ? errno : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void read_profile(const char *profile)
{
	snprintf(text, sizeof(text), "\"seccomp\":{%s}", profile);
	assert_int_equal(read_linux(text), 0);
	assert_true(spec.security.filter_len &&
		    !(spec.security.filter_len % 8));
}

static void profiles_become_filters(void **state)
{
	const long nowhere = (long)(intptr_t)"/nowhere/x";

	(void)state;
	/* Unknown calls and those of the default's action are left out. */
	read_profile("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":["
		     "\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\"],\"flags\":["
		     "\"SECCOMP_FILTER_FLAG_LOG\"],\"syscalls\":[{\"names\":["
		     "\"mkdirat\",\"no_such_call\"],\"action\":"
		     "\"SCMP_ACT_ERRNO\"},{\"names\":[\"unlinkat\"],"
		     "\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38},{"
		     "\"names\":[\"getuid\"],\"action\":\"SCMP_ACT_ALLOW\"},{"
		     "\"names\":[\"getpgid\"],\"action\":\"SCMP_ACT_ERRNO\","
		     "\"args\":[{\"index\":0,\"value\":4096,\"valueTwo\":0,"
		     "\"op\":\"SCMP_CMP_EQ\"}]},{\"names\":[\"getsid\"],"
		     "\"action\":\"SCMP_ACT_ERRNO\",\"args\":[{\"index\":0,"
		     "\"value\":3,\"valueTwo\":2,\"op\":\"SCMP_CMP_MASKED_EQ\""
		     "}]},{\"names\":[\"getpriority\"],\"action\":"
		     "\"SCMP_ACT_ERRNO\",\"args\":[{\"index\":0,\"value\":7,"
		     "\"op\":\"SCMP_CMP_EQ\"},{\"index\":0,\"value\":9,"
		     "\"op\":\"SCMP_CMP_EQ\"}]},{\"names\":[\"sync\"],"
		     "\"action\":\"SCMP_ACT_KILL_PROCESS\"}]");
	assert_int_equal(spec.security.filter_flags, SECCOMP_FILTER_FLAG_LOG);
	assert_int_equal(outcome(SYS_mkdirat, -100, nowhere), EPERM);
	assert_int_equal(outcome(SYS_unlinkat, -100, nowhere), 38);
	assert_int_equal(outcome(SYS_getuid, 0, 0), 0);
	assert_int_equal(outcome(SYS_getpgid, 4096, 0), EPERM);
	assert_int_equal(outcome(SYS_getpgid, 0, 0), 0);
	assert_int_equal(outcome(SYS_getsid, 4 + 2, 0), EPERM);
	assert_int_equal(outcome(SYS_getsid, 0, 0), 0);
	assert_int_equal(outcome(SYS_getpriority, 7, 0), EPERM);
	assert_int_equal(outcome(SYS_getpriority, 9, 0), EPERM);
	assert_int_equal(outcome(SYS_getpriority, 0, 0), 0);
	assert_int_equal(outcome(SYS_sync, 0, 0), -31);
}

/* What no rule has, unless it is newer than all that rules have. */
static void newer_calls_are_not_there(void **state)
{
	static const char allowed[] =
		"\"syscalls\":[{\"names\":[\"exit\",\"exit_group\","
		"\"getuid\",\"clone3\"],\"action\":\"SCMP_ACT_ALLOW\"}]";
	char profile[512];

	(void)state;
	snprintf(profile, sizeof(profile),
		 "\"defaultAction\":\"SCMP_ACT_ERRNO\",%s", allowed);
	read_profile(profile);
	assert_int_equal(outcome(SYS_getuid, 0, 0), 0);
	assert_int_equal(outcome(SYS_getgid, 0, 0), EPERM);
	assert_int_equal(outcome(SYS_clone3 + 1, -1, 0), ENOSYS);
	assert_int_equal(outcome(SYS_clone3 + 1000, -1, 0), ENOSYS);
	snprintf(profile, sizeof(profile),
		 "\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":13,"
		 "%s",
		 allowed);
	read_profile(profile);
	assert_int_equal(outcome(SYS_getgid, 0, 0), 13);
	assert_int_equal(outcome(SYS_clone3 + 1, -1, 0), ENOSYS);
}

static void profiles_that_make_no_sense_are_refused(void **state)
{
	static const struct {
		const char *profile;
		int code;
		const char *word;
	} bad[] = {
		{"", -EINVAL, "no action at all"},
		{"\"defaultAction\":\"SCMP_ACT_NOTIFY\"", -ENOTSUP,
		 "can't look into a microVM"},
		{"\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{"
		 "\"names\":[\"mkdir\"],\"action\":\"SCMP_ACT_NOTIFY\"}]",
		 -ENOTSUP, "SCMP_ACT_NOTIFY"},
		{"\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":"
		 "5000",
		 -EINVAL, "no errno"},
		{"\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":["
		 "\"SCMP_ARCH_VAX\"]",
		 -EINVAL, "SCMP_ARCH_VAX"},
		{"\"defaultAction\":\"SCMP_ACT_ALLOW\",\"flags\":[\"X\"]",
		 -EINVAL, "flag"},
		{"\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{"
		 "\"names\":[7],\"action\":\"SCMP_ACT_KILL\"}]",
		 -EINVAL, "without a name"},
		{"\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{"
		 "\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL\",\"args\":[{"
		 "\"index\":6,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]}]",
		 -EINVAL, "makes no sense"},
		{"\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{"
		 "\"names\":[\"read\"],\"action\":\"SCMP_ACT_KILL\",\"args\":[{"
		 "\"index\":1,\"value\":9007199254740993,\"op\":"
		 "\"SCMP_CMP_EQ\"}]}]",
		 -EINVAL, "below 2^53"},
	};
	size_t at;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "\"seccomp\":{%s}",
			 bad[i].profile);
		refuses(text, bad[i].code, bad[i].word);
		assert_null(spec.filter);
	}
	at = (size_t)snprintf(text, sizeof(text),
			      "\"seccomp\":{\"defaultAction\":"
			      "\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"action\":"
			      "\"SCMP_ACT_KILL\",\"names\":[\"x\"");
	for (int i = 0; i < 8192; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, ",\"x\"");
	snprintf(text + at, sizeof(text) - at, "]}]}");
	refuses(text, -E2BIG, "more than 8192 names");
}

/* As many rules with conditions as make more than a kernel takes. */
static void filters_have_a_length(void **state)
{
	size_t at = (size_t)snprintf(text, sizeof(text),
				     "\"seccomp\":{\"defaultAction\":"
				     "\"SCMP_ACT_ALLOW\",\"syscalls\":[");

	(void)state;
	for (int i = 0; i < 4200; i++)
		at += (size_t)snprintf(
			text + at, sizeof(text) - at,
			"%s{\"action\":\"SCMP_ACT_KILL\",\"names\":[\"read\"],\"args\":[{\"index\":1,\"value\":%d,"
			"\"op\":\"SCMP_CMP_EQ\"}]}",
			i ? "," : "", i * 3);
	snprintf(text + at, sizeof(text) - at, "]}");
	refuses(text, -E2BIG, "4096 steps");
}

/* Nobody waits for what libseccomp would be minutes at. */
static void args_are_few(void **state)
{
	size_t at = (size_t)snprintf(text, sizeof(text),
				     "\"seccomp\":{\"defaultAction\":"
				     "\"SCMP_ACT_ALLOW\",\"syscalls\":[");

	(void)state;
	for (int i = 0; i < 3; i++) {
		at += (size_t)snprintf(text + at, sizeof(text) - at,
				       "%s{\"action\":\"SCMP_ACT_KILL\","
				       "\"names\":[\"mmap\"],\"args\":[",
				       i ? "," : "");
		for (int k = 0; k < 6; k++)
			at += (size_t)snprintf(
				text + at, sizeof(text) - at,
				"%s{\"index\":%d,\"value\":%d,\"op\":\"SCMP_CMP_GT\"}",
				k ? "," : "", k, i * 7 + k);
		at += (size_t)snprintf(text + at, sizeof(text) - at, "]}");
	}
	snprintf(text + at, sizeof(text) - at, "]}");
	refuses(text, -E2BIG, "too many rules with args that are compared");
}

static void actions_that_contradict_are_refused(void **state)
{
	(void)state;
	refuses("\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\","
		"\"syscalls\":[{\"action\":\"SCMP_ACT_ALLOW\",\"names\":"
		"[\"socket\"],\"args\":[{\"index\":0,\"value\":1,\"op\":"
		"\"SCMP_CMP_EQ\"}]},{\"action\":\"SCMP_ACT_KILL_PROCESS\","
		"\"names\":[\"socket\"],\"args\":[{\"index\":0,\"value\":1,"
		"\"op\":\"SCMP_CMP_EQ\"}]}]}",
		-EINVAL, "two actions for socket");
}

#define TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, bundle_setup, bundle_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(five_sets_are_apart),
		TEST(paths_are_taken),
		TEST(sysctls_are_those_of_namespaces),
		TEST(the_kernels_mounts_are_as_asked),
		TEST(namespaces_have_paths),
		TEST(devices_are_the_guests),
		TEST(a_privileged_one_has_what_the_guest_has),
		TEST(profiles_become_filters),
		TEST(newer_calls_are_not_there),
		TEST(profiles_that_make_no_sense_are_refused),
		TEST(filters_have_a_length),
		TEST(args_are_few),
		TEST(actions_that_contradict_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
