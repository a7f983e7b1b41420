/* The event loop: what is served, and what a callback may do to its batch. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/base/fd.h"
#include "vmm/event/loop.h"

enum { MANY = 40 }; /* more than one batch */

struct item {
	struct loop_watch watch;
	struct loop *loop;
	unsigned calls;
	unsigned stop_at; /* stops the loop with this call; 0 never */
	struct item *victim;
	uint32_t events;
};

static struct loop loop;

static int loop_setup(void **state)
{
	(void)state;
	return loop_open(&loop, NULL);
}

static int loop_teardown(void **state)
{
	(void)state;
	loop_close(&loop);
	return 0;
}

/* An item on an eventfd that is ready from the start. */
static void item_open(struct item *it,
		      void (*ready)(struct loop_watch *, uint32_t))
{
	int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);

	assert_true(fd > 0);
	memset(it, 0, sizeof(*it));
	it->loop = &loop;
	it->watch.ready = ready;
	assert_int_equal(loop_add(&loop, &it->watch, fd, EPOLLIN, NULL), 0);
	assert_int_equal(it->watch.fd, fd);
}

static void item_close(struct item *it)
{
	int fd = it->watch.fd;

	loop_delete(&loop, &it->watch);
	fd_close(&fd);
}

static void on_count(struct loop_watch *w, uint32_t events)
{
	struct item *it = (struct item *)w;

	it->calls++;
	it->events = events;
	if (it->calls == it->stop_at)
		loop_stop(it->loop);
}

static void a_level_is_served_until_it_is_taken(void **state)
{
	struct item it;

	(void)state;
	item_open(&it, on_count);
	it.stop_at = 3;
	assert_int_equal(loop_run(&loop, NULL), 0);
	assert_int_equal(it.calls, 3);
	assert_int_equal(it.events, EPOLLIN);
	item_close(&it);
}

static void an_edge_is_served_once(void **state)
{
	struct item edge, level;

	(void)state;
	item_open(&edge, on_count);
	loop_change(&loop, &edge.watch, EPOLLIN | EPOLLET);
	item_open(&level, on_count);
	level.stop_at = 5;
	assert_int_equal(loop_run(&loop, NULL), 0);
	assert_int_equal(level.calls, 5);
	assert_int_equal(edge.calls, 1);
	item_close(&edge);
	item_close(&level);
}

static void changed_events_are_what_counts(void **state)
{
	struct item quiet, level;

	(void)state;
	item_open(&quiet, on_count);
	item_open(&level, on_count);
	loop_change(&loop, &quiet.watch, 0);
	level.stop_at = 4;
	assert_int_equal(loop_run(&loop, NULL), 0);
	assert_int_equal(quiet.calls, 0);
	loop_change(&loop, &quiet.watch, EPOLLOUT);
	level.stop_at = 8;
	assert_int_equal(loop_run(&loop, NULL), 0);
	assert_true(quiet.calls > 0);
	assert_int_equal(quiet.events, EPOLLOUT);
	item_close(&quiet);
	item_close(&level);
}

static void on_delete_self(struct loop_watch *w, uint32_t events)
{
	struct item *it = (struct item *)w;

	(void)events;
	it->calls++;
	item_close(it);
}

static void a_watch_may_delete_itself(void **state)
{
	struct item once, level;

	(void)state;
	item_open(&once, on_delete_self);
	item_open(&level, on_count);
	level.stop_at = 3;
	assert_int_equal(loop_run(&loop, NULL), 0);
	assert_int_equal(once.calls, 1);
	assert_int_equal(once.watch.fd, -1);
	item_close(&level);
}

static void on_kill(struct loop_watch *w, uint32_t events)
{
	struct item *it = (struct item *)w;

	(void)events;
	it->calls++;
	if (!it->victim)
		return;
	item_close(it->victim);
	free(it->victim);
	it->victim = NULL;
}

/*
 * Both are ready, so both are in the batch when the first is served. Which
 * comes first is epoll's choice, so each way round is tried: AddressSanitizer
 * sees a call on a freed watch.
 */
static void a_watch_may_free_another_of_its_batch(void **state)
{
	struct item killer, level;
	unsigned round;

	(void)state;
	for (round = 0; round < 2; round++) {
		struct item *victim = malloc(sizeof(*victim));

		assert_non_null(victim);
		if (round) {
			item_open(victim, on_count);
			item_open(&killer, on_kill);
		} else {
			item_open(&killer, on_kill);
			item_open(victim, on_count);
		}
		killer.victim = victim;
		item_open(&level, on_count);
		level.stop_at = 3;
		assert_int_equal(loop_run(&loop, NULL), 0);
		assert_null(killer.victim);
		assert_true(killer.calls >= 2);
		item_close(&killer);
		item_close(&level);
	}
}

static struct item many[MANY];

static void on_kill_all(struct loop_watch *w, uint32_t events)
{
	struct item *it = (struct item *)w;
	unsigned i;

	(void)events;
	it->calls++;
	for (i = 0; i < MANY; i++)
		item_close(&many[i]);
	loop_stop(it->loop);
}

static void a_watch_may_delete_all_of_its_batch(void **state)
{
	unsigned i, calls = 0;

	(void)state;
	for (i = 0; i < MANY; i++)
		item_open(&many[i], on_kill_all);
	assert_int_equal(loop_run(&loop, NULL), 0);
	for (i = 0; i < MANY; i++)
		calls += many[i].calls;
	assert_int_equal(calls, 1);
}

static void on_add(struct loop_watch *w, uint32_t events)
{
	struct item *it = (struct item *)w;

	(void)events;
	it->calls++;
	if (it->victim->watch.fd >= 0)
		return;
	item_open(it->victim, on_count);
	it->victim->stop_at = 2;
}

static void a_watch_may_add_another(void **state)
{
	struct item adder, added = {.watch.fd = -1};

	(void)state;
	item_open(&adder, on_add);
	adder.victim = &added;
	assert_int_equal(loop_run(&loop, NULL), 0);
	assert_int_equal(added.calls, 2);
	item_close(&adder);
	item_close(&added);
}

static void more_watches_than_a_batch_are_all_served(void **state)
{
	unsigned i;

	(void)state;
	for (i = 0; i < MANY; i++)
		item_open(&many[i], on_count);
	many[0].stop_at = 100;
	assert_int_equal(loop_run(&loop, NULL), 0);
	for (i = 0; i < MANY; i++) {
		/* epoll takes turns; nobody may fall far behind. */
		assert_in_range(many[i].calls, 90, 110);
		item_close(&many[i]);
	}
}

/* The first to be called stops the loop; the rest of its batch waits. */
static void stopping_ends_the_batch(void **state)
{
	struct item items[4];
	unsigned i, calls = 0;

	(void)state;
	for (i = 0; i < 4; i++) {
		item_open(&items[i], on_count);
		items[i].stop_at = 1;
	}
	assert_int_equal(loop_run(&loop, NULL), 0);
	for (i = 0; i < 4; i++) {
		calls += items[i].calls;
		item_close(&items[i]);
	}
	assert_int_equal(calls, 1);
}

static void a_stopped_loop_can_run_again(void **state)
{
	struct item it;

	(void)state;
	item_open(&it, on_count);
	it.stop_at = 1;
	assert_int_equal(loop_run(&loop, NULL), 0);
	it.stop_at = 2;
	assert_int_equal(loop_run(&loop, NULL), 0);
	assert_int_equal(it.calls, 2);
	item_close(&it);
}

static void deleting_an_unwatched_watch_does_nothing(void **state)
{
	struct loop_watch w = {.fd = -1};

	(void)state;
	loop_delete(&loop, &w);
	loop_change(&loop, &w, EPOLLIN);
	assert_int_equal(w.fd, -1);
}

static void what_cannot_be_watched_is_said(void **state)
{
	int file = memfd_create("regular", MFD_CLOEXEC);
	struct loop_watch w = {.fd = 77, .ready = on_count};
	struct err e = {0};

	(void)state;
	assert_true(file > 0);
	assert_int_equal(loop_add(&loop, &w, file, EPOLLIN, &e), -EPERM);
	assert_int_equal(w.fd, -1);
	assert_true(e.text[0]);
	close(file);
	assert_int_equal(loop_add(&loop, &w, file, EPOLLIN, NULL), -EBADF);
	loop_delete(&loop, &w);
}

static void a_descriptor_is_watched_once(void **state)
{
	struct loop_watch w = {.fd = -1, .ready = on_count};
	struct item it;

	(void)state;
	item_open(&it, on_count);
	assert_int_equal(loop_add(&loop, &w, it.watch.fd, EPOLLIN, NULL),
			 -EEXIST);
	item_close(&it);
}

static void a_hangup_is_told(void **state)
{
	struct item it = {.loop = &loop, .watch.ready = on_count, .stop_at = 1};
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(loop_add(&loop, &it.watch, ends[0], EPOLLIN, NULL), 0);
	close(ends[1]);
	assert_int_equal(loop_run(&loop, NULL), 0);
	assert_true(it.events & EPOLLHUP);
	item_close(&it);
}

static void on_alarm(int signal)
{
	(void)signal;
}

struct nudge {
	pthread_t target;
	int eventfd;
};

static void *nudge_later(void *arg)
{
	const struct nudge *n = arg;

	usleep(20000);
	pthread_kill(n->target, SIGUSR1);
	usleep(20000);
	fd_event_raise(n->eventfd);
	return NULL;
}

static void a_signal_does_not_end_the_loop(void **state)
{
	const struct sigaction handler = {.sa_handler = on_alarm};
	struct item it;
	struct nudge n;
	pthread_t thread;

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &handler, NULL), 0);
	item_open(&it, on_count);
	it.stop_at = 1;
	assert_int_equal(fd_event_take(it.watch.fd), 1);
	n = (struct nudge){pthread_self(), it.watch.fd};
	assert_int_equal(pthread_create(&thread, NULL, nudge_later, &n), 0);
	assert_int_equal(loop_run(&loop, NULL), 0);
	pthread_join(thread, NULL);
	assert_int_equal(it.calls, 1);
	item_close(&it);
}

static void a_closed_loop_says_so(void **state)
{
	struct loop other = {0};
	struct err e = {0};

	(void)state;
	loop_close(&other); /* zeroed: nothing to close */
	other.fd = -1;
	assert_int_equal(loop_run(&other, &e), -EBADF);
	assert_true(e.text[0]);
	assert_int_equal(loop_open(&other, NULL), 0);
	loop_close(&other);
	assert_int_equal(other.fd, -1);
	loop_close(&other);
}

int main(void)
{
#define ON_LOOP(f) cmocka_unit_test_setup_teardown(f, loop_setup, loop_teardown)
	const struct CMUnitTest tests[] = {
		ON_LOOP(a_level_is_served_until_it_is_taken),
		ON_LOOP(an_edge_is_served_once),
		ON_LOOP(changed_events_are_what_counts),
		ON_LOOP(a_watch_may_delete_itself),
		ON_LOOP(a_watch_may_free_another_of_its_batch),
		ON_LOOP(a_watch_may_delete_all_of_its_batch),
		ON_LOOP(a_watch_may_add_another),
		ON_LOOP(more_watches_than_a_batch_are_all_served),
		ON_LOOP(stopping_ends_the_batch),
		ON_LOOP(a_stopped_loop_can_run_again),
		ON_LOOP(deleting_an_unwatched_watch_does_nothing),
		ON_LOOP(what_cannot_be_watched_is_said),
		ON_LOOP(a_descriptor_is_watched_once),
		ON_LOOP(a_hangup_is_told),
		ON_LOOP(a_signal_does_not_end_the_loop),
		cmocka_unit_test(a_closed_loop_says_so),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
