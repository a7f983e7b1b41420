/* The options of mayctl run: what they mean, and what is refused. */
#include "api/ctl/commands/run_options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { WORDS_MAX = 16 };

/* Parses the words of one text, divided by blanks. */
static int parse(struct run_options *o, const char *text, struct err *e)
{
	static char copy[512];
	static char *argv[WORDS_MAX + 1];
	char *save = NULL, *word;
	int argc = 0;

	strncpy(copy, text, sizeof(copy) - 1);
	for (word = strtok_r(copy, " ", &save); word && argc < WORDS_MAX;
	     word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
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
	assert_int_equal(o.env_count, 2);
	assert_string_equal(o.env[1], "B=2");
	assert_null(o.env[2]);
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

static void refuses_with_a_sentence(void **state)
{
	static const struct {
		const char *words;
		const char *says;
	} cases[] = {
		{"run", "needs an image"},
		{"run --no-such image", "no option '--no-such'"},
		{"run -d -i image", "nobody to type"},
		{"run --cpus 0 image", "--cpus"},
		{"run --cpus 33 image", "--cpus"},
		{"run --cpus 1x image", "--cpus"},
		{"run --memory 31 image", "--memory"},
		{"run --memory 1t image", "--memory"},
		{"run --memory 99999999999999999999g image", "--memory"},
		{"run -w tmp image", "-w takes a path"},
		{"run -e =x image", "-e takes"},
		{"run -v /a image", "-v takes"},
		{"run -v /a:b image", "-v takes"},
		{"run -v :/b image", "-v takes"},
		{"run -v /a:/b:rx image", "-v takes"},
		{"run -p 80:0 image", "-p takes"},
		{"run -p 65536:80 image", "-p takes"},
		{"run -p localhost:80:80 image", "-p takes"},
		{"run -p 80:80/udp image", "-p takes"},
		{"run --net bridge image", "--net is"},
		{"run --net tap= image", "--net is"},
		{"run --net tap=t, image", "--net is"},
		{"run --net tap=t,ip=1.2.3.4 image", "--net is"},
		{"run --net tap=t,ip=1.2.3.4/ image", "--net is"},
		{"run --net tap=t,ip=1.2.3.4/0 image", "--net is"},
		{"run --net tap=t,ip=1.2.3.4/33 image", "--net is"},
		{"run --net tap=t,ip=1.2.3/24 image", "--net is"},
		{"run --net tap=t,gw=1.2.3.4 image", "--net is"},
		{"run --net tap=t,ip=1.2.3.4/24,gw= image", "--net is"},
		{"run --net tap=t,ip=1.2.3.4/24,gw=1.2.3.5,x image",
		 "--net is"},
		{"run --net tap=0123456789abcdef image", "--net is"},
		{"run --timeout 0 image", "no time"},
		{"run --timeout nan image", "no time"},
		{"run --timeout 1y image", "no time"},
		{"run --name", "needs a value"},
	};
	struct run_options o;
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e = {0};

		if (!parse(&o, cases[i].words, &e) ||
		    !strstr(e.text, cases[i].says))
			fail_msg("%s: %s", cases[i].words, e.text);
		run_options_fini(&o);
	}
}

static void reads_ports(void **state)
{
	struct forward_rule p;

	(void)state;
	assert_int_equal(run_options_port("80", &p, NULL), 0);
	assert_int_equal(p.host, 0);
	assert_int_equal(run_options_port("127.0.0.1:8080:80/tcp", &p, NULL),
			 0);
	assert_string_equal(p.address, "127.0.0.1");
	assert_int_equal(p.host, 8080);
	assert_int_equal(run_options_port("[::1]:8080:80", &p, NULL), 0);
	assert_string_equal(p.address, "::1");
	assert_int_equal(run_options_port("127.0.0.1::80", &p, NULL), 0);
	assert_int_equal(p.host, 0);
	assert_int_equal(p.guest, 80);
	assert_int_equal(run_options_port("", &p, NULL), -EINVAL);
	assert_int_equal(run_options_port(":", &p, NULL), -EINVAL);
	assert_int_equal(run_options_port("::::::", &p, NULL), -EINVAL);
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

static void reads_sizes_and_times(void **state)
{
	uint64_t v = 0;

	(void)state;
	assert_int_equal(run_options_memory("512", &v, NULL), 0);
	assert_int_equal(v, 512);
	assert_int_equal(run_options_memory("2G", &v, NULL), 0);
	assert_int_equal(v, 2048);
	assert_int_equal(run_options_duration("1.5s", &v, NULL), 0);
	assert_int_equal(v, 1500);
	assert_int_equal(run_options_duration("250ms", &v, NULL), 0);
	assert_int_equal(v, 250);
	assert_int_equal(run_options_duration("2h", &v, NULL), 0);
	assert_int_equal(v, 7200000);
	assert_int_equal(run_options_duration("1e99s", &v, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_what_docker_takes),
		cmocka_unit_test(has_defaults),
		cmocka_unit_test(reads_a_tap),
		cmocka_unit_test(refuses_with_a_sentence),
		cmocka_unit_test(reads_ports),
		cmocka_unit_test(reads_volumes),
		cmocka_unit_test(reads_sizes_and_times),
	};

	return cmocka_run_group_tests_name("run_options", tests, NULL, NULL);
}
