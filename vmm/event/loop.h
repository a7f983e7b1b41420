#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/base/err.h"

/*
 * The event loop: epoll over watches that live inside their owners. One loop
 * runs in one thread (docs/threads.md calls it the loop thread), which owns
 * every device's back end, the API socket and the console.
 */
struct loop_watch {
	int fd; /* borrowed; -1 while not watched */
	/*
	 * Called in the loop thread with EPOLL* events. May add and delete any
	 * watch, its own included, and free what holds it once deleted.
	 */
	void (*ready)(struct loop_watch *w, uint32_t events);
};

struct loop {
	int fd; /* owned */
	bool stopping;
	struct loop_watch *
		*batch; /* what epoll_wait gave, while it is served */
	int batch_count;
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

/* Changes which events w waits for. */
void loop_change(struct loop *l, struct loop_watch *w, uint32_t events);

/*
 * Stops watching; w is not called again, not even for events that were
 * fetched already. Does nothing for a watch that is not watched.
 */
void loop_delete(struct loop *l, struct loop_watch *w);

/* Serves events until loop_stop(). Returns 0 or a negative errno. */
int loop_run(struct loop *l, struct err *e);

/* Ends loop_run() after the current watch. Thread: the loop's. */
void loop_stop(struct loop *l);
