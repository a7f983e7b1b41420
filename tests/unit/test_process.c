/*
 * Processes that containerd knows of, whose guest says nothing: they end when
 * they are killed, and nothing of theirs is touched when they are lost.
 */
#include "api/ctl/containerd/process.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "guest/proto.h"
#include "tests/unit/own_dir.h"
#include "vmm/base/clock.h"

static struct loop loop;
static struct process process;
static char fifo[96], out[128];
static int listener;
static unsigned ends;
static bool has_begun;

static void has_started(struct process *p)
{
	(void)p;
	has_begun = true;
}

static void has_ended(struct process *p, const char *text)
{
	(void)p;
	(void)text;
	ends++;
}

/* Where a guest's agent would call. */
static int listen_at(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof(a)) ||
	    listen(fd, 1))
		return -1;
	return fd;
}

static int setup(void **state)
{
	char ready[96];

	if (make_dir(state))
		return -1;
	snprintf(fifo, sizeof(fifo), "%s/in", own_dir);
	snprintf(ready, sizeof(ready), "%s/ready", own_dir);
	listener = listen_at(ready);
	snprintf(out, sizeof(out), "file://%s/out", own_dir);
	ends = 0;
	has_begun = false;
	process = (struct process){.started = has_started, .ended = has_ended};
	return listener < 0 || mkfifo(fifo, 0600) ? -1 : loop_open(&loop, NULL);
}

static int teardown(void **state)
{
	process_fini(&process);
	loop_close(&loop);
	close(listener);
	return remove_dir(state);
}

static void begin(void)
{
	const struct process_words words = {.exec_id = "", .in = fifo};

	assert_int_equal(process_init(&process, &loop, &words, NULL), 0);
	assert_int_equal(process_begin(&process, &loop, listener, "", NULL), 0);
}

/* Its guest may never be up, and then nobody would ever hear of a signal. */
static void what_never_began_is_killed(void **state)
{
	(void)state;
	begin();
	assert_int_equal(process_kill(&process, SIGTERM), 0);
	assert_int_equal(ends, 1);
	assert_int_equal(process.stage, PROCESS_STOPPED);
	assert_int_equal(process.exit_status, 128 + SIGTERM);
	assert_int_not_equal(process_kill(&process, SIGKILL), 0);
	assert_false(has_begun);
}

/* The number of what was its stdin is soon another file's. */
static void of_what_is_lost_nothing_is_read(void **state)
{
	int other;

	(void)state;
	begin();
	other = process.attach.input_fd;
	assert_true(other >= 0);
	process_lose(&process, "its container has ended");
	assert_int_equal(ends, 1);
	assert_int_equal(process.exit_status, 137);
	assert_int_equal(fcntl(other, F_GETFD), -1);
	assert_null(process.attach.loop);
	process_lose(&process, "twice");
	assert_int_equal(ends, 1);
}

static bool is_begun_again;

static bool was_unheard(struct process *p, const char *text)
{
	assert_ptr_equal(p, &process);
	assert_string_equal(text, "no");
	loop_stop(&loop);
	return is_begun_again;
}

/* A guest that was at rest, and refuses to be another. */
static void refuse(const char *path)
{
	static const char line[] = "OK 1\n";
	struct {
		struct proto_frame frame;
		struct proto_error error;
		struct proto_le32 len;
		char text[2];
	} said = {.frame.type = PROTO_ERROR, .text = {'n', 'o'}};
	const int guest = listen_at(path);
	int fd;

	assert_true(guest >= 0);
	assert_int_equal(process_begin(&process, &loop, -1, path, NULL), 0);
	assert_true(process_is_unheard(&process));
	fd = accept(guest, NULL, NULL);
	assert_true(fd >= 0);
	proto_put32(&said.frame.length, sizeof(said) - sizeof(said.frame));
	proto_put32(&said.error.status, 125);
	proto_put32(&said.len, sizeof(said.text));
	assert_int_equal(write(fd, line, sizeof(line) - 1), sizeof(line) - 1);
	assert_int_equal(write(fd, &said, sizeof(said)), sizeof(said));
	assert_int_equal(loop_run(&loop, NULL), 0);
	close(fd);
	close(guest);
}

/* It is not over, and its stdin is as it was, for the guest that boots. */
static void what_is_unheard_is_begun_again(void **state)
{
	const struct process_words words = {.exec_id = "", .in = fifo};
	char path[96], byte = 'x';
	int in;

	(void)state;
	snprintf(path, sizeof(path), "%s/vsock", own_dir);
	assert_int_equal(process_init(&process, &loop, &words, NULL), 0);
	process.unheard = was_unheard;
	process.spec.plan.is_warm = true;
	is_begun_again = true;
	in = open(fifo, O_RDWR | O_NONBLOCK);
	assert_int_equal(write(in, &byte, 1), 1);
	refuse(path);
	assert_int_equal(ends, 0);
	assert_true(process_is_unheard(&process));
	process.spec.plan.is_warm = false;
	assert_int_equal(process_begin(&process, &loop, listener, "", NULL), 0);
	assert_true(process_is_unheard(&process));
	assert_int_equal(read(process.attach.input_fd, &byte, 1), 1);
	assert_int_equal(process_kill(&process, SIGKILL), 0);
	assert_int_equal(ends, 1);
	close(in);
}

/* An owner that has no other guest. */
static void or_that_is_its_end(void **state)
{
	const struct process_words words = {.exec_id = ""};
	char path[96];

	(void)state;
	snprintf(path, sizeof(path), "%s/vsock", own_dir);
	assert_int_equal(process_init(&process, &loop, &words, NULL), 0);
	process.unheard = was_unheard;
	is_begun_again = false;
	refuse(path);
	assert_int_equal(ends, 1);
	assert_int_equal(process.stage, PROCESS_STOPPED);
}

/* CloseIO may come before Start. */
static void stdin_may_end_before_it_begins(void **state)
{
	const struct process_words words = {.exec_id = "", .in = fifo};
	char byte;

	(void)state;
	assert_int_equal(process_init(&process, &loop, &words, NULL), 0);
	stdio_close_input(&process.io);
	assert_int_equal(process_begin(&process, &loop, listener, "", NULL), 0);
	assert_int_equal(read(process.io.fds[0], &byte, 1), 0);
}

/* A log that is not there yet is made; what is no file is refused. */
static void output_goes_to_files(void **state)
{
	struct process_words words = {.exec_id = "", .out = out};
	struct err e = {0};
	struct stat st;

	(void)state;
	assert_int_equal(process_init(&process, &loop, &words, &e), 0);
	assert_int_equal(stdio_write(&process.io, 1, "word", 4), 4);
	assert_int_equal(stat(out + strlen("file://"), &st), 0);
	assert_int_equal(st.st_size, 4);
	process_fini(&process);
	words.out = "file:///dev/null";
	assert_int_not_equal(process_init(&process, &loop, &words, &e), 0);
	assert_non_null(strstr(e.text, "/dev/null is neither"));
}

static unsigned deletions;

static void can_be_deleted(struct process *p, struct ttrpc_call *c)
{
	(void)p;
	(void)c;
	deletions++;
	loop_stop(&loop);
}

/* Ended, with a word in the FIFO that is its stdout; Delete was asked for. */
static void end_with_a_word(struct ttrpc_call *c)
{
	const struct process_words words = {.exec_id = "x", .out = fifo};

	deletions = 0;
	process.deletable = can_be_deleted;
	assert_int_equal(process_init(&process, &loop, &words, NULL), 0);
	assert_int_equal(stdio_write(&process.io, 1, "word", 4), 4);
	assert_int_equal(process_kill(&process, SIGTERM), 0);
	process_delete(&process, c);
	assert_int_equal(deletions, 0);
}

/* Who is slow to open the FIFO finds the output there, and its end. */
static void its_output_is_read_before_it_is_deleted(void **state)
{
	struct ttrpc_call call = {0};
	char word[8];
	int fd;

	(void)state;
	end_with_a_word(&call);
	fd = open(fifo, O_RDONLY);
	assert_int_equal(read(fd, word, sizeof(word)), 4);
	assert_int_equal(loop_run(&loop, NULL), 0);
	assert_int_equal(deletions, 1);
	assert_int_equal(read(fd, word, sizeof(word)), 0);
	close(fd);
}

static void output_that_nobody_reads_is_given_up(void **state)
{
	struct ttrpc_call call = {0};

	(void)state;
	end_with_a_word(&call);
	stdio_hold_until(&process.io, clock_now_ns());
	assert_int_equal(loop_run(&loop, NULL), 0);
	assert_int_equal(deletions, 1);
	assert_false(stdio_holds(&process.io));
}

static void stop(struct loop_timer *t)
{
	(void)t;
	loop_stop(&loop);
}

static void run_for(uint64_t ns)
{
	struct loop_timer t = {.fire = stop};

	loop_arm(&loop, &t, clock_now_ns() + ns);
	assert_int_equal(loop_run(&loop, NULL), 0);
}

/* Who would open it later, and finds no writer, would wait for ever. */
static void a_silent_stream_waits_for_its_reader(void **state)
{
	const struct process_words words = {.exec_id = "x", .out = fifo};
	char byte;
	int fd;

	(void)state;
	assert_int_equal(process_init(&process, &loop, &words, NULL), 0);
	assert_int_equal(process_kill(&process, SIGTERM), 0);
	assert_int_equal(ends, 1);
	run_for(20000000);
	assert_true(stdio_holds(&process.io));
	fd = open(fifo, O_RDONLY | O_NONBLOCK);
	assert_int_equal(read(fd, &byte, 1), -1);
	assert_int_equal(errno, EAGAIN);
	for (unsigned i = 0; i < 100 && stdio_holds(&process.io); i++)
		run_for(10000000);
	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);
}

/* One that never comes is not waited for, either, by who deletes. */
static void a_silent_stream_without_a_reader_is_given_up(void **state)
{
	const struct process_words words = {.exec_id = "x", .out = fifo};
	struct ttrpc_call call = {0};
	const uint64_t begun = clock_now_ns();

	(void)state;
	deletions = 0;
	process.deletable = can_be_deleted;
	assert_int_equal(process_init(&process, &loop, &words, NULL), 0);
	assert_int_equal(process_kill(&process, SIGTERM), 0);
	process_delete(&process, &call);
	assert_int_equal(loop_run(&loop, NULL), 0);
	assert_int_equal(deletions, 1);
	assert_true(clock_now_ns() - begun < 5000000000ull);
}

/* Then it is deleted with its container, and nobody is answered. */
static void who_asked_for_the_deletion_may_go(void **state)
{
	struct ttrpc_call call = {0};

	(void)state;
	end_with_a_word(&call);
	call.gone(&call);
	assert_null(process.deleting);
	process_fini(&process);
	assert_int_equal(deletions, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_never_began_is_killed,
						setup, teardown),
		cmocka_unit_test_setup_teardown(of_what_is_lost_nothing_is_read,
						setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_unheard_is_begun_again,
						setup, teardown),
		cmocka_unit_test_setup_teardown(or_that_is_its_end, setup,
						teardown),
		cmocka_unit_test_setup_teardown(stdin_may_end_before_it_begins,
						setup, teardown),
		cmocka_unit_test_setup_teardown(output_goes_to_files, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			its_output_is_read_before_it_is_deleted, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			output_that_nobody_reads_is_given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_silent_stream_waits_for_its_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_silent_stream_without_a_reader_is_given_up, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			who_asked_for_the_deletion_may_go, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
