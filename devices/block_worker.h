#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "devices/block_file.h"
#include "devices/block_overlay.h"
#include "devices/block_request.h"
#include "vmm/base/thread.h"
#include "vmm/machine/device.h"

/*
 * A thread that carries out requests one after the other and may wait for the
 * disk as long as that takes: all of them with io_engine Sync, and with Async
 * what io_uring is not asked for. It is made with the first request, so a drive
 * that needs none has none.
 *
 * It waits for work, and tells the end of it, with the device's lock held; the
 * work itself is done without. All functions but the first and the last: with
 * that lock held, which the analysis of threads can't see.
 */
struct block_worker {
	struct device *device; /* borrowed; its lock, id and host are used */
	struct block_file
		*file; /* borrowed; stays while anything is in flight */
	struct block_overlay *overlay; /* borrowed, likewise; NULL for none */
	/* r was done: 0 or a negative errno. Thread: the worker's. */
	void (*done)(void *owner, struct block_request *r, int rc);
	void *owner; /* borrowed: the device */
	pthread_t thread;
	pthread_cond_t wanted;
	bool is_started;
	bool is_over;
	struct block_request *first; /* to be carried out */
	struct block_request *last;
	unsigned in_flight; /* added and not yet told as done */
};

/* device, file, done and owner are set. Starts nothing. */
void block_worker_init(struct block_worker *w);

/* Hands r over. A negative errno where there can be no thread for it. */
int block_worker_add(struct block_worker *w, struct block_request *r);

/* Carries r out now, in the thread that calls, where there is none for it. */
int block_worker_perform(struct block_worker *w, struct block_request *r);

/*
 * What was not begun ends with -ECANCELED, told by done() in the calling
 * thread; what was begun is asked to be brief. Thread: any.
 */
void block_worker_cancel(struct block_worker *w);

/* Ends the thread. Nothing may be in flight. Thread: the loop's, unlocked. */
void block_worker_stop(struct block_worker *w) EXCLUDES(w->device->lock);
