#pragma once

#include <stdbool.h>

#include "devices/block_overlay.h"
#include "vmm/base/err.h"
#include "vmm/event/limiter.h"
#include "vmm/machine/device.h"

/* A virtio-block device on a file (virtio 1.2, 5.2). */
enum block_engine {
	BLOCK_SYNC,  /* one system call a request, in a thread of the drive's */
	BLOCK_ASYNC, /* io_uring; where the host has none, as BLOCK_SYNC */
};

enum { BLOCK_QUEUES_MAX = 8 };

struct block_config {
	const char *id;	  /* also what get-id tells, its first 20 bytes */
	const char *path; /* regular file or block device, raw */
	bool is_read_only;
	/*
	 * What the guest flushes reaches stable storage. Without, the disk
	 * claims to have no cache, as if everything written were safe, and a
	 * crash of the host may lose it.
	 */
	bool is_writeback;
	enum block_engine engine;
	unsigned queues; /* 1 to BLOCK_QUEUES_MAX */
	/*
	 * What the guest writes goes to an overlay, and the file is opened for
	 * reading alone. All of it is served as by BLOCK_SYNC: a request may be
	 * several on two files, which a ring does not do in one go.
	 */
	struct block_overlay_config overlay;
	struct limiter_config limiter;
};

/*
 * Opens the file. Strings are copied. Returns 0 or a negative errno with a
 * sentence that names the file. The device belongs to the loop thread.
 */
int block_new(struct device **out, const struct block_config *config,
	      struct err *e);

/*
 * Puts another file in the place of d's, or opens the same anew where path is
 * NULL, and tells the guest the size. What is in flight ends on the old file
 * first: nobody waits for that here, but what the guest asks from now on is for
 * the new one. On failure the old one stays, and so it does where there is an
 * overlay, which fits no other. d is from block_new() and has been
 * added to a machine. Thread: the loop's, d's lock not held.
 */
int block_set_path(struct device *d, const char *path, struct err *e)
	EXCLUDES(d->lock);

/* Sets the buckets that are given. Thread: the loop's, d's lock not held. */
void block_set_limiter(struct device *d, const struct limiter_config *config)
	EXCLUDES(d->lock);

/*
 * The overlay of d, to be marked, reset, saved or loaded while d is held and
 * quiet (device_ops.hold); NULL where it has none. Borrowed: d. Thread: the
 * loop's.
 */
struct block_overlay *block_overlay_of(struct device *d);
