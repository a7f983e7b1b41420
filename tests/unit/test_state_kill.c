/*
 * A save that is killed: at each of its system calls in turn, before and after,
 * and at 200 random instants. What is there then is the older pair or the new,
 * or of three files, as with overlays, the older or the new three.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/pair_bench.h"
#include "vmm/base/clock.h"

enum {
	OLD = 1,
	NEW = 2,
	CALLS_MAX = 2000,
	KILLS = 200,
};

static pid_t start_traced(bool want_sync)
{
	const pid_t child = fork();
	int status;

	if (!child) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		pair_bench_save("state", "mem", NEW, want_sync);
		_exit(0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSTOPPED(status));
	return child;
}

/* Lets it go on for that many stops, then kills it. True: it had ended. */
static bool kill_after(pid_t child, unsigned stops)
{
	int status;

	while (stops--) {
		assert_int_equal(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (WIFEXITED(status)) {
			assert_int_equal(WEXITSTATUS(status), 0);
			return true;
		}
		assert_true(WIFSTOPPED(status));
	}
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	return false;
}

static void kill_at_each_call(bool want_sync, const char *third)
{
	const unsigned files = third ? 3 : 2;
	bool has_ended = false;
	unsigned mixed = 0;
	unsigned stops;
	uint32_t was = OLD;
	uint32_t is;

	pair_bench_beside = third;
	for (stops = 0; !has_ended; stops++) {
		assert_true(stops < CALLS_MAX);
		pair_bench_save("state", "mem", OLD, false);
		/* A save sweeps what the one before has left. */
		assert_int_equal(pair_bench_entries(), files);
		has_ended = kill_after(start_traced(want_sync), stops);
		is = pair_bench_look("state", "mem");
		/* There is one instant, before which it is the older pair. */
		assert_true(is == was || (was == OLD && is == NEW));
		was = is;
		mixed += is == NEW && pair_bench_entries() > files;
	}
	assert_int_equal(was, NEW);
	/* The state had its name and another did not: it was seen. */
	assert_true(mixed > 0);
	printf("# figure: instants between system calls of a save of %u files%s "
	       "at which it was killed = %u, in %u of them between their "
	       "names\n",
	       files, want_sync ? "" : " without sync", stops - 1, mixed);
}

static void a_save_is_killed_at_each_of_its_calls(void **state)
{
	(void)state;
	kill_at_each_call(true, NULL);
	kill_at_each_call(true, "third");
}

static void a_save_without_sync_is_killed_at_each_of_its_calls(void **state)
{
	(void)state;
	kill_at_each_call(false, NULL);
	kill_at_each_call(false, "third");
}

/* Saves without end, and tells each that is done; the first, of none. */
static pid_t start_saving(uint32_t from, bool want_sync, int told)
{
	const pid_t child = fork();

	assert_true(child >= 0);
	if (child)
		return child;
	for (;; from++) {
		const uint32_t done = from - 1;

		if (write(told, &done, sizeof(done)) != sizeof(done))
			_exit(1);
		pair_bench_save("state", "mem", from, want_sync);
	}
}

/* Kills one at a random instant of its first saves; returns the last it told.
 */
static uint32_t kill_one(uint32_t last, bool want_sync, uint64_t within_ns)
{
	struct timespec pause = {0};
	uint64_t random;
	uint32_t done;
	int told[2];
	pid_t child;

	assert_int_equal(pipe(told), 0);
	child = start_saving(last + 1, want_sync, told[1]);
	close(told[1]);
	assert_int_equal(read(told[0], &done, sizeof(done)), sizeof(done));
	assert_int_equal(done, last);
	assert_int_equal(getrandom(&random, sizeof(random), 0), 8);
	random %= within_ns;
	pause.tv_sec = (time_t)(random / 1000000000);
	pause.tv_nsec = (long)(random % 1000000000);
	nanosleep(&pause, NULL);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	while (read(told[0], &done, sizeof(done)) == sizeof(done))
		last = done;
	close(told[0]);
	return last;
}

static void saves_are_killed_at_200_random_instants(void **state)
{
	uint64_t within_ns[2];
	uint32_t last = 1;
	uint32_t is;
	unsigned newer = 0;

	(void)state;
	pair_bench_beside = "third";
	/* Twice as long as one takes on this machine, now. */
	for (unsigned i = 0; i < 2; i++) {
		within_ns[i] = clock_now_ns();
		pair_bench_save("state", "mem", last, i);
		within_ns[i] = 2 * (clock_now_ns() - within_ns[i]) + 1;
	}
	for (unsigned i = 0; i < KILLS; i++) {
		last = kill_one(last, i % 2, within_ns[i % 2]);
		/* What was told as done is there; the next may be. */
		is = pair_bench_look("state", "mem");
		assert_true(is == last || is == last + 1);
		newer += is > last;
		last = is;
		assert_true(pair_bench_entries() <= 6);
	}
	printf("# figure: random kills of saves = %d, each left three files "
	       "(%u times the new one, untold; %u saves were done)\n",
	       KILLS, newer, last);
}

int main(void)
{
#define TEST(f) \
	cmocka_unit_test_setup_teardown(f, pair_bench_enter, pair_bench_leave)
	const struct CMUnitTest tests[] = {
		TEST(a_save_is_killed_at_each_of_its_calls),
		TEST(a_save_without_sync_is_killed_at_each_of_its_calls),
		TEST(saves_are_killed_at_200_random_instants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
