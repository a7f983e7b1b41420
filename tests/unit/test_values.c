/* What stands behind options: sizes, times, moments and ports. */
#include "api/ctl/commands/values.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void reads_ports(void **state)
{
	struct forward_rule p;

	(void)state;
	assert_int_equal(value_port("80", &p, NULL), 0);
	assert_int_equal(p.host, 0);
	assert_int_equal(value_port("127.0.0.1:8080:80/tcp", &p, NULL), 0);
	assert_string_equal(p.address, "127.0.0.1");
	assert_int_equal(p.host, 8080);
	assert_int_equal(value_port("[::1]:8080:80", &p, NULL), 0);
	assert_string_equal(p.address, "::1");
	assert_int_equal(value_port("127.0.0.1::80", &p, NULL), 0);
	assert_int_equal(p.host, 0);
	assert_int_equal(p.guest, 80);
	assert_int_equal(value_port("80/TCP", &p, NULL), 0);
	assert_int_equal(value_port("", &p, NULL), -EINVAL);
	assert_int_equal(value_port(":", &p, NULL), -EINVAL);
	assert_int_equal(value_port("::::::", &p, NULL), -EINVAL);
}

static void reads_ranges_of_ports(void **state)
{
	static const char *const bad[] = {
		"8000-8001:80",
		"8000-8001:80-82",
		"8001-8000:8001-8000",
		"8000-:80-",
		"-80:80",
		"65535-65536:1-2",
		"0-1:0-1",
		"8000-8001/udp",
		"8000-8001:",
		"a:8000-8001:80-81",
		"80-81-82",
		"1-2:3-4:5-6",
		"8000-8004:8000-8004",
	};
	struct forward_rule p[4];
	struct err e = {0};
	unsigned i;

	(void)state;
	assert_int_equal(value_ports("80", p, 4, NULL), 1);
	assert_int_equal(value_ports("8000-8001:9000-9001/TCP", p, 4, NULL), 2);
	assert_int_equal(p[0].host, 8000);
	assert_int_equal(p[0].guest, 9000);
	assert_int_equal(p[1].host, 8001);
	assert_int_equal(p[1].guest, 9001);
	assert_int_equal(value_ports("[::1]:1-4:2-5", p, 4, NULL), 4);
	assert_string_equal(p[3].address, "::1");
	assert_int_equal(p[3].host, 4);
	assert_int_equal(p[3].guest, 5);
	assert_int_equal(value_ports("127.0.0.1::7-9", p, 4, NULL), 3);
	assert_string_equal(p[2].address, "127.0.0.1");
	assert_int_equal(p[2].host, 0);
	assert_int_equal(p[2].guest, 9);
	assert_int_equal(value_ports("7-8", p, 4, NULL), 2);
	assert_int_equal(p[1].host, 0);
	assert_int_equal(p[1].guest, 8);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (value_ports(bad[i], p, 4, &e) >= 0)
			fail_msg("%s is taken", bad[i]);
	assert_non_null(strstr(e.text, "more ports than 4"));
}

static void reads_sizes_and_times(void **state)
{
	static const struct {
		const char *text;
		uint64_t mib;
	} sizes[] = {
		{"512", 512},	    {"2G", 2048},	{"512m", 512},
		{"512mb", 512},	    {"512MiB", 512},	{"0.5g", 512},
		{"268435456", 256}, {"268435457", 257}, {"268435456b", 256},
		{"65536k", 64},	    {"1t", 1 << 20},
	};
	static const struct {
		const char *text;
		unsigned count;
	} cpus[] = {{"1", 1},	{"2", 2},   {"0.5", 1}, {".5", 1},
		    {"1.5", 2}, {"2.0", 2}, {"32", 32}};
	uint64_t v = 0;
	unsigned i, n = 0;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		if (value_memory(sizes[i].text, &v, NULL) || v != sizes[i].mib)
			fail_msg("%s is %llu", sizes[i].text,
				 (unsigned long long)v);
	for (i = 0; i < sizeof(cpus) / sizeof(cpus[0]); i++)
		if (value_cpus(cpus[i].text, &n, NULL) || n != cpus[i].count)
			fail_msg("%s is %u", cpus[i].text, n);
	assert_true(value_bytes("0", &v) && v == 0);
	assert_false(value_bytes("9e9", &v));
	assert_false(value_bytes("99999999t", &v));
	assert_false(value_bytes("1mm", &v));
	assert_false(value_bytes("i", &v));
	assert_false(value_bytes("", &v));
	assert_int_equal(value_duration("1.5s", &v, NULL), 0);
	assert_int_equal(v, 1500);
	assert_int_equal(value_duration("250ms", &v, NULL), 0);
	assert_int_equal(v, 250);
	assert_int_equal(value_duration("2h", &v, NULL), 0);
	assert_int_equal(v, 7200000);
	assert_int_equal(value_duration("1h30m", &v, NULL), 0);
	assert_int_equal(v, 5400000);
	assert_int_equal(value_duration("1m0.5s", &v, NULL), 0);
	assert_int_equal(v, 60500);
	assert_int_equal(value_duration("10", &v, NULL), 0);
	assert_int_equal(v, 10000);
	assert_int_equal(value_duration("1e99s", &v, NULL), -EINVAL);
	assert_int_equal(value_duration("1h30", &v, NULL), -EINVAL);
	assert_int_equal(value_duration("1h30q", &v, NULL), -EINVAL);
	assert_int_equal(value_duration("h", &v, NULL), -EINVAL);
	assert_int_equal(value_duration("", &v, NULL), -EINVAL);
}

static void reads_moments(void **state)
{
	static const uint64_t now = 1800000000000000000;
	static const struct {
		const char *text;
		uint64_t ns;
	} cases[] = {
		/* What logs -t prints. */
		{"2026-11-25T12:00:00.123456789Z", 1795608000123456789},
		{"2026-11-25T12:00:00z", 1795608000000000000},
		{"2026-11-25T14:00:00.5+02:00", 1795608000500000000},
		{"2026-11-25T14:00+02:00", 1795608000000000000},
		{"2026-11-25T08:30-03:30", 1795608000000000000},
		/* As the zone of the test has it. */
		{"2026-11-25T13:00", 1795608000000000000},
		{"2026-11-25T13:00:00.1", 1795608000100000000},
		{"2026-11-25T13", 1795608000000000000},
		{"2026-11-25", 1795561200000000000},
		{"2026-11-25Z", 1795564800000000000},
		{"1700000000", 1700000000000000000},
		{"1700000000.5", 1700000000500000000},
		{"1700000000.000000001", 1700000000000000001},
		{"0", 0},
		{"10", 1799999990000000000},
		{"1h30m", 1799994600000000000},
		{"500ms", 1799999999500000000},
	};
	static const char *const bad[] = {
		"",
		"yesterday",
		"2026-11-25T12:00:00.5x",
		"2026-11-25T12:00:00+2:00",
		"2026-11-25T12:00:00+02:00x",
		"2026-11-25T12:00:00+24:00",
		"2026-13-25",
		"1700000000.5s",
		"1700000000s",
		"99999999999999999999",
	};
	uint64_t ns;
	unsigned i;

	(void)state;
	/* POSIX's sign: an hour east. */
	setenv("TZ", "XYZ-1", 1);
	tzset();
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (value_moment(cases[i].text, now, &ns, NULL) ||
		    ns != cases[i].ns)
			fail_msg("%s is %llu", cases[i].text,
				 (unsigned long long)ns);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (!value_moment(bad[i], now, &ns, NULL))
			fail_msg("%s is taken", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_ports),
		cmocka_unit_test(reads_ranges_of_ports),
		cmocka_unit_test(reads_sizes_and_times),
		cmocka_unit_test(reads_moments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
