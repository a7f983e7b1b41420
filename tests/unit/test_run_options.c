/* The options of mayctl run: what they mean, and what is refused. */
#include "api/ctl/commands/run_options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

enum { WORDS_MAX = 32 };

/* Parses the words of one text, divided by blanks. */
static int parse(struct run_options *o, const char *text, struct err *e)
{
	static char copy[512];
	static char *argv[WORDS_MAX + 1];
	char *save = NULL, *word;
	int argc = 0;

	strncpy(copy, text, sizeof(copy) - 1);
	/* '' is an empty word. */
	for (word = strtok_r(copy, " ", &save); word && argc < WORDS_MAX;
	     word = strtok_r(NULL, " ", &save))
		argv[argc++] = strcmp(word, "''") ? word : word + 2;
	argv[argc] = NULL;
	return run_options_parse(o, argc, argv, e);
}

static void takes_what_docker_takes(void **state)
{
	struct run_options o;
	struct err e = {0};

	(void)state;
	assert_int_equal(parse(&o,
			       "run -it --rm --name=box -e A=1 -eB=2 -w /tmp "
			       "-u 1:2 -p8080:80 image sh -c -x",
			       &e),
			 0);
	assert_true(o.is_interactive && o.has_tty && o.is_removed);
	assert_false(o.is_detached);
	assert_string_equal(o.name, "box");
	assert_int_equal(o.env.count, 2);
	assert_string_equal(o.env.list[1], "B=2");
	assert_null(o.env.list[2]);
	assert_false(o.has_no_jail);
	assert_string_equal(o.workdir, "/tmp");
	assert_string_equal(o.user, "1:2");
	assert_int_equal(o.port_count, 1);
	assert_int_equal(o.ports[0].host, 8080);
	assert_int_equal(o.ports[0].guest, 80);
	assert_string_equal(o.image, "image");
	/* What stands behind the image is the command's, options and all. */
	assert_string_equal(o.command[0], "sh");
	assert_string_equal(o.command[1], "-c");
	assert_string_equal(o.command[2], "-x");
	run_options_fini(&o);
}

static void has_defaults(void **state)
{
	struct run_options o;
	struct err e = {0};

	(void)state;
	assert_int_equal(parse(&o, "run image", &e), 0);
	assert_int_equal(o.vcpu_count, 1);
	assert_int_equal(o.memory_mib, 256);
	assert_int_equal(o.net, RUN_NET_NONE);
	assert_null(o.command[0]);
	run_options_fini(&o);
}

static void reads_a_tap(void **state)
{
	static const uint8_t ip[4] = {10, 0, 0, 2}, gateway[4] = {10, 0, 0, 1};
	struct run_options o;
	struct err e = {0};

	(void)state;
	assert_int_equal(parse(&o, "run --net tap=tap0 image", &e), 0);
	assert_int_equal(o.net, RUN_NET_TAP);
	assert_string_equal(o.tap.name, "tap0");
	assert_int_equal(o.tap.prefix, 0);
	run_options_fini(&o);
	assert_int_equal(
		parse(&o, "run --net tap=t,ip=10.0.0.2/24,gw=10.0.0.1 image",
		      &e),
		0);
	assert_memory_equal(o.tap.ip, ip, sizeof(ip));
	assert_memory_equal(o.tap.gateway, gateway, sizeof(gateway));
	assert_int_equal(o.tap.prefix, 24);
	run_options_fini(&o);
}

static const struct {
	const char *words;
	const char *says;
} refused[] = {
	{"run", "needs an image"},
	{"run --no-such image", "no option '--no-such'"},
	{"run --name _x image", "no name of a microVM"},
	{"run --rm=maybe image", "is on or off"},
	{"run --idle -i image", "no command"},
	{"run --idle -t image", "`mayctl exec`"},
	{"run --cpus 0 image", "--cpus"},
	{"run --cpus 33 image", "--cpus"},
	{"run --cpus 1x image", "--cpus"},
	{"run --memory 31 image", "--memory"},
	{"run --memory 2t image", "--memory"},
	{"run --memory 99999999999999999999g image", "--memory"},
	{"run -w tmp image", "-w takes a path"},
	{"run -e =x image", "-e takes"},
	{"run -v /a:b image", "-v takes"},
	{"run -v :/b image", "-v takes"},
	{"run -v /a:/b:rx image", "-v takes"},
	{"run -p 80:0 image", "-p takes"},
	{"run -p 65536:80 image", "-p takes"},
	{"run -p localhost:80:80 image", "-p takes"},
	{"run -p 80:80/udp image", "-p takes"},
	{"run --net bridge image", "--net is"},
	{"run --network host image", "can't have the host's"},
	{"run --cpus 0.0 image", "--cpus"},
	{"run --cpus . image", "--cpus"},
	{"run --cpus -1 image", "--cpus"},
	{"run --cpus 32.5 image", "--cpus"},
	{"run -m 1048576 image", "--memory"},
	{"run -m 512q image", "--memory"},
	{"run -m -1m image", "--memory"},
	{"run -v /a:/ image", "-v can't cover /"},
	{"run -v /a:// image", "-v can't cover /"},
	{"run -v /a:/dev/ image", "-v can't cover /dev"},
	{"run -v /a:/b/../c image", "without .."},
	{"run -v /a:/b -v /c:/b/ image", "two things would be at /b"},
	{"run -v /a:/b --tmpfs /b image", "two things would be at /b"},
	{"run -v /data image", "names no source"},
	{"run --tmpfs tmp image", "--tmpfs takes a path"},
	{"run --tmpfs / image", "--tmpfs can't cover /"},
	{"run --tmpfs /t:size=x image", "--tmpfs takes"},
	{"run --tmpfs /t:mode=9 image", "--tmpfs takes"},
	{"run --tmpfs /t:uid=x image", "--tmpfs takes"},
	{"run --tmpfs /t:gid=4294967295 image", "--tmpfs takes"},
	{"run -v /a:/b:rshared image", "-v takes"},
	{"run --mount type=bind,src=a,dst=/b,bind-propagation=rslave image",
	 "bind-propagation=rslave"},
	{"run --tmpfs /t:mode=10000 image", "--tmpfs takes"},
	{"run --mount type=bind,target=/t image", "needs source="},
	{"run --mount type=bind,source=/s image", "needs target="},
	{"run --mount type=nfs,src=a,dst=/t image", "not 'nfs'"},
	{"run --mount type=bind,color=red image", "'color=red'"},
	{"run --mount type=tmpfs,dst=/t,tmpfs-size=q image", "--tmpfs takes"},
	{"run --dns example.com image", "--dns takes"},
	{"run --dns-search a;b image", "--dns-search takes a domain"},
	{"run --dns-option '' image", "--dns-option takes"},
	{"run --add-host db image", "--add-host takes"},
	{"run --add-host db: image", "--add-host takes"},
	{"run --add-host :1.2.3.4 image", "--add-host takes"},
	{"run --add-host db:1.2.3 image", "--add-host takes"},
	{"run --add-host h:host-gateway image", "no host-gateway"},
	{"run --ulimit nofile image", "--ulimit takes"},
	{"run --ulimit files=1 image", "--ulimit takes"},
	{"run --ulimit nofile=2:1 image", "--ulimit takes"},
	{"run --ulimit nofile=-1:1 image", "--ulimit takes"},
	{"run --ulimit nofile=1x image", "--ulimit takes"},
	{"run --cap-add NET_ADMINS image", "no capability"},
	{"run --cap-drop '' image", "no capability"},
	{"run --security-opt seccomp=x image", "--security-opt knows"},
	{"run --shm-size 1 image", "--shm-size takes a size"},
	{"run --disk 1m image", "--disk takes a size"},
	{"run --disk x image", "--disk takes a size"},
	{"run --stop-signal NO image", "--stop-signal takes"},
	{"run --pull sometimes image", "--pull is"},
	{"run --platform linux/riscv64 image", "--platform"},
	{"run --restart always image", "let systemd"},
	{"run --env-file /no/such image", "--env-file /no/such"},
	{"run --hostname -x image", "--hostname takes"},
	{"run --hostname x. image", "--hostname takes"},
	{"run --hostname x..y image", "--hostname takes"},
	{"run --hostname x/y image", "--hostname takes"},
	{"run --hostname "
	 "12345678901234567890123456789012345678901234567890."
	 "12345678901234 image",
	 "--hostname has 65 characters"},
	{"run --net tap= image", "--net is"},
	{"run --net tap=t, image", "--net is"},
	{"run --net tap=t,ip=1.2.3.4 image", "--net is"},
	{"run --net tap=t,ip=1.2.3.4/ image", "--net is"},
	{"run --net tap=t,ip=1.2.3.4/0 image", "--net is"},
	{"run --net tap=t,ip=1.2.3.4/33 image", "--net is"},
	{"run --net tap=t,ip=1.2.3/24 image", "--net is"},
	{"run --net tap=t,gw=1.2.3.4 image", "--net is"},
	{"run --net tap=t,ip=1.2.3.4/24,gw= image", "--net is"},
	{"run --net tap=t,ip=1.2.3.4/24,gw=1.2.3.5,x image", "--net is"},
	{"run --net tap=0123456789abcdef image", "--net is"},
	{"run --timeout 0 image", "no time"},
	{"run --timeout nan image", "no time"},
	{"run --timeout 1y image", "no time"},
	{"run --name", "needs a value"},
};

static void refuses_with_a_sentence(void **state)
{
	struct run_options o;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct err e = {0};

		if (!parse(&o, refused[i].words, &e) ||
		    !strstr(e.text, refused[i].says))
			fail_msg("%s: %s", refused[i].words, e.text);
		run_options_fini(&o);
	}
}

/* Each says what to use, and none is taken for the beginning of another. */
static void explains_what_docker_has(void **state)
{
	static const struct {
		const char *option;
		const char *says;
	} cases[] = {
		{"--privileged", "--cap-add ALL"},
		{"--pid=host", "namespaces of its own"},
		{"--ipc host", "namespaces of its own"},
		{"--uts host", "namespaces of its own"},
		{"--userns host", "namespaces of its own"},
		{"--gpus all", "no devices of the host's"},
		{"--device /dev/kvm", "no devices of the host's"},
		{"--link db", "--add-host"},
		{"--ip 1.2.3.4", "tap=NAME,ip="},
		{"--mac-address x", "tap=NAME,ip="},
		{"--volumes-from x", "-v SOURCE:TARGET"},
		{"--storage-opt size=1g", "--disk SIZE"},
		{"-c 512", "--cpus"},
		{"-c512", "--cpus"},
		{"--cpuset-cpus 0", "--cpus"},
		{"--memory-swap 1g", "no swap"},
		{"--pids-limit 9", "--ulimit nproc=N"},
		{"--health-cmd x", "mayctl exec"},
		{"--log-driver x", "mayctl logs"},
		{"--log-opt x", "mayctl logs"},
		{"-a stdout", "logs -f"},
		{"--attach stdout", "logs -f"},
		{"--detach-keys x", "logs -f"},
		{"--sig-proxy=false", "logs -f"},
		{"--group-add x", "-u USER:GROUP,GROUP"},
		{"--sysctl a=b", "/proc/sys"},
		{"--cidfile x", "--name"},
		{"--runtime x", "is a microVM"},
		{"--expose 80", "-p"},
		{"--label a=b", "--name"},
		{"--stop-timeout 3", "mayctl stop -t"},
	};
	struct run_options o;
	char words[128];
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = {0};

		snprintf(words, sizeof(words), "run %s image", cases[i].option);
		if (!parse(&o, words, &e) || !strstr(e.text, cases[i].says) ||
		    !strstr(e.text, "run has no"))
			fail_msg("%s: %s", words, e.text);
		run_options_fini(&o);
	}
}

/* As docker's users type them: option by option, what it comes to. */
static void detaches_with_a_terminal(void **state)
{
	struct run_options o;
	struct err e = {0};

	(void)state;
	assert_int_equal(parse(&o,
			       "run -itd --init --read-only -P -q "
			       "--no-healthcheck --restart no --pull always "
			       "--platform linux --rm=false "
			       "--security-opt no-new-privileges "
			       "--entrypoint '' -h box.example.com "
			       "--stop-signal QUIT image",
			       &e),
			 0);
	assert_true(o.is_interactive && o.has_tty && o.is_detached);
	assert_true(o.has_init && o.is_read_only && o.publishes_all);
	assert_true(o.is_quiet && o.has_no_new_privs && !o.is_removed);
	assert_int_equal(o.pull, RUN_PULL_ALWAYS);
	assert_string_equal(o.entrypoint, "");
	assert_string_equal(o.hostname, "box.example.com");
	assert_string_equal(o.stop_signal, "QUIT");
	run_options_fini(&o);
}

static void reads_what_is_put_into_a_tree(void **state)
{
	struct run_options o;
	struct err e = {0};

	(void)state;
	assert_int_equal(
		parse(&o,
		      "run --tmpfs /run:uid=1000,gid=1001,mode=700 "
		      "--tmpfs /t/:size=64m,mode=700,exec,ro "
		      "--mount type=tmpfs,dst=/x,tmpfs-size=1k,readonly "
		      "--mount type=bind,src=/s,target=/y,readonly,"
		      "bind-propagation=rprivate "
		      "-v /a:/b/:ro,Z,rprivate -v c:/d:z --disk 1.5g --shm-size=64mb "
		      "image",
		      &e),
		0);
	assert_int_equal(o.tmpfs_count, 3);
	assert_string_equal(o.tmpfs[0].target, "/run");
	assert_int_equal(o.tmpfs[0].uid, 1000);
	assert_int_equal(o.tmpfs[0].gid, 1001);
	assert_true(o.tmpfs[0].is_no_exec && o.tmpfs[0].is_no_suid);
	assert_int_equal(o.tmpfs[0].kind, SESSION_TMPFS);
	assert_string_equal(o.tmpfs[1].target, "/t");
	assert_int_equal(o.tmpfs[1].tmp_bytes, 64 << 20);
	assert_int_equal(o.tmpfs[1].mode, 0700);
	assert_true(!o.tmpfs[1].is_no_exec && o.tmpfs[1].is_read_only);
	assert_int_equal(o.tmpfs[2].tmp_bytes, 1024);
	assert_true(o.tmpfs[2].is_read_only);
	assert_int_equal(o.volume_count, 3);
	assert_string_equal(o.volumes[0].source, "/s");
	assert_string_equal(o.volumes[0].target, "/y");
	assert_true(o.volumes[0].is_read_only);
	assert_string_equal(o.volumes[1].target, "/b");
	assert_true(o.volumes[1].is_read_only && !o.volumes[2].is_read_only);
	assert_int_equal(o.disk_bytes, 3ull << 29);
	assert_int_equal(o.shm_bytes, 64 << 20);
	run_options_fini(&o);
}

static void reads_networks_and_rights(void **state)
{
	struct run_options o;
	struct err e = {0};

	(void)state;
	assert_int_equal(
		parse(&o,
		      "run --network nat --dns 1.1.1.1 --dns ::1 "
		      "--dns-search example.com --dns-opt ndots:2 "
		      "--add-host db:10.0.0.7 --add-host=six=[fd00::1] "
		      "--ulimit nofile=1024:2048 --ulimit core=-1 "
		      "--ulimit nofile=5 --cap-drop ALL "
		      "--cap-add NET_ADMIN --cap-add cap_sys_time image",
		      &e),
		0);
	assert_int_equal(o.net, RUN_NET_NAT);
	assert_int_equal(o.dns.count, 2);
	assert_string_equal(o.dns.list[1], "::1");
	assert_string_equal(o.search.list[0], "example.com");
	assert_string_equal(o.dns_options.list[0], "ndots:2");
	assert_null(o.dns_options.list[1]);
	assert_string_equal(o.hosts[0], "10.0.0.7 db");
	assert_string_equal(o.hosts[1], "fd00::1 six");
	assert_null(o.hosts[2]);
	assert_int_equal(o.limit_count, 2);
	assert_int_equal(o.limits[0].resource, RLIMIT_NOFILE);
	assert_true(o.limits[0].soft == 5 && o.limits[0].hard == 5);
	assert_int_equal(o.limits[1].resource, RLIMIT_CORE);
	assert_true(o.limits[1].hard == UINT64_MAX);
	assert_true(o.cap_drop == UINT64_MAX);
	assert_true(o.cap_add == (1ull << 12 | 1ull << 25));
	run_options_fini(&o);
}

/* -e has the last word, and NAME alone is what it is here. */
static void reads_variables(void **state)
{
	static const char text[] = "# a comment\n\n  A=of the file \r\n"
				   "HERE\nNOWHERE\nQ=\"quoted\"\n";
	char path[] = "/tmp/test-env-XXXXXX", words[128];
	const int fd = mkstemp(path);
	struct run_options o;
	struct err e = {0};

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	setenv("HERE", "there", 1);
	unsetenv("NOWHERE");
	snprintf(words, sizeof(words),
		 "run -e A=typed -e HERE -e NOWHERE --env-file %s image", path);
	assert_int_equal(parse(&o, words, &e), 0);
	assert_int_equal(o.env.count, 5);
	assert_string_equal(o.env.list[0], "A=of the file ");
	assert_string_equal(o.env.list[1], "HERE=there");
	assert_string_equal(o.env.list[2], "Q=\"quoted\"");
	assert_string_equal(o.env.list[3], "A=typed");
	assert_string_equal(o.env.list[4], "HERE=there");
	run_options_fini(&o);
	/* A byte order mark, of the first line alone. */
	assert_int_equal(pwrite(fd,
				"\xef\xbb\xbf"
				"B=1\n#\n",
				9, 0),
			 9);
	assert_int_equal(parse(&o, words, &e), 0);
	assert_string_equal(o.env.list[0], "B=1");
	run_options_fini(&o);
	assert_int_equal(pwrite(fd, "A B=2\n", 6, 0), 6);
	assert_int_equal(parse(&o, words, &e), -EINVAL);
	assert_non_null(strstr(e.text, "line 1"));
	run_options_fini(&o);
	close(fd);
	unlink(path);
}

static void reads_volumes(void **state)
{
	struct run_options o;
	struct err e = {0};

	(void)state;
	assert_int_equal(parse(&o, "run -v /a:/b -v c:/d:ro image", &e), 0);
	assert_int_equal(o.volume_count, 2);
	assert_string_equal(o.volumes[0].source, "/a");
	assert_string_equal(o.volumes[0].target, "/b");
	assert_false(o.volumes[0].is_read_only);
	assert_string_equal(o.volumes[1].target, "/d");
	assert_true(o.volumes[1].is_read_only);
	run_options_fini(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_docker_takes),
		cmocka_unit_test(has_defaults),
		cmocka_unit_test(reads_a_tap),
		cmocka_unit_test(refuses_with_a_sentence),
		cmocka_unit_test(explains_what_docker_has),
		cmocka_unit_test(detaches_with_a_terminal),
		cmocka_unit_test(reads_what_is_put_into_a_tree),
		cmocka_unit_test(reads_networks_and_rights),
		cmocka_unit_test(reads_variables),
		cmocka_unit_test(reads_volumes),
	};

	return cmocka_run_group_tests_name("run_options", tests, NULL, NULL);
}
