#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * The agent's one loop: epoll, level-triggered. A watch is embedded in what it
 * serves; after watch_set(w, 0) nothing is called for it any more, also not for
 * an event that epoll had already reported.
 */
struct watch {
	int fd;		 /* -1: none */
	uint32_t events; /* 0: not watched */
	void (*ready)(struct watch *w, uint32_t events);
};

/* A moment at which something is done once. Times are in ns, CLOCK_MONOTONIC.
 */
struct timer {
	uint64_t at_ns; /* 0: off */
	void (*expired)(struct timer *t);
	struct timer *next;
};

/* 0 or a negative errno. */
int loop_open(void);

/* Has @w, which stays the caller's, watch @fd; 0 as @events: not yet. */
void watch_start(struct watch *w, int fd, uint32_t events,
		 void (*ready)(struct watch *w, uint32_t events));

/* Watches for other events. 0 is not at all: not even for a hang-up. */
void watch_set(struct watch *w, uint32_t events);

/* Stops watching and closes. */
void watch_close(struct watch *w);

void timer_set(struct timer *t, uint32_t ms, void (*expired)(struct timer *));

/* Waits once and calls what is ready. */
void loop_turn(void);

#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))
