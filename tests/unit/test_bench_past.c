/* The history of benches, as anybody may have written it, and comparing runs.
 */
#include "api/ctl/bench/past.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/ctl/bench/compare.h"

#define GOOD                                                               \
	"{\"time\":\"2026-11-26T09:52:28Z\",\"mayfly\":\"0.1.0\","         \
	"\"benches\":[{\"name\":\"start\",\"peers\":[{\"peer\":\"floor\"," \
	"\"ratio\":1.2,\"ratio_interval\":[1.1,1.3]}]}]}"

static char path[] = "/tmp/bench-past.XXXXXX";
static struct past past;
static struct past_run run;

static void write_text(const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f)
		abort();
	fputs(text, f);
	fclose(f);
}

static void read_text(const char *text)
{
	struct err e = {0};

	write_text(text);
	past_fini(&past);
	assert_int_equal(past_read(&past, path, &e), 0);
}

static int take(const char *text)
{
	json_t *report = json_loads(text, 0, NULL);
	int rc = past_run_read(&run, report, NULL);

	json_decref(report);
	return rc;
}

/* A run with one peer of these ratio and interval, as text. */
static int take_peer(const char *peer)
{
	char text[1024];

	snprintf(text, sizeof(text),
		 "{\"time\":\"t\",\"mayfly\":\"1\",\"benches\":[{\"name\":"
		 "\"start\",\"peers\":[%s]}]}",
		 peer);
	return take(text) ? -1 : (int)run.count;
}

static void a_report_is_read(void **state)
{
	const struct past_ratio *r;

	(void)state;
	assert_int_equal(take(GOOD), 0);
	assert_string_equal(run.time, "2026-11-26T09:52:28Z");
	assert_string_equal(run.version, "0.1.0");
	r = past_find(&run, "start", "floor");
	assert_non_null(r);
	assert_true(r->ratio == 1.2 && r->low == 1.1 && r->high == 1.3);
	assert_null(past_find(&run, "start", "qemu"));
	assert_null(past_find(&run, "restore", "floor"));
}

static void what_is_no_report_is_refused(void **state)
{
	static const char *const texts[] = {
		"[]",
		"{}",
		"{\"time\":1,\"mayfly\":\"1\",\"benches\":[]}",
		"{\"time\":\"t\",\"mayfly\":\"1\",\"benches\":{}}",
		"{\"time\":\"<script>\",\"mayfly\":\"1\",\"benches\":[]}",
		"{\"time\":\"t\",\"mayfly\":\"1 \\u001b[2J\",\"benches\":[]}",
		"{\"time\":\"\",\"mayfly\":\"1\",\"benches\":[]}"};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_int_not_equal(take(texts[i]), 0);
}

static void peers_that_make_no_sense_are_passed_over(void **state)
{
	static const char long_name[] =
		"{\"peer\":\"a-name-of-more-than-thirty-one-bytes\","
		"\"ratio\":1,\"ratio_interval\":[1,1]}";
	static const char *const peers[] = {
		"1",
		"null",
		"{}",
		"{\"peer\":\"</svg>\",\"ratio\":1,\"ratio_interval\":[1,1]}",
		"{\"peer\":\"\",\"ratio\":1,\"ratio_interval\":[1,1]}",
		"{\"peer\":\"floor\",\"ratio\":\"1\",\"ratio_interval\":[1,1]}",
		"{\"peer\":\"floor\",\"ratio\":-1,\"ratio_interval\":[1,1]}",
		"{\"peer\":\"floor\",\"ratio\":0,\"ratio_interval\":[1,1]}",
		"{\"peer\":\"floor\",\"ratio\":1e300,\"ratio_interval\":[1,1]}",
		"{\"peer\":\"floor\",\"ratio\":1,\"ratio_interval\":[2,1]}",
		"{\"peer\":\"floor\",\"ratio\":1,\"ratio_interval\":[1]}",
		"{\"peer\":\"floor\",\"ratio\":1}",
		long_name};
	unsigned i;

	(void)state;
	for (i = 0; i < sizeof(peers) / sizeof(peers[0]); i++)
		assert_int_equal(take_peer(peers[i]), 0);
	assert_int_equal(take_peer("{\"peer\":\"floor\",\"ratio\":1,"
				   "\"ratio_interval\":[1,1]},"
				   "{\"peer\":\"floor\",\"ratio\":2,"
				   "\"ratio_interval\":[1,3]}"),
			 1);
}

static void more_ratios_than_there_is_room_for(void **state)
{
	static char text[65536];
	size_t len = 0;
	unsigned i;

	(void)state;
	len += (size_t)sprintf(text, "{\"time\":\"t\",\"mayfly\":\"1\","
				     "\"benches\":[");
	for (i = 0; i < 2 * PAST_RATIOS_MAX; i++)
		len += (size_t)sprintf(text + len,
				       "%s{\"name\":\"b%u\",\"peers\":[{"
				       "\"peer\":\"p\",\"ratio\":1,"
				       "\"ratio_interval\":[1,1]}]}",
				       i ? "," : "", i);
	sprintf(text + len, "]}");
	assert_int_equal(take(text), 0);
	assert_int_equal(run.count, PAST_RATIOS_MAX);
}

static void a_history_survives_lines_of_others(void **state)
{
	(void)state;
	read_text("rubbish\n" GOOD "\n\n{\"time\":\n[1,2]\n" GOOD
		  "\n\xff\xfe\n" GOOD);
	assert_int_equal(past.count, 3);
	assert_int_equal(past.passed_over, 4);
	read_text("");
	assert_int_equal(past.count, 0);
	unlink(path);
	past_fini(&past);
	assert_int_equal(past_read(&past, path, NULL), 0);
	assert_int_equal(past.count, 0);
}

static void a_line_of_a_megabyte_is_passed_over(void **state)
{
	char *text = malloc((1 << 20) + 1024);
	int n = sprintf(text, "{\"time\":\"t\",\"mayfly\":\"1\",\"x\":\"");

	(void)state;
	memset(text + n, 'a', 1 << 20);
	snprintf(text + n + (1 << 20), 1024 - (size_t)n, "%s",
		 "\",\"benches\":[]}\n" GOOD "\n");
	read_text(text);
	free(text);
	assert_int_equal(past.count, 1);
	assert_int_equal(past.passed_over, 1);
}

static void a_history_keeps_its_last_runs(void **state)
{
	json_t *report = json_loads(GOOD, 0, NULL);
	char time[32];
	unsigned i;

	(void)state;
	write_text("no line feed at the end");
	for (i = 0; i < PAST_RUNS_MAX + 20; i++) {
		snprintf(time, sizeof(time), "t%u", i);
		json_object_set_new(report, "time", json_string(time));
		assert_int_equal(past_add(path, report, NULL), 0);
	}
	json_decref(report);
	past_fini(&past);
	assert_int_equal(past_read(&past, path, NULL), 0);
	assert_int_equal(past.count, PAST_RUNS_MAX);
	assert_int_equal(past.passed_over, 0);
	assert_string_equal(past.runs[0].time, "t20");
	assert_string_equal(past.runs[PAST_RUNS_MAX - 1].time, "t119");
}

static enum compare_outcome compared(double a, double b, double width)
{
	static struct past_run runs[2];
	FILE *to = fopen("/dev/null", "w");
	enum compare_outcome found;
	unsigned i;

	if (!to)
		abort();
	for (i = 0; i < 2; i++) {
		const double ratio = i ? b : a;

		runs[i] = (struct past_run){.count = 1};
		runs[i].ratios[0] = (struct past_ratio){
			"start", "floor", ratio, ratio - width, ratio + width};
	}
	found = compare_runs(&runs[0], &runs[1], to);
	fclose(to);
	return found;
}

static void runs_are_compared(void **state)
{
	static struct past_run none;

	(void)state;
	assert_int_equal(compared(1, 1.09, 0.01), COMPARE_ALIKE);
	assert_int_equal(compared(1.09, 1, 0.01), COMPARE_ALIKE);
	assert_int_equal(compared(1, 1.2, 0.01), COMPARE_DIFFERENT);
	assert_int_equal(compared(1.2, 1, 0.01), COMPARE_DIFFERENT);
	assert_int_equal(compared(1, 1.2, 0.15), COMPARE_CANT_TELL);
	assert_int_equal(compare_runs(&none, &none, stderr), COMPARE_NOTHING);
}

static int setup(void **state)
{
	const int fd = mkstemp(path);

	(void)state;
	return fd < 0 || close(fd);
}

static int teardown(void **state)
{
	(void)state;
	past_fini(&past);
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_report_is_read),
		cmocka_unit_test(what_is_no_report_is_refused),
		cmocka_unit_test(peers_that_make_no_sense_are_passed_over),
		cmocka_unit_test(more_ratios_than_there_is_room_for),
		cmocka_unit_test(a_history_survives_lines_of_others),
		cmocka_unit_test(a_line_of_a_megabyte_is_passed_over),
		cmocka_unit_test(a_history_keeps_its_last_runs),
		cmocka_unit_test(runs_are_compared),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
