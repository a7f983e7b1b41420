#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/clock.h"
#include "vmm/base/err.h"

/*
 * The event loop: epoll over watches, and timers, that live inside their
 * owners. One loop runs in one thread (docs/threads.md calls it the loop
 * thread), which owns every device's back end, the API socket and the console.
 */
struct loop_watch {
	int fd; /* borrowed; -1 while not watched */
	/*
	 * Called in the loop thread with EPOLL* events. May add and delete any
	 * watch, its own included, and free what holds it once deleted.
	 */
	void (*ready)(struct loop_watch *w, uint32_t events);
};

/* Goes off once. Zeroed but for fire, it is not armed. */
struct loop_timer {
	uint64_t due_ns; /* CLOCK_MONOTONIC; 0 while not armed */
	/*
	 * Called in the loop thread, the timer no longer armed. May do what a
	 * watch's ready() may, and with timers likewise.
	 */
	void (*fire)(struct loop_timer *t);
	struct loop_timer *next; /* the loop's */
};

struct loop {
	int fd; /* owned */
	bool stopping;
	struct loop_watch *
		*batch; /* what epoll_wait gave, while it is served */
	int batch_count;
	struct loop_timer *timers; /* borrowed; the first due comes first */
};

/* Makes the epoll descriptor. Returns 0 or a negative errno. */
int loop_open(struct loop *l, struct err *e);

/* Accepts a zeroed or half-opened loop. Watches are their owners' to delete. */
void loop_close(struct loop *l);

/*
 * Watches fd for EPOLL* events, level-triggered unless EPOLLET is among them.
 * w->ready must be set. -EPERM for a regular file: those are always ready.
 * Thread: the loop's, or any before the loop runs.
 */
int loop_add(struct loop *l, struct loop_watch *w, int fd, uint32_t events,
	     struct err *e);

/*
 * Watches for signals of set, which are blocked already, by a signalfd: *fd,
 * the caller's to close, and untouched where there is none.
 */
int loop_add_signals(struct loop *l, struct loop_watch *w, const sigset_t *set,
		     int *fd, struct err *e);

/* Changes which events w waits for. */
void loop_change(struct loop *l, struct loop_watch *w, uint32_t events);

/*
 * Stops watching; w is not called again, not even for events that were
 * fetched already. Does nothing for a watch that is not watched.
 */
void loop_delete(struct loop *l, struct loop_watch *w);

/*
 * Arms t for a moment of CLOCK_MONOTONIC, anew where it is armed already; one
 * in the past goes off at once, after the watches that are ready. Never early;
 * late by what the kernel's timer slack and the callbacks before it take. Costs
 * no system call. Thread: the loop's, or any before the loop runs.
 */
void loop_arm(struct loop *l, struct loop_timer *t, uint64_t due_ns);

/* t does not go off any more. Does nothing where it is not armed. */
void loop_disarm(struct loop *l, struct loop_timer *t);

/* Serves events until loop_stop(). Returns 0 or a negative errno. */
int loop_run(struct loop *l, struct err *e);

/* Ends loop_run() after the current watch. Thread: the loop's. */
void loop_stop(struct loop *l);
