#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/block.h"
#include "devices/block_async.h"
#include "devices/block_file.h"
#include "devices/block_overlay.h"
#include "devices/block_request.h"
#include "devices/virtio/patience.h"
#include "devices/virtio/turn.h"
#include "devices/virtio/virtio.h"
#include "devices/worker.h"
#include "vmm/event/limiter.h"

/*
 * A virtio-block device as its own files see it: block.c has its life,
 * block_turn.c how requests go.
 */
#define BLK_F_SIZE_MAX	   (1ULL << 1)
#define BLK_F_SEG_MAX	   (1ULL << 2)
#define BLK_F_RO	   (1ULL << 5)
#define BLK_F_FLUSH	   (1ULL << 9)
#define BLK_F_MQ	   (1ULL << 12)
#define BLK_F_DISCARD	   (1ULL << 13)
#define BLK_F_WRITE_ZEROES (1ULL << 14)

/* How many requests may be in flight: a reset waits for all of them. */
enum { BLOCK_DEPTH = 128 };

struct block_counts {
	uint64_t read_count, read_bytes;
	uint64_t write_count, write_bytes;
	uint64_t flush_count, discard_count;
	uint64_t failed; /* answered with another status than OK */
};

struct block {
	struct virtio virtio; /* first */
	struct block_file file;
	struct block_file next; /* takes its place once nothing is in flight */
	bool has_next;
	struct block_overlay *overlay; /* owned; NULL for none */
	struct block_disk disk;
	char *id;   /* owned */
	char *path; /* owned; of next where there is one */
	bool is_writeback;
	enum block_engine engine;
	struct block_async async; /* its ring is made with the first request */
	struct worker worker;	  /* what may wait for the disk, but the ring */
	struct limiter limiter;
	struct block_request *slots; /* owned */
	/* Those that had been in use, and how many have ever been. */
	struct block_request *free_slots;
	uint32_t slots_used;
	size_t bytes_in_flight;
	unsigned cache_misses; /* reads left that don't ask the page cache */
	bool is_starved;       /* a queue waits for what is in flight */
	struct turn turn;      /* of the queues */
	uint32_t answered;     /* queues to publish, by index */
	uint32_t untold;       /* queues published without an interrupt, too */
	struct patience patience;
	struct block_counts counts;
};

/* Sets up what block_turn.c has of b: worker and limiter. Thread: the loop's.
 */
void block_turn_init(struct block *b);

/* As virtio_ops.kick_all, and quiesce. */
void block_serve(struct virtio *v) REQUIRES(v->device.lock);
bool block_quiesce(struct virtio *v) REQUIRES(v->device.lock);

/* Puts b->next into its place where nothing is in flight. Thread: the loop's.
 */
void block_exchange(struct block *b) REQUIRES(b->virtio.device.lock);

/* Frees the engines; nothing is in flight. Thread: the loop's. */
void block_close_engines(struct block *b) EXCLUDES(b->virtio.device.lock);
