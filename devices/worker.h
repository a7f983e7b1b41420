#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "vmm/base/thread.h"
#include "vmm/machine/device.h"

/*
 * A thread of a device's that carries out jobs one after the other and may wait
 * for the host as long as that takes, so that the loop thread need not: for a
 * disk, or for the lock of the host's network interfaces. It is made with the
 * first job, so a device that has none has no thread.
 *
 * It waits for jobs, and tells the end of them, with the device's lock held;
 * the work itself is done without. All functions but the first and the last:
 * with that lock held, which the analysis of threads can't see.
 */
struct worker_job {
	struct worker_job *next; /* among those that wait */
};

struct worker_ops {
	const char *thread; /* what the log calls it, with the device's id */
	/* Carries j out: 0 or a negative errno. Lock not held. */
	int (*perform)(struct device *d, struct worker_job *j);
	/*
	 * j was done, with what perform() returned, or -ECANCELED. Thread: the
	 * worker's, or who cancels.
	 */
	void (*done)(struct device *d, struct worker_job *j, int rc);
};

struct worker {
	const struct worker_ops *ops;
	struct device *device; /* borrowed; its lock, id and host are used */
	pthread_t thread;
	pthread_cond_t wanted;
	bool is_started;
	bool is_over;
	struct worker_job *first; /* to be carried out */
	struct worker_job *last;
	unsigned in_flight; /* added and not yet told as done */
};

/* Starts nothing. */
void worker_init(struct worker *w, const struct worker_ops *ops,
		 struct device *device);

/*
 * Hands j over. A negative errno where there can be no thread for it. Thread:
 * the loop's.
 */
int worker_add(struct worker *w, struct worker_job *j);

/*
 * What was not begun ends with -ECANCELED, told by done() in the calling
 * thread. Thread: any.
 */
void worker_cancel(struct worker *w);

/* Ends the thread, after all jobs. Thread: the loop's, unlocked. */
void worker_stop(struct worker *w) EXCLUDES(w->device->lock);
