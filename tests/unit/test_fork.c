/* /snapshot/fork: its steps, what it answers, and what a refusal leaves. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/server.h"
#include "api/snapshot_config.h"
#include "tests/unit/route_bench.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/state/state.h"

/* How the last one ended. */
static struct {
	unsigned count;
	char error[512];
	int files;
	json_int_t memory_bytes;
} ended;

/* NOLINTNEXTLINE(readability-non-const-parameter): the hook's type */
static void forked(void *context, json_t *json, int fds[RIGHTS_MAX],
		   const struct err *e)
{
	(void)context;
	ended.count++;
	ended.error[0] = '\0';
	if (e)
		snprintf(ended.error, sizeof(ended.error), "%s", e->text);
	ended.files = (int)rights_count(fds);
	ended.memory_bytes =
		json_integer_value(json_object_get(json, "memory_bytes"));
}

static void ask(const char *body)
{
	const struct http_request request = {
		.method = "PUT",
		.path = "/snapshot/fork",
		.body = body,
		.body_len = strlen(body),
	};
	struct reply reply;

	controller.forked = forked;
	routes_serve(&controller, &request, &reply);
	if (!reply.is_later)
		fail_msg("%s: answered at once by %d", body, reply.status);
	reply_fini(&reply);
}

/* What the loop does. */
static void turn(void)
{
	struct loop_timer *t = loop.timers;

	assert_non_null(t);
	loop_disarm(&loop, t);
	t->fire(t);
}

static void a_fork_goes_by_steps_and_answers_at_its_end(void **state)
{
	(void)state;
	fault("PUT", "/snapshot/fork", "{}", BEFORE);
	start();
	fake_reset();
	fake.steps = 2;
	ended.count = 0;
	ask("{}");
	turn();
	turn();
	assert_int_equal(ended.count, 0);
	assert_int_equal(controller.state, CONTROLLER_RUNNING);
	turn();
	assert_string_equal(fake.calls,
			    "fork begin; step; step; step; pause; quiet; save; "
			    "fork; unquiet; resume; memory; fork end");
	assert_int_equal(ended.count, 1);
	assert_string_equal(ended.error, "");
	assert_int_equal(ended.files, 2);
	assert_int_equal(ended.memory_bytes, 128 << 20);
	assert_null(loop.timers);
}

static void it_goes_on_as_it_was_or_as_asked(void **state)
{
	(void)state;
	start();
	ask("{\"resume_vm\": false}");
	turn();
	assert_int_equal(controller.state, CONTROLLER_PAUSED);
	fake_reset();
	ask("{}");
	turn();
	assert_int_equal(controller.state, CONTROLLER_PAUSED);
	assert_string_equal(fake.calls, "fork begin held; step; quiet; save; "
					"fork; unquiet; memory; fork end");
	ask("{\"resume_vm\": true}");
	turn();
	assert_int_equal(controller.state, CONTROLLER_RUNNING);
}

static void nothing_is_changed_meanwhile(void **state)
{
	(void)state;
	start();
	fake.steps = 1;
	ask("{}");
	fault("PUT", "/snapshot/fork", "{}", "A fork is being made*");
	fault("PUT", "/snapshot/mark", "{}", "A fork is being made*");
	fault("PATCH", "/vm", "{\"state\": \"Paused\"}",
	      "A fork is being made*");
	assert_int_equal(serve("GET", "/", NULL), 200);
	assert_int_equal(serve("GET", "/vm/config", NULL), 200);
	turn();
	turn();
	done("PATCH", "/vm", "{\"state\": \"Paused\"}");
}

static void one_that_fails_leaves_it_as_it_was(void **state)
{
	static const char *const steps[] = {"step", "quiet", "save", "fork",
					    "memory"};
	unsigned i;

	(void)state;
	start();
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		fake_reset();
		fake.fail = steps[i];
		ended.count = 0;
		ask("{\"resume_vm\": false}");
		turn();
		assert_int_equal(ended.count, 1);
		assert_string_not_equal(ended.error, "");
		assert_int_equal(ended.files, 0);
		assert_int_equal(controller.state, CONTROLLER_RUNNING);
		assert_non_null(strstr(fake.calls, "fork end"));
		assert_null(controller.fork);
	}
	fake_reset();
	fake.fail = "fork begin";
	fault("PUT", "/snapshot/fork", "{}", "*");
	assert_null(controller.fork);
}

static void one_that_is_cancelled_says_so(void **state)
{
	(void)state;
	start();
	fake.steps = 5;
	ended.count = 0;
	ask("{}");
	turn();
	snapshot_fork_cancel(&controller);
	assert_int_equal(ended.count, 1);
	assert_string_equal(ended.error, "the microVM has ended");
	assert_null(loop.timers);
	snapshot_fork_cancel(&controller);
	assert_int_equal(ended.count, 1);
}

/* All that takes long, then the rest of it, or nobody. */
static void one_is_prepared_and_taken_up_or_given_up(void **state)
{
	(void)state;
	done("PUT", "/drives/a", DRIVE_A);
	start();
	fake_reset();
	fake.steps = 1;
	ended.count = 0;
	ask("{\"prepare\": true}");
	turn();
	fault("PUT", "/snapshot/fork", "{}", "A fork is being made*");
	turn();
	assert_int_equal(ended.count, 1);
	assert_string_equal(ended.error, "");
	assert_int_equal(ended.files, 0);
	assert_int_equal(serve("GET", "/", NULL), 200);
	/* A refusal leaves it prepared. */
	fault("PUT", "/snapshot/fork", "{}", "the drive a can be written to*");
	assert_true(snapshot_fork_is_prepared(&controller));
	ask("{\"resume_vm\": false}");
	assert_false(snapshot_fork_is_prepared(&controller));
	turn();
	assert_string_equal(fake.calls,
			    "fork begin; step; step; fork again; step; pause; "
			    "quiet; save; fork; unquiet; memory; fork end");
	assert_int_equal(ended.count, 2);
	assert_int_equal(ended.files, 2);
	done("PATCH", "/vm", "{\"state\": \"Resumed\"}");
	fake_reset();
	ask("{\"prepare\": true}");
	turn();
	turn();
	assert_string_equal(fake.calls, "fork begin; step; fork end");
	assert_int_equal(ended.count, 3);
	assert_null(controller.fork);
	/* Whatever else is asked drops it. */
	ask("{\"prepare\": true}");
	turn();
	fake_reset();
	done("PATCH", "/vm", "{\"state\": \"Paused\"}");
	assert_string_equal(fake.calls, "fork end; pause");
	assert_null(controller.fork);
	ask("{\"prepare\": true}");
	turn();
	snapshot_fork_cancel(&controller);
	assert_int_equal(ended.count, 5);
	assert_null(controller.fork);
	assert_null(loop.timers);
}

static void bodies_are_judged(void **state)
{
	char path[256] = "{\"socket_path\": \"";

	(void)state;
	start();
	fault("PUT", "/snapshot/fork", NULL, "Empty PUT request.");
	fault("PUT", "/snapshot/fork", "[]", JSON_ERROR "*");
	fault("PUT", "/snapshot/fork", "{\"resume_vm\": 1}", JSON_ERROR "*");
	fault("PUT", "/snapshot/fork", "{\"resume\": true}", JSON_ERROR "*");
	fault("PUT", "/snapshot/fork", "{\"prepare\": 1}", JSON_ERROR "*");
	fault("PUT", "/snapshot/fork", "{\"socket_path\": 7}", JSON_ERROR "*");
	fault("PUT", "/snapshot/fork", "{\"socket_path\": \"\"}",
	      "nobody takes connections at the socket_path*");
	fault("PUT", "/snapshot/fork", "{\"socket_path\": \"/nowhere\"}",
	      "nobody takes connections at the socket_path /nowhere*");
	memset(path + strlen(path), 'x', 150);
	memcpy(path + strlen(path), "\"}", 3);
	fault("PUT", "/snapshot/fork", path, "the socket_path xxx*");
	assert_null(controller.fork);
}

static void drives_that_are_written_to_hold_it(void **state)
{
	(void)state;
	done("PUT", "/drives/a", DRIVE_A);
	start();
	fault("PUT", "/snapshot/fork", "{}", "the drive a can be written to*");
	fault("PUT", "/snapshot/fork", "{\"resume_vm\": true}",
	      "the drive a can be written to*");
	ask("{\"resume_vm\": false}");
	turn();
	assert_int_equal(controller.state, CONTROLLER_PAUSED);
}

/* A child may not write where its parent does. */
static void a_child_needs_drives_of_its_own(void **state)
{
	struct snapshot_drive overrides[] = {{.drive_id = (char[]){"a"}}};
	struct err e = {0};

	(void)state;
	done("PUT", "/drives/a", DRIVE_A);
	assert_int_equal(
		snapshot_fork_check_drives(&controller.config, NULL, 0, &e),
		-EINVAL);
	assert_non_null(strstr(e.text, "drive_overrides"));
	assert_int_equal(snapshot_fork_check_drives(&controller.config,
						    overrides, 1, &e),
			 0);
	/* Its file stays as it is, and what it holds goes along. */
	controller.config.drives[0].has_overlay = true;
	assert_int_equal(
		snapshot_fork_check_drives(&controller.config, NULL, 0, &e), 0);
	controller.config.drives[0].has_overlay = false;
	controller.config.drives[0].is_read_only = true;
	assert_int_equal(
		snapshot_fork_check_drives(&controller.config, NULL, 0, &e), 0);
}

#define DRIVE_OVER(id)                                         \
	"{\"drive_id\": \"" id "\", \"path_on_host\": \"x\", " \
	"\"is_root_device\": false, \"overlay\": {}}"

/* The rest of them is copied while the guest is held, and all have one file. */
static void overlays_go_along(void **state)
{
	static const char *const steps[] = {"overlay step", "overlay rest"};
	unsigned i;

	(void)state;
	done("PUT", "/drives/a", DRIVE_OVER("a"));
	done("PUT", "/drives/stuck", DRIVE_OVER("stuck"));
	start();
	fake_reset();
	ended.count = 0;
	ask("{}");
	turn();
	assert_string_equal(
		fake.calls,
		"fork begin; fork a at 1; fork stuck at 4; copy a; copy stuck; "
		"fork slow; step; pause; quiet; save; rest a; rest stuck; "
		"save a; save stuck; fork; unquiet; resume; memory; end a; "
		"end stuck; fork end");
	assert_int_equal(ended.count, 1);
	assert_int_equal(ended.files, 3);
	fake_reset();
	ask("{\"prepare\": true}");
	turn();
	ask("{}");
	turn();
	assert_non_null(strstr(fake.calls, "fork again; again a; again stuck"));
	assert_int_equal(ended.files, 3);
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		fake_reset();
		fake.fail = steps[i];
		ask("{}");
		turn();
		assert_string_not_equal(ended.error, "");
		assert_int_equal(ended.files, 0);
		assert_int_equal(controller.state, CONTROLLER_RUNNING);
		assert_non_null(
			strstr(fake.calls, "end a; end stuck; fork end"));
	}
	fake_reset();
	fake.fail = "overlay begin";
	fault("PUT", "/snapshot/fork", "{}", "*");
	assert_null(controller.fork);
	assert_non_null(strstr(fake.calls, "end a; end stuck"));
}

/* Only a fork's state is of a version that older releases refuse. */
static void a_state_tells_whether_it_is_a_forks(void **state)
{
	struct vm_config config;
	struct err e = {0};
	struct state *s;
	struct state_entry entry;
	bool has_boot_timer, is_fork;
	int forks;

	(void)state;
	start();
	for (forks = 0; forks < 2; forks++) {
		s = state_new();
		assert_int_equal(
			snapshot_config_save(&controller, forks, s, &e), 0);
		assert_true(state_entry(s, 0, &entry));
		assert_int_equal(entry.version, 1 + forks);
		config_init(&config);
		assert_int_equal(snapshot_config_read(s, &config,
						      &has_boot_timer, &is_fork,
						      &e),
				 0);
		assert_int_equal(is_fork, forks);
		config_fini(&config);
		state_free(s);
	}
}

static void a_socket_gets_both(void **state)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX,
				.sun_path = "/tmp/test-fork.XXXXXX"};
	char body[256], text[512] = "";
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(4 * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int got[2], fd;

	(void)state;
	assert_int_not_equal(fd = mkstemp(a.sun_path), -1);
	close(fd);
	unlink(a.sun_path);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 1), 0);
	start();
	snprintf(body, sizeof(body), "{\"socket_path\": \"%s\"}", a.sun_path);
	ask(body);
	turn();
	assert_string_equal(ended.error, "");
	assert_int_equal(ended.files, 0);
	fd = accept(listener, NULL, NULL);
	assert_true(recvmsg(fd, &message, 0) > 0);
	assert_non_null(strstr(text, "\"memory_bytes\":134217728"));
	assert_int_equal(control.head.cmsg_len, CMSG_LEN(sizeof(got)));
	memcpy(got, CMSG_DATA(&control.head), sizeof(got));
	/* The state; nobody writes to it. */
	assert_int_equal(pread(got[0], text, 8, 0), 8);
	assert_memory_equal(text, "mayflyst", 8);
	assert_int_equal(pwrite(got[0], text, 8, 0), -1);
	assert_int_equal(ftruncate(got[0], 0), -1);
	close(got[0]);
	close(got[1]);
	close(fd);
	/* Who has gone meanwhile is told of in the answer. */
	ask(body);
	close(listener);
	turn();
	assert_non_null(strstr(ended.error, "socket_path"));
	unlink(a.sun_path);
}

static void end_where_forked(struct loop_timer *t)
{
	if (controller.fork)
		loop_stop(&loop);
	else
		loop_arm(&loop, t, clock_now_ns() + 1000000);
}

/* What was sent ahead is for a microVM that is no more. */
static void who_waits_at_the_end_is_answered_once(void **state)
{
	static const char both[] =
		"PUT /snapshot/fork HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
		"PUT /snapshot/fork HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct loop_timer timer = {.fire = end_where_forked};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char text[4096];
	struct server server;
	struct err e;
	ssize_t n;

	(void)state;
	snprintf(a.sun_path, sizeof(a.sun_path), "/tmp/test-fork.%d", getpid());
	assert_int_equal(loop_open(&loop, &e), 0);
	start();
	fake_reset();
	fake.steps = UINT_MAX;
	assert_int_equal(
		server_open(&server, &loop, &controller, a.sun_path, 4096, &e),
		0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(send(fd, both, strlen(both), 0), strlen(both));
	loop_arm(&loop, &timer, clock_now_ns());
	assert_int_equal(loop_run(&loop, &e), 0);
	server_close(&server);
	assert_null(controller.fork);
	n = recv(fd, text, sizeof(text) - 1, MSG_WAITALL);
	assert_true(n > 0);
	text[n] = '\0';
	assert_non_null(strstr(text, "the microVM has ended"));
	assert_null(strstr(text + 1, "HTTP/1.1"));
	close(fd);
	loop_close(&loop);
}

#define TEST(f)                                               \
	cmocka_unit_test_setup_teardown(f, route_bench_setup, \
					route_bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_fork_goes_by_steps_and_answers_at_its_end),
		TEST(it_goes_on_as_it_was_or_as_asked),
		TEST(nothing_is_changed_meanwhile),
		TEST(one_that_fails_leaves_it_as_it_was),
		TEST(one_that_is_cancelled_says_so),
		TEST(one_is_prepared_and_taken_up_or_given_up),
		TEST(bodies_are_judged),
		TEST(drives_that_are_written_to_hold_it),
		TEST(a_child_needs_drives_of_its_own),
		TEST(overlays_go_along),
		TEST(a_state_tells_whether_it_is_a_forks),
		TEST(a_socket_gets_both),
		TEST(who_waits_at_the_end_is_answered_once),
	};

	return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
