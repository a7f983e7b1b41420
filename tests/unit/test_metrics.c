/*
 * Metrics: both forms of the samples, and a file that may be slow, full or a
 * FIFO that nobody reads, and never holds anything up.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "api/controller.h"
#include "api/metrics.h"
#include "vmm/base/clock.h"
#include "vmm/base/log.h"

static char folder[] = "/tmp/test_metrics.XXXXXX";
static char path[64];
static struct loop loop;
static struct metrics metrics;
static unsigned many;	  /* samples a line has beside the first */
static unsigned collects; /* counts lines */

static void collect(void *context, struct samples *s)
{
	char name[16];
	unsigned i;

	assert_ptr_equal(context, &metrics);
	samples_add(s, "line", "", "number", SAMPLE_COUNTER, ++collects);
	for (i = 0; i < many; i++) {
		snprintf(name, sizeof(name), "s%u", i);
		samples_add(s, "line", "", name, SAMPLE_COUNTER, i);
	}
}

static int setup(void **state)
{
	struct err e;

	(void)state;
	many = collects = 0;
	assert_int_equal(loop_open(&loop, &e), 0);
	metrics_init(&metrics, &loop, collect, &metrics);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	metrics_close(&metrics);
	metrics_close(&metrics);
	loop_close(&loop);
	unlink(path);
	return 0;
}

static int make_fifo(void)
{
	int fd;

	assert_int_equal(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_SETPIPE_SZ, 4096), 4096);
	return fd;
}

static void open_it(void)
{
	struct err e = {0};

	if (metrics_open(&metrics, path, &e))
		fail_msg("%s", e.text);
}

/* Serves the loop for some milliseconds. */
static void stop_fire(struct loop_timer *t)
{
	(void)t;
	loop_stop(&loop);
}

static void serve(unsigned ms)
{
	struct loop_timer stop = {.fire = stop_fire};
	struct err e;

	loop.stopping = false;
	loop_arm(&loop, &stop, clock_now_ns() + ms * 1000000ULL);
	assert_int_equal(loop_run(&loop, &e), 0);
	loop_disarm(&loop, &stop);
}

/* All that can be read now. */
static size_t take(int fd, char *text, size_t size)
{
	size_t at = 0;
	ssize_t n;

	while ((n = read(fd, text + at, size - 1 - at)) > 0)
		at += (size_t)n;
	text[at] = '\0';
	return at;
}

static json_int_t number_of(const char *line)
{
	json_t *json = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
	json_int_t n;

	assert_non_null(json);
	assert_true(json_integer_value(json_object_get(
			    json, "utc_timestamp_ms")) > 1000000000000);
	n = json_integer_value(
		json_object_get(json_object_get(json, "line"), "number"));
	json_decref(json);
	return n;
}

static void samples_have_two_forms(void **state)
{
	struct samples s = {0};
	struct sample *x;
	char *text;

	(void)state;
	samples_add(&s, "vmm", "", "uptime_us", SAMPLE_GAUGE, 5);
	samples_add(&s, "block", "a", "reads", SAMPLE_COUNTER, 1);
	samples_add(&s, "block", "a", "writes", SAMPLE_COUNTER, 2);
	samples_add(&s, "block", "b", "reads", SAMPLE_COUNTER, 10);
	samples_add(&s, "block", "b", "writes", SAMPLE_COUNTER, 20);
	samples_add(&s, "boot timer", "", "x-y\"", SAMPLE_COUNTER, UINT64_MAX);
	x = samples_add(&s, "put", "", "count", SAMPLE_COUNTER, 3);
	strcpy(x->family, "api");
	strcpy(x->labels, "path=\"/\"");
	text = samples_json(&s, 99);
	assert_string_equal(
		text, "{\"utc_timestamp_ms\":99,\"vmm\":{\"uptime_us\":5},"
		      "\"block\":{\"reads\":11,\"writes\":22},"
		      "\"block_a\":{\"reads\":1,\"writes\":2},"
		      "\"block_b\":{\"reads\":10,\"writes\":20},"
		      "\"boot_timer\":{\"x_y_\":9223372036854775807},"
		      "\"put\":{\"count\":3}}\n");
	free(text);
	text = samples_text(&s);
	assert_string_equal(
		text, "# TYPE mayfly_api_total counter\n"
		      "mayfly_api_total{path=\"/\"} 3\n"
		      "# TYPE mayfly_block_reads_total counter\n"
		      "mayfly_block_reads_total{id=\"a\"} 1\n"
		      "mayfly_block_reads_total{id=\"b\"} 10\n"
		      "# TYPE mayfly_block_writes_total counter\n"
		      "mayfly_block_writes_total{id=\"a\"} 2\n"
		      "mayfly_block_writes_total{id=\"b\"} 20\n"
		      "# TYPE mayfly_boot_timer_x_y__total counter\n"
		      "mayfly_boot_timer_x_y__total 18446744073709551615\n"
		      "# TYPE mayfly_vmm_uptime_us gauge\n"
		      "mayfly_vmm_uptime_us 5\n");
	free(text);
	samples_fini(&s);
	text = samples_text(&s);
	assert_string_equal(text, "");
	free(text);
}

static void a_file_gets_a_line_on_demand_and_at_the_end(void **state)
{
	char text[1024], *second;
	int fd;

	(void)state;
	assert_int_equal(metrics_flush(&metrics), -ENOENT);
	open_it();
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(take(fd, text, sizeof(text)), 0);
	assert_int_equal(metrics_flush(&metrics), 0);
	assert_int_equal(metrics_flush(&metrics), 0);
	take(fd, text, sizeof(text));
	assert_int_equal(number_of(text), 1);
	second = strchr(text, '\n') + 1;
	assert_int_equal(number_of(second), 2);
	assert_string_equal(strchr(second, '\n'), "\n");
	metrics_close(&metrics);
	take(fd, text, sizeof(text));
	assert_int_equal(number_of(text), 3);
	close(fd);
}

static void it_is_opened_once_and_added_to(void **state)
{
	struct err e;
	struct stat st;
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	(void)state;
	assert_int_equal(write(fd, "old\n", 4), 4);
	close(fd);
	assert_int_equal(metrics_open(&metrics, "/no/such/file", &e), -ENOENT);
	open_it();
	assert_int_equal(metrics_open(&metrics, path, &e), -EEXIST);
	assert_int_equal(metrics_flush(&metrics), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > 4);
}

static void the_timer_flushes_every_minute(void **state)
{
	uint64_t now = clock_now_ns();
	struct stat st;

	(void)state;
	open_it();
	assert_in_range(metrics.timer.due_ns, now + 60000000000ULL,
			now + 61000000000ULL);
	loop_arm(&loop, &metrics.timer, 1);
	serve(1);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size > 0);
	assert_in_range(metrics.timer.due_ns, now + 60000000000ULL,
			now + 62000000000ULL);
}

static void a_fifo_nobody_reads_blocks_nothing(void **state)
{
	char text[8192];
	int fd, i;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	open_it();
	for (i = 0; i < 5000; i++)
		metrics_flush(&metrics);
	assert_true(metrics.lost > 1000);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(take(fd, text, sizeof(text)) > 0);
	assert_int_equal(number_of(text), 1);
	while (take(fd, text, sizeof(text)))
		;
	serve(1);
	while (take(fd, text, sizeof(text)))
		;
	/* And a reader that comes late has whole lines again. */
	assert_int_equal(metrics_flush(&metrics), 0);
	take(fd, text, sizeof(text));
	assert_int_equal(number_of(text), collects);
	close(fd);
}

static void half_a_line_is_ended_before_the_next_begins(void **state)
{
	static char text[65536];
	int fd = make_fifo();
	size_t n;

	(void)state;
	open_it();
	many = 800;
	assert_int_equal(metrics_flush(&metrics), 0);
	/* What is due meanwhile is lost. */
	assert_int_equal(metrics_flush(&metrics), -EAGAIN);
	assert_int_equal(metrics.lost, 1);
	n = take(fd, text, sizeof(text));
	assert_int_equal(n, 4096);
	while (!strchr(text, '\n')) {
		serve(1);
		assert_true(n < sizeof(text) / 2);
		n += take(fd, text + n, sizeof(text) - n);
	}
	assert_ptr_equal(strchr(text, '\n'), text + n - 1);
	assert_int_equal(number_of(text), 1);
	assert_int_equal(metrics.watch.fd, -1);
	many = 0;
	assert_int_equal(metrics_flush(&metrics), 0);
	take(fd, text, sizeof(text));
	assert_int_equal(number_of(text), collects);
	close(fd);
}

static void a_full_file_is_counted(void **state)
{
	struct rlimit old, low;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	open_it();
	assert_int_equal(metrics_flush(&metrics), 0);
	getrlimit(RLIMIT_FSIZE, &old);
	low = old;
	low.rlim_cur = 10;
	setrlimit(RLIMIT_FSIZE, &low);
	assert_int_equal(metrics_flush(&metrics), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(metrics.lost, 1);
	assert_int_equal(metrics_flush(&metrics), 0);
}

static void a_controller_counts_all_there_is(void **state)
{
	struct controller c = {0};
	char *text;

	(void)state;
	controller_init(&c, &loop, "test", controller_collect);
	metrics_count_call(&c.metrics.unknown, clock_now_ns() - 5000000, true);
	metrics_count_call(&c.metrics.unknown, clock_now_ns(), false);
	text = metrics_text(&c.metrics);
	assert_non_null(strstr(text,
			       "mayfly_api_requests_total{method=\"other\""
			       ",path=\"other\"} 2\n"));
	assert_non_null(strstr(text,
			       "mayfly_api_failures_total{method=\"other\""
			       ",path=\"other\"} 1\n"));
	assert_in_range(c.metrics.unknown.max_us, 5000, 1000000);
	assert_in_range(c.metrics.unknown.sum_us, c.metrics.unknown.max_us,
			2000000);
	free(text);
	controller_fini(&c);
}

static int make_folder(void **state)
{
	(void)state;
	assert_int_equal(
		log_configure(&(struct log_config){.level = LOG_OFF}, NULL), 0);
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/m", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	return rmdir(folder);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(samples_have_two_forms),
		TEST(a_file_gets_a_line_on_demand_and_at_the_end),
		TEST(it_is_opened_once_and_added_to),
		TEST(the_timer_flushes_every_minute),
		TEST(a_fifo_nobody_reads_blocks_nothing),
		TEST(half_a_line_is_ended_before_the_next_begins),
		TEST(a_full_file_is_counted),
		TEST(a_controller_counts_all_there_is),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
