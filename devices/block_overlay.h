#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/block_file.h"
#include "devices/block_request.h"
#include "vmm/base/err.h"
#include "vmm/state/visit.h"

/*
 * What a guest wrote to a disk whose file stays as it is: clusters of 4 KiB in
 * a store of the monitor's, a file without a name that goes with the process.
 * A map says of each cluster of the disk where it is. A cluster that was there
 * at the mark is never written again: what is written since goes to another
 * place of the store, and a reset is the map as it was.
 *
 * One thread at a time carries out requests. block_overlay_read_cached() may
 * run beside it; all else needs quiet: nothing is in flight.
 */
enum { OVERLAY_CLUSTER = 4096 };

/*
 * An entry of the map. 0: the cluster is the disk's file's. The low bits are a
 * place in the store, from 1 on, or with SAVED in the file of the snapshot.
 */
enum {
	OVERLAY_FRESH = 1U << 31, /* since the mark */
	OVERLAY_ZERO = 1U << 30, /* reads as zeroes, whatever is in its place */
	OVERLAY_SAVED = 1U << 29,
	OVERLAY_PLACE = OVERLAY_SAVED - 1,
};

/* Of a map, parts that are looked at as one where nothing was ever written. */
enum { OVERLAY_CHUNK = 1024 };

struct block_overlay_config {
	bool is_wanted;
	const char *dir;    /* where the store is; NULL for memory */
	uint64_t bytes_max; /* of the store; 0 for as many as it takes */
};

/* What a cluster was at the mark. */
struct overlay_undo {
	uint32_t cluster;
	uint32_t was;
};

/* How much of the store is in use: what is past end was never, free[] was. */
struct overlay_supply {
	uint32_t end;
	uint32_t free_count;
};

struct overlay_log;

struct block_overlay {
	const struct block_file *base; /* borrowed: the device */
	struct block_file store;
	struct block_file saved; /* read, never written; fd -1 for none */
	uint32_t clusters;	 /* of the disk, the last one perhaps short */
	uint32_t places_max;
	_Atomic uint32_t *map;	   /* owned */
	struct overlay_undo *undo; /* owned; room for all clusters */
	uint32_t undo_count;
	uint32_t *free; /* owned; places, the next one last */
	struct overlay_supply supply;
	struct overlay_supply marked;
	_Atomic uint64_t *touched; /* owned; a bit for each chunk of the map */
	_Atomic(struct overlay_log *) log; /* owned; NULL before a fork */
};

/* Whether nothing in the chunk that begins with this cluster is ours. */
static inline bool block_overlay_is_bare(const struct block_overlay *o,
					 uint32_t cluster)
{
	const uint32_t chunk = cluster / OVERLAY_CHUNK;

	return cluster % OVERLAY_CHUNK == 0 &&
	       !(atomic_load(&o->touched[chunk / 64]) >> chunk % 64 & 1);
}

/* What makes a chunk one that is looked at. */
static inline void block_overlay_touch(struct block_overlay *o,
				       uint32_t cluster)
{
	const uint32_t chunk = cluster / OVERLAY_CHUNK;
	const uint64_t bit = 1ULL << chunk % 64;

	if (!(atomic_load(&o->touched[chunk / 64]) & bit))
		atomic_fetch_or(&o->touched[chunk / 64], bit);
}

/* Whether a store can be made as config says; a sentence where it can't. */
int block_overlay_try(const struct block_overlay_config *config, struct err *e);

/*
 * An empty overlay of base, which is open and stays where it is. On failure
 * *out is NULL.
 */
int block_overlay_new(struct block_overlay **out, const struct block_file *base,
		      const struct block_overlay_config *config, struct err *e);

/* Accepts NULL. */
void block_overlay_free(struct block_overlay *o);

/*
 * As block_request_perform(). -ENOSPC where the store is full; what the
 * clusters held until then they hold on.
 */
int block_overlay_perform(struct block_overlay *o, struct block_request *r);

/* As block_file_read_cached(). Thread: any, beside the one that performs. */
int block_overlay_read_cached(const struct block_overlay *o, struct iov *iov,
			      uint64_t offset);

/* The disk as it is now is what block_overlay_reset() goes back to. */
void block_overlay_mark(struct block_overlay *o);
void block_overlay_reset(struct block_overlay *o);

/*
 * Saves or loads the map. Saving, what the clusters hold goes to fd, from
 * cluster *at on. Loading, they are read from there for as long as o lives: fd
 * is taken in every case, o is empty and nothing is marked.
 */
void block_overlay_save(const struct block_overlay *o, int fd, uint64_t *at,
			struct visitor *v);
void block_overlay_load(struct block_overlay *o, int fd, uint64_t *at,
			struct visitor *v);

/*
 * A fork (block_overlay_fork.c): what the clusters hold goes to fd, which has
 * room for all of them from cluster at on, while they are read and written. It
 * is begun, takes steps up to end_ns, and where they say 1 the rest can be
 * copied in a moment, when nothing is in flight; then the map is as at that
 * instant. *look is told of what is in the way. Who let time go by goes on with
 * block_overlay_fork_again(). Thread: the loop's.
 */
struct overlay_fork_look {
	bool is_stuck; /* as much is written as we copy */
	bool waits;    /* for a disk */
};

/* Of its disk, the last one perhaps short. */
uint32_t block_overlay_clusters(const struct block_overlay *o);

int block_overlay_fork_begin(struct block_overlay *o, int fd, uint64_t at,
			     struct err *e);
int block_overlay_fork_step(struct block_overlay *o, uint64_t end_ns,
			    struct overlay_fork_look *look, struct err *e);
void block_overlay_fork_again(struct block_overlay *o);
int block_overlay_fork_rest(struct block_overlay *o, struct err *e);
void block_overlay_fork_end(struct block_overlay *o);

/*
 * The map of a fork, saved, whose clusters lie where their numbers say; and
 * loaded, as block_overlay_load() does.
 */
void block_overlay_fork_save(const struct block_overlay *o, uint64_t at,
			     struct visitor *v);
void block_overlay_fork_load(struct block_overlay *o, int fd,
			     struct visitor *v);

/* Of a cluster whose bytes were written just now. Thread: who performs. */
void overlay_log_note(struct overlay_log *log, uint32_t cluster);

/* Accepts NULL. */
void overlay_log_free(struct overlay_log *log);
