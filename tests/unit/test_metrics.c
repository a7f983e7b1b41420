/*
 * A control group's figures, as a guest's agent tells them and as a hostile one
 * might.
 */
#include "api/ctl/containerd/metrics.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "guest/proto_group.h"

static struct metrics m;
static struct err err;
static uint8_t said[32 << 10];
static size_t said_len;
static uint32_t said_words;

static void begin(void)
{
	said_len = 4;
	said_words = 0;
	memset(said, 0, 4);
}

static void word(const char *text)
{
	struct proto_le32 count;

	proto_put32(&count, (uint32_t)strlen(text));
	memcpy(said + said_len, &count, 4);
	memcpy(said + said_len + 4, text, strlen(text));
	said_len += 4 + strlen(text);
	proto_put32(&count, ++said_words);
	memcpy(said, &count, 4);
}

static void file(const char *name, const char *content)
{
	word(name);
	word(content);
}

static int reads(void)
{
	/* Alone, so that a byte too far is seen. */
	uint8_t *bytes = malloc(said_len ? said_len : 1);
	int rc;

	assert_non_null(bytes);
	memcpy(bytes, said, said_len);
	err = (struct err){0};
	rc = metrics_read(&m, bytes, said_len, &err);
	free(bytes);
	return rc;
}

static void figures(void **state)
{
	(void)state;
	begin();
	file("cpu.stat", "usage_usec 12\nuser_usec 7\nsystem_usec 5\n"
			 "core_sched.force_idle_usec 3\nnr_periods 2\n");
	file("memory.current", "4096\n");
	file("memory.max", "max\n");
	file("memory.stat", "anon 100\nfile 200\npgfault 9\nzswpin 4");
	file("memory.events", "low 0\noom 2\noom_kill 1\noom_group_kill 0\n");
	file("pids.current", "3\n");
	file("pids.max", "64\n");
	file("io.stat", "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5\n"
			"254:16 rbytes=6\nnonsense\n");
	file("hugetlb.2MB.current", "1\n");
	assert_int_equal(reads(), 0);
	assert_int_equal(m.cpu.usage_usec, 12);
	assert_int_equal(m.cpu.system_usec, 5);
	assert_int_equal(m.cpu.nr_periods, 2);
	assert_int_equal(m.memory.usage, 4096);
	assert_true(m.memory.usage_limit == UINT64_MAX);
	assert_int_equal(m.memory.anon, 100);
	assert_int_equal(m.memory.pgfault, 9);
	assert_int_equal(m.events.oom_kill, 1);
	assert_int_equal(m.pids.current, 3);
	assert_int_equal(m.pids.limit, 64);
	assert_int_equal(m.io.n_usage, 2);
	assert_int_equal(m.io.usage[0]->major, 254);
	assert_int_equal(m.io.usage[0]->wios, 4);
	assert_int_equal(m.io.usage[1]->minor, 16);
	assert_int_equal(m.io.usage[1]->rbytes, 6);
}

static void nothing(void **state)
{
	(void)state;
	begin();
	assert_int_equal(reads(), 0);
	assert_int_equal(m.memory.usage, 0);
}

/* Fields that are no figures must not be taken for some. */
static void names(void **state)
{
	(void)state;
	begin();
	file("cpu.stat", "base 1\n\n\n   \nusage_usec\nusage_usec x\n");
	file("memory.stat", "usage_usec 5\n");
	file("io.stat", "");
	file("memory.current", "");
	assert_int_equal(reads(), 0);
	assert_int_equal(m.cpu.usage_usec, 0);
	/* No name that is a struct's, and none of another's. */
	assert_ptr_equal(m.cpu.base.descriptor, &metrics__cpu__descriptor);
}

static void many_disks(void **state)
{
	char *text = calloc(1, 20000);
	size_t len = 0;

	(void)state;
	assert_non_null(text);
	for (int i = 0; i < 500; i++)
		len += (size_t)snprintf(text + len, 20000 - len,
					"8:%d rbytes=1\n", i);
	begin();
	file("io.stat", text);
	free(text);
	assert_int_equal(reads(), 0);
	assert_int_equal(m.io.n_usage, METRICS_DISKS);
}

static void hostile(void **state)
{
	static const char *const lengths[] = {"", "x", "a longer one"};

	(void)state;
	said_len = 3;
	assert_int_equal(reads(), -EPROTO);
	assert_non_null(strstr(err.text, "nonsense"));
	for (size_t i = 0; i < 3; i++) {
		begin();
		file("cpu.stat", lengths[i]);
		word("half of a pair");
		assert_int_equal(reads(), -EPROTO);
		/* Less than was announced, and more. */
		begin();
		file("cpu.stat", lengths[i]);
		said[0] = 4;
		assert_int_equal(reads(), -EPROTO);
		said[0] = 2;
		said_len++;
		assert_int_equal(reads(), -EPROTO);
	}
	begin();
	file("a name that is longer than any name of a file in a control group",
	     "1");
	assert_int_equal(reads(), 0);
	srandom(1);
	for (int i = 0; i < 20000; i++) {
		begin();
		file("cpu.stat", "usage_usec 12\nuser_usec 7\n");
		file("io.stat", "254:0 rbytes=1 wbytes=2\n");
		file("memory.max", "max\n");
		for (int k = 0; k < 3; k++)
			said[(size_t)random() % said_len] = (uint8_t)random();
		(void)reads();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures), cmocka_unit_test(nothing),
		cmocka_unit_test(names),   cmocka_unit_test(many_disks),
		cmocka_unit_test(hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
