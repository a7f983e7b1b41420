/* What a bench has found, judged and written down. */
#include "api/ctl/bench/report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/ctl/bench/axis.h"
#include "api/ctl/bench/page.h"

static struct host host;
static struct parts parts;
static struct result results[2];
static const struct report report = {&host, &parts, results, 2};

/* What writes to a file, as text; owned by the caller. */
static char *written(void (*write)(const struct report *, FILE *))
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	write(&report, to);
	fclose(to);
	return text;
}

static void page(const struct report *r, FILE *to)
{
	struct past past = {0};
	unsigned i;

	past.runs = calloc(3, sizeof(*past.runs));
	past.count = 3;
	for (i = 0; i < 3; i++) {
		past.runs[i].count = 1;
		past.runs[i].ratios[0] =
			(struct past_ratio){"start", "floor", 0.5 + i, 1, 1};
	}
	page_write(r, &past, to);
	past_fini(&past);
}

static unsigned count(const char *text, const char *word)
{
	unsigned n = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		n++;
	return n;
}

static int setup(void **state)
{
	static const double ours[] = {2, 2.1, 2, 1.9, 2};
	struct result *r = &results[0];
	struct series *a, *b;
	struct curve *c;
	unsigned i;

	(void)state;
	strcpy(host.time, "2026-11-26T09:52:28Z");
	strcpy(host.cpu, "<b>CPU & \"co\"</b>");
	*r = (struct result){.name = "start", .what = "a life", .unit = "ms"};
	a = result_series(r, "mayfly");
	b = result_series(r, "floor");
	strcpy(b->command, "floor 'x' </code><script>");
	for (i = 0; i < 5; i++)
		if (series_add(a, ours[i]) || series_add(b, 1))
			return -1;
	c = result_curve(r, "plot", "mayfly", "x", "y");
	for (i = 0; i < 100; i++)
		if (curve_add(c, i, i * i))
			return -1;
	result_figure(r, "figure", 5, "KiB");
	result_phase(r, "phase", 42);
	result_leave_out(r, "qemu", "it ended with \x1b status 1");
	result_judge(r);
	results[1] = (struct result){
		.name = "boot",
		.what = "a boot",
		.unit = "ms",
		.state = RESULT_NOT_RUN,
		.why = "no kernels here",
	};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	result_fini(&results[0]);
	result_fini(&results[1]);
	return 0;
}

static void json_has_peers(void **state)
{
	json_t *o = report_json(&report, true);
	const json_t *bench = json_array_get(json_object_get(o, "benches"), 0);
	const json_t *peers = json_object_get(bench, "peers");
	const json_t *peer = json_array_get(peers, 0);

	(void)state;
	assert_string_equal(json_string_value(json_object_get(bench, "state")),
			    "measured");
	assert_int_equal(json_array_size(peers), 1);
	assert_string_equal(json_string_value(json_object_get(peer, "peer")),
			    "floor");
	assert_true(json_real_value(json_object_get(peer, "median")) == 1);
	assert_true(json_real_value(json_object_get(peer, "ratio")) == 2);
	assert_int_equal(json_array_size(json_object_get(peer, "interval")), 2);
	assert_int_equal(json_array_size(json_object_get(bench, "samples")), 5);
	bench = json_array_get(json_object_get(o, "benches"), 1);
	assert_string_equal(json_string_value(json_object_get(bench, "state")),
			    "not run");
	assert_string_equal(json_string_value(json_object_get(bench, "why")),
			    "no kernels here");
	assert_int_equal(json_array_size(json_object_get(bench, "peers")), 0);
	json_decref(o);
}

/* What is remembered of a run is what is compared later. */
static void a_report_is_a_past(void **state)
{
	json_t *o = report_json(&report, false);
	static struct past_run run;

	(void)state;
	assert_int_equal(past_run_read(&run, o, NULL), 0);
	assert_true(past_find(&run, "start", "floor")->ratio == 2);
	json_decref(o);
}

static void csv_has_a_line_a_round(void **state)
{
	char *text = written(report_csv);

	(void)state;
	assert_int_equal(count(text, "\n"), 11);
	assert_non_null(strstr(text, "\nstart,mayfly,2,2.1000,ms\n"));
	assert_non_null(strstr(text, "\nstart,floor,5,1.0000,ms\n"));
	free(text);
}

static void text_says_what_was_not_run(void **state)
{
	char *text = written(report_text);

	(void)state;
	assert_non_null(strstr(text, "boot: not run: no kernels here\n"));
	assert_non_null(strstr(text, "mayfly is 2.000 x"));
	assert_non_null(strstr(text, "without qemu: "));
	free(text);
}

static void a_page_is_whole_and_safe(void **state)
{
	char *text = written(page);

	(void)state;
	assert_int_equal(count(text, "<svg"), count(text, "</svg>"));
	/* Ratios, rounds, phases, the curve, the history. */
	assert_int_equal(count(text, "<svg"), 5);
	assert_int_equal(count(text, "<section>"), count(text, "</section>"));
	assert_null(strstr(text, "<script"));
	assert_null(strstr(text, "<b>CPU"));
	assert_non_null(strstr(text, "&lt;b&gt;CPU &amp; &quot;co&quot;"));
	/* Nothing from elsewhere. */
	assert_null(strstr(text, "http"));
	assert_null(strstr(text, "src="));
	assert_null(strstr(text, "url("));
	assert_null(strstr(text, "nan"));
	assert_null(strstr(text, "inf"));
	free(text);
}

/* Its ratio above 1 is no loss, and all forms say so. */
static void of_a_rate_more_is_better(void **state)
{
	static struct result r;
	const struct report one = {&host, &parts, &r, 1};
	struct past none = {0};
	json_t *o;
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	(void)state;
	r = (struct result){
		.name = "net", .what = "TCP", .unit = "MB/s", .is_rate = true};
	assert_int_equal(series_add(result_series(&r, "mayfly"), 30), 0);
	assert_int_equal(series_add(result_series(&r, "qemu"), 20), 0);
	report_text(&one, to);
	page_write(&one, &none, to);
	fclose(to);
	assert_non_null(strstr(text, "net: TCP, more is better"));
	assert_non_null(strstr(text, "mayfly is 1.500 x"));
	assert_non_null(strstr(text, "<p>TCP; more is better</p>"));
	assert_non_null(strstr(text, "net / qemu (rate)"));
	free(text);
	o = report_json(&one, false);
	assert_string_equal(
		json_string_value(json_object_get(
			json_array_get(json_object_get(o, "benches"), 0),
			"better")),
		"more");
	json_decref(o);
	result_fini(&r);
}

static void a_wide_interval_is_noise(void **state)
{
	struct result r = {.name = "start", .unit = "ms"};
	struct series *a = result_series(&r, "mayfly");
	unsigned i;

	(void)state;
	for (i = 0; i < 10; i++)
		assert_int_equal(series_add(a, i % 2 ? 1 : 2), 0);
	result_judge(&r);
	assert_int_equal(r.state, RESULT_NOISY);
	assert_non_null(strstr(r.why, "too noisy: the interval of the median"));
	result_fini(&r);
}

/* Both vary alike, so that their ratio holds where neither median does. */
static void a_ratio_can_hold_on_a_noisy_machine(void **state)
{
	struct result r = {.name = "start", .unit = "ms"};
	struct series *a = result_series(&r, "mayfly");
	struct series *b = result_series(&r, "floor");
	unsigned i;

	(void)state;
	for (i = 0; i < 10; i++) {
		assert_int_equal(series_add(a, i % 2 ? 1 : 2), 0);
		assert_int_equal(series_add(b, i % 2 ? 2 : 4), 0);
	}
	result_judge(&r);
	assert_int_equal(r.state, RESULT_MEASURED);
	assert_true(result_ratio(&r, 1).median == 0.5);
	b->values[0] = 400;
	b->values[2] = 0.4;
	b->values[4] = 0.4;
	b->values[6] = 400;
	result_judge(&r);
	assert_int_equal(r.state, RESULT_NOISY);
	assert_non_null(strstr(r.why, "the ratio to floor"));
	result_fini(&r);
}

static void no_more_than_there_is_room_for(void **state)
{
	static struct result r;
	unsigned i;

	(void)state;
	for (i = 0; i < 100; i++) {
		result_figure(&r, "f", i, "x");
		result_phase(&r, "p", i);
		result_leave_out(&r, "l", "because");
		(void)result_series(&r, "s");
		(void)result_curve(&r, "c", "c", "x", "y");
	}
	assert_null(result_series(&r, "s"));
	assert_null(result_curve(&r, "c", "c", "x", "y"));
	assert_int_equal(r.figure_count, RESULT_FIGURES_MAX);
	result_fini(&r);
}

static void axes_have_round_numbers(void **state)
{
	struct axis a = {.from = 0, .to = 100};
	double ticks[AXIS_TICKS_MAX];
	char text[24];
	unsigned n, i;

	(void)state;
	axis_init(&a, 0, 10, false);
	n = axis_ticks(&a, ticks);
	assert_true(n >= 3 && n <= 6 && ticks[0] == 0);
	assert_true(axis_place(&a, 5) == 50);
	assert_true(axis_place(&a, 1e9) == 100 && axis_place(&a, -5) == 0);
	axis_init(&a, 0.011, 2.6, true);
	n = axis_ticks(&a, ticks);
	assert_true(n >= 3 && n < AXIS_TICKS_MAX);
	for (i = 1; i < n; i++)
		assert_true(ticks[i] > ticks[i - 1]);
	axis_init(&a, 1.2, 2.1, true);
	assert_true(axis_ticks(&a, ticks) >= 3);
	/* Hostile ranges end, too. */
	axis_init(&a, 1e-6, 1e9, true);
	assert_true(axis_ticks(&a, ticks) <= AXIS_TICKS_MAX);
	axis_init(&a, 3, 3, false);
	assert_true(axis_ticks(&a, ticks) >= 1);
	axis_number(2000, text, sizeof(text));
	assert_string_equal(text, "2000");
	axis_number(15000, text, sizeof(text));
	assert_string_equal(text, "15k");
	axis_number(0.05, text, sizeof(text));
	assert_string_equal(text, "0.05");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_has_peers),
		cmocka_unit_test(a_report_is_a_past),
		cmocka_unit_test(csv_has_a_line_a_round),
		cmocka_unit_test(text_says_what_was_not_run),
		cmocka_unit_test(a_page_is_whole_and_safe),
		cmocka_unit_test(of_a_rate_more_is_better),
		cmocka_unit_test(a_wide_interval_is_noise),
		cmocka_unit_test(a_ratio_can_hold_on_a_noisy_machine),
		cmocka_unit_test(no_more_than_there_is_room_for),
		cmocka_unit_test(axes_have_round_numbers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
