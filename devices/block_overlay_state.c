/*
 * An overlay as saved state: the map in the state, as runs of clusters of one
 * kind, and what they hold in a file beside it, one after the other. A machine
 * that is loaded reads that file for as long as it lives, and so do all others
 * that are loaded from it; what they write goes to their own stores.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "devices/block_overlay.h"
#include "vmm/base/fd.h"

/* What is copied in one go. */
enum { COPY_CLUSTERS = 16 };

enum kind { KIND_BASE, KIND_ZERO, KIND_DATA, KINDS };

static uint32_t entry_at(const struct block_overlay *o, uint32_t cluster)
{
	return atomic_load_explicit(&o->map[cluster], memory_order_relaxed);
}

static enum kind kind_of(uint32_t entry)
{
	if (entry & OVERLAY_ZERO)
		return KIND_ZERO;
	return entry & OVERLAY_PLACE ? KIND_DATA : KIND_BASE;
}

/* Copies what n clusters hold to a row of the file that begins at to. */
static int copy_run(const struct block_overlay *o, uint32_t cluster, uint32_t n,
		    int fd, uint64_t to)
{
	const uint32_t mask = OVERLAY_SAVED | OVERLAY_PLACE;
	uint8_t buffer[COPY_CLUSTERS * OVERLAY_CLUSTER];
	uint32_t entry, count;
	size_t len;
	int rc = 0;

	for (; n && !rc; n -= count, cluster += count, to += count) {
		entry = entry_at(o, cluster) & mask;
		for (count = 1; count < n && count < COPY_CLUSTERS; count++)
			if ((entry_at(o, cluster + count) & mask) !=
			    entry + count)
				break;
		len = (size_t)count * OVERLAY_CLUSTER;
		rc = fd_pread(entry & OVERLAY_SAVED ? o->saved.fd : o->store.fd,
			      buffer, len,
			      ((entry & OVERLAY_PLACE) - 1ULL) *
				      OVERLAY_CLUSTER);
		if (!rc)
			rc = fd_pwrite(fd, buffer, len, to * OVERLAY_CLUSTER);
	}
	return rc;
}

/* How many clusters from this one on are of its kind. */
static uint32_t run_at(const struct block_overlay *o, uint32_t cluster)
{
	const enum kind kind = kind_of(entry_at(o, cluster));
	uint64_t next = cluster + 1ULL;

	while (next < o->clusters) {
		if (kind == KIND_BASE &&
		    block_overlay_is_bare(o, (uint32_t)next)) {
			next += OVERLAY_CHUNK;
			continue;
		}
		if (kind_of(entry_at(o, (uint32_t)next)) != kind)
			break;
		next++;
	}
	return (uint32_t)(next < o->clusters ? next : o->clusters) - cluster;
}

void block_overlay_save(const struct block_overlay *o, int fd, uint64_t *at,
			struct visitor *v)
{
	uint64_t size = o->base->size;
	uint32_t cluster, n;
	uint8_t kind;
	int rc = 0;

	visit_u64(v, at);
	visit_u64(v, &size);
	for (cluster = 0; cluster < o->clusters && !v->rc; cluster += n) {
		n = run_at(o, cluster);
		kind = (uint8_t)kind_of(entry_at(o, cluster));
		visit_u32(v, &n);
		visit_u8(v, &kind);
		if (kind != KIND_DATA)
			continue;
		rc = copy_run(o, cluster, n, fd, *at);
		if (rc)
			visit_fail(v, rc, "can't save an overlay: %s",
				   strerror(-rc));
		*at += n;
	}
}

/* The clusters that the file has. */
static uint64_t clusters_in(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : (uint64_t)st.st_size / OVERLAY_CLUSTER;
}

static void load_run(struct block_overlay *o, uint32_t cluster, uint32_t n,
		     enum kind kind, uint64_t at)
{
	uint32_t i;

	for (i = 0; i < n && kind != KIND_BASE; i++) {
		block_overlay_touch(o, cluster + i);
		o->map[cluster + i] = kind == KIND_ZERO
					      ? OVERLAY_ZERO
					      : OVERLAY_SAVED |
							(uint32_t)(at + i + 1);
	}
}

/*
 * The clusters of a fork lie where their numbers say, in a file of their own,
 * and so a run of them tells where that is.
 */
static void load(struct block_overlay *o, int fd, uint64_t *at, bool is_fork,
		 struct visitor *v)
{
	const uint64_t there = clusters_in(fd);
	uint64_t size = 0;
	uint32_t cluster = 0, n = 0;
	uint8_t kind = 0;

	o->saved.fd = fd;
	if (!is_fork)
		visit_u64(v, at);
	visit_u64(v, &size);
	visit_check(v, size == o->base->size,
		    "the overlay is of a file of %llu bytes, and this one has "
		    "%llu; give the drive the file it had",
		    (unsigned long long)size,
		    (unsigned long long)o->base->size);
	while (cluster < o->clusters && !v->rc) {
		visit_u32(v, &n);
		visit_u8(v, &kind);
		visit_check(v, n && n <= o->clusters - cluster && kind < KINDS,
			    "a run of %u clusters of the kind %u", n, kind);
		if (is_fork && kind == KIND_DATA)
			visit_u64(v, at);
		if (!v->rc && kind == KIND_DATA)
			visit_check(v,
				    *at <= there && n <= there - *at &&
					    there <= OVERLAY_PLACE,
				    "the overlay's file ends before cluster "
				    "%llu; it is another snapshot's",
				    (unsigned long long)*at + n);
		if (v->rc)
			break;
		load_run(o, cluster, n, kind, *at);
		*at += kind == KIND_DATA ? n : 0;
		cluster += n;
	}
}

void block_overlay_load(struct block_overlay *o, int fd, uint64_t *at,
			struct visitor *v)
{
	load(o, fd, at, false, v);
}

void block_overlay_fork_load(struct block_overlay *o, int fd, struct visitor *v)
{
	uint64_t at = 0;

	load(o, fd, &at, true, v);
}

void block_overlay_fork_save(const struct block_overlay *o, uint64_t at,
			     struct visitor *v)
{
	uint64_t size = o->base->size, place;
	uint32_t cluster, n;
	uint8_t kind;

	visit_u64(v, &size);
	for (cluster = 0; cluster < o->clusters && !v->rc; cluster += n) {
		n = run_at(o, cluster);
		kind = (uint8_t)kind_of(entry_at(o, cluster));
		place = at + cluster;
		visit_u32(v, &n);
		visit_u8(v, &kind);
		if (kind == KIND_DATA)
			visit_u64(v, &place);
	}
}
