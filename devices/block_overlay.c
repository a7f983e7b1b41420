/*
 * Overlays of disks: the store, the map, and requests on both.
 *
 * A write of whole clusters is one of the store's, as long as the places follow
 * one another; one of less takes the rest of its cluster from where that was.
 * The map changes once the bytes are there, and no place is given to another
 * cluster before a mark or a reset. So who reads beside a write sees the
 * cluster before it or after it.
 */
#include "devices/block_overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/fd.h"
#include "vmm/base/log.h"

/* Segments that one system call moves. */
enum { PIECES = 64 };

static const uint8_t zeroes[OVERLAY_CLUSTER];

/* ---- life -----------------------------------------------------------------
 */

static int open_store(const struct block_overlay_config *config, struct err *e)
{
	int fd;

	if (!config->dir) {
		fd = memfd_create("overlay", MFD_CLOEXEC);
		return fd < 0 ? err_errno(e, "can't make an overlay in memory")
			      : fd;
	}
	fd = openat(AT_FDCWD, config->dir, O_TMPFILE | O_RDWR | O_CLOEXEC,
		    0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		return err_set(e, -EOPNOTSUPP,
			       "the file system of %s has no files without a "
			       "name (O_TMPFILE), which an overlay is; give a "
			       "folder on another, or leave dir_on_host out",
			       config->dir);
	return fd < 0 ? err_errno(e, "can't make an overlay in the folder %s",
				  config->dir)
		      : fd;
}

int block_overlay_try(const struct block_overlay_config *config, struct err *e)
{
	CLEAN_FD int fd = open_store(config, e);

	return fd < 0 ? fd : 0;
}

/* Pages of them that are never used are never touched. */
static int make_map(struct block_overlay *o, struct err *e)
{
	o->map = calloc(o->clusters + 1ULL, sizeof(*o->map));
	o->undo = calloc(o->clusters + 1ULL, sizeof(*o->undo));
	/* At most every cluster once as marked, and once as it is now. */
	o->free = calloc(2ULL * o->clusters + 1, sizeof(*o->free));
	o->touched = calloc(o->clusters / OVERLAY_CHUNK / 64 + 1,
			    sizeof(*o->touched));
	if (!o->map || !o->undo || !o->free || !o->touched)
		return err_set(e, -ENOMEM, "no memory for an overlay's map");
	return 0;
}

static void set_limits(struct block_overlay *o, uint64_t bytes_max)
{
	uint64_t most = 2ULL * o->clusters;

	if (most > OVERLAY_PLACE)
		most = OVERLAY_PLACE;
	if (bytes_max && most > bytes_max / OVERLAY_CLUSTER)
		most = bytes_max / OVERLAY_CLUSTER;
	o->places_max = (uint32_t)most;
}

int block_overlay_new(struct block_overlay **out, const struct block_file *base,
		      const struct block_overlay_config *config, struct err *e)
{
	const uint64_t clusters =
		(base->size + OVERLAY_CLUSTER - 1) / OVERLAY_CLUSTER;
	struct block_overlay *o;
	int rc;

	*out = NULL;
	if (clusters >= OVERLAY_PLACE)
		return err_set(e, -EFBIG,
			       "a disk with an overlay has at most 2 TiB");
	o = calloc(1, sizeof(*o));
	if (!o)
		return err_set(e, -ENOMEM, "no memory for an overlay");
	o->base = base;
	o->saved.fd = -1;
	o->clusters = (uint32_t)clusters;
	set_limits(o, config->bytes_max);
	o->store.fd = open_store(config, e);
	o->store.is_in_memory = !config->dir;
	rc = o->store.fd < 0 ? o->store.fd : make_map(o, e);
	if (rc) {
		block_overlay_free(o);
		return rc;
	}
	*out = o;
	return 0;
}

void block_overlay_free(struct block_overlay *o)
{
	if (!o)
		return;
	block_file_close(&o->store);
	block_file_close(&o->saved);
	free(o->map);
	free(o->undo);
	free(o->free);
	free(o->touched);
	overlay_log_free(o->log);
	free(o);
}

/* ---- the map --------------------------------------------------------------
 */

static uint32_t entry_at(const struct block_overlay *o, uint32_t cluster)
{
	return atomic_load_explicit(&o->map[cluster], memory_order_acquire);
}

static uint64_t place_at(uint32_t entry)
{
	return ((entry & OVERLAY_PLACE) - 1ULL) * OVERLAY_CLUSTER;
}

/* For a fork that is being made: see block_overlay_fork.c. */
static void note(const struct block_overlay *o, uint32_t cluster)
{
	struct overlay_log *log = atomic_load(&o->log);

	if (log)
		overlay_log_note(log, cluster);
}

/* What is in the cluster now is known: the bytes are there. */
static void become(struct block_overlay *o, uint32_t cluster, uint32_t entry)
{
	const uint32_t was = entry_at(o, cluster);

	if (!(was & OVERLAY_FRESH))
		o->undo[o->undo_count++] =
			(struct overlay_undo){.cluster = cluster, .was = was};
	block_overlay_touch(o, cluster);
	atomic_store(&o->map[cluster], entry | OVERLAY_FRESH);
	note(o, cluster);
}

/* The place that is next, or 0. */
static uint32_t next_place(const struct block_overlay *o)
{
	if (o->supply.free_count)
		return o->free[o->supply.free_count - 1];
	return o->supply.end < o->places_max ? o->supply.end + 1 : 0;
}

static void take_place(struct block_overlay *o)
{
	if (o->supply.free_count)
		o->supply.free_count--;
	else
		o->supply.end++;
}

/* The place that a cluster may be written to, taken for it; 0 for none. */
static uint32_t place_for(struct block_overlay *o, uint32_t cluster,
			  uint32_t wanted)
{
	const uint32_t entry = entry_at(o, cluster);
	const bool is_own = entry & OVERLAY_FRESH && entry & OVERLAY_PLACE;
	const uint32_t place = is_own ? entry & OVERLAY_PLACE : next_place(o);

	if (!place || (wanted && place != wanted))
		return 0;
	if (!is_own)
		take_place(o);
	return place;
}

/* ---- bytes ----------------------------------------------------------------
 */

/* The first len bytes of iov, or fewer where they are in too many segments. */
static struct iov front_of(const struct iov *iov, size_t len,
			   struct iovec at[PIECES])
{
	struct iov front = {.at = at};
	unsigned i;
	size_t n;

	for (i = 0; i < iov->count && front.count < PIECES; i++) {
		n = iov->at[i].iov_len;
		if (n > len - front.bytes)
			n = len - front.bytes;
		if (!n)
			continue;
		at[front.count++] = (struct iovec){
			.iov_base = iov->at[i].iov_base,
			.iov_len = n,
		};
		front.bytes += n;
	}
	return front;
}

/* As block_file_read() and its like. */
typedef int mover(const struct block_file *f, struct iov *iov, uint64_t offset);

/* Moves len bytes and takes what was moved off iov. */
static int move(const struct block_file *f, mover *how, struct iov *iov,
		uint64_t offset, size_t len)
{
	struct iovec at[PIECES];
	struct iov front;
	size_t before;
	int rc = 0;

	while (len && !rc) {
		front = front_of(iov, len, at);
		before = front.bytes;
		rc = how(f, &front, offset);
		before -= front.bytes;
		iov_drop_front(iov, before);
		offset += before;
		len -= before;
	}
	return rc;
}

static void put_zeroes(struct iov *iov, size_t len)
{
	size_t n;

	for (; len; len -= n) {
		n = len < sizeof(zeroes) ? len : sizeof(zeroes);
		iov_write(iov, 0, zeroes, n);
		iov_drop_front(iov, n);
	}
}

/* ---- reads ----------------------------------------------------------------
 */

/* Whether the next cluster follows in the same file. */
static bool follows(uint32_t entry, uint32_t next)
{
	const uint32_t kind = OVERLAY_ZERO | OVERLAY_SAVED;

	if ((entry & kind) != (next & kind) || !entry != !next)
		return false;
	return !entry || entry & OVERLAY_ZERO ||
	       (entry & OVERLAY_PLACE) + 1 == (next & OVERLAY_PLACE);
}

/* Reads from one of the files what lies there in a row. */
static int read_run(const struct block_overlay *o, mover *how, struct iov *iov,
		    uint64_t offset)
{
	uint32_t cluster = (uint32_t)(offset / OVERLAY_CLUSTER);
	const size_t within = offset % OVERLAY_CLUSTER;
	const uint32_t entry = entry_at(o, cluster);
	uint32_t last = entry, next;
	size_t len = OVERLAY_CLUSTER - within;

	for (; len < iov->bytes; len += OVERLAY_CLUSTER, last = next) {
		next = entry_at(o, ++cluster);
		if (!follows(last, next))
			break;
	}
	if (len > iov->bytes)
		len = iov->bytes;
	if (!entry)
		return move(o->base, how, iov, offset, len);
	if (!(entry & OVERLAY_ZERO))
		return move(entry & OVERLAY_SAVED ? &o->saved : &o->store, how,
			    iov, place_at(entry) + within, len);
	put_zeroes(iov, len);
	return 0;
}

static int read_all(const struct block_overlay *o, mover *how, struct iov *iov,
		    uint64_t offset)
{
	size_t before;
	int rc = 0;

	while (iov->bytes && !rc) {
		before = iov->bytes;
		rc = read_run(o, how, iov, offset);
		offset += before - iov->bytes;
	}
	return rc;
}

int block_overlay_read_cached(const struct block_overlay *o, struct iov *iov,
			      uint64_t offset)
{
	return read_all(o, block_file_read_cached, iov, offset);
}

/* ---- writes ---------------------------------------------------------------
 */

/*
 * Writes whole clusters, the first of at most count whose places are in a row;
 * *written says how many.
 */
static int write_run(struct block_overlay *o, struct iov *iov, uint32_t cluster,
		     uint32_t count, uint32_t *written)
{
	const struct overlay_supply before = o->supply;
	const uint32_t first = place_for(o, cluster, 0);
	uint32_t n = 1, i;
	int rc;

	if (!first)
		return -ENOSPC;
	while (n < count && place_for(o, cluster + n, first + n))
		n++;
	rc = move(&o->store, block_file_write, iov, place_at(first),
		  (size_t)n * OVERLAY_CLUSTER);
	if (rc) {
		/* Where they had their places some may be written all the same.
		 */
		for (i = 0; i < n; i++)
			note(o, cluster + i);
		o->supply = before;
		return rc;
	}
	for (i = 0; i < n; i++)
		become(o, cluster + i, first + i);
	*written = n;
	return 0;
}

/* What is in a cluster, and zeroes behind the disk's end. */
static int read_cluster(const struct block_overlay *o, uint32_t cluster,
			uint8_t buffer[OVERLAY_CLUSTER])
{
	const uint64_t offset = (uint64_t)cluster * OVERLAY_CLUSTER;
	const uint64_t left = o->base->size - offset;
	struct iovec at = {
		.iov_base = buffer,
		.iov_len = left < OVERLAY_CLUSTER ? left : OVERLAY_CLUSTER,
	};
	struct iov iov = {.at = &at, .count = 1, .bytes = at.iov_len};

	memset(buffer + at.iov_len, 0, OVERLAY_CLUSTER - at.iov_len);
	return read_run(o, block_file_read, &iov, offset);
}

/* Writes len bytes of a cluster that has others, too. */
static int write_part(struct block_overlay *o, struct iov *iov,
		      uint32_t cluster, size_t within, size_t len)
{
	const uint32_t entry = entry_at(o, cluster);
	uint8_t buffer[OVERLAY_CLUSTER];
	struct iovec at = {.iov_base = buffer, .iov_len = sizeof(buffer)};
	struct iov whole = {.at = &at, .count = 1, .bytes = sizeof(buffer)};
	uint32_t written;
	int rc;

	if (entry & OVERLAY_FRESH && !(entry & OVERLAY_ZERO)) {
		rc = move(&o->store, block_file_write, iov,
			  place_at(entry) + within, len);
		note(o, cluster);
		return rc;
	}
	rc = read_cluster(o, cluster, buffer);
	if (rc)
		return rc;
	iov_read(iov, 0, buffer + within, len);
	rc = write_run(o, &whole, cluster, 1, &written);
	if (!rc)
		iov_drop_front(iov, len);
	return rc;
}

static int write_all(struct block_overlay *o, struct iov *iov, uint64_t offset)
{
	uint32_t cluster, n;
	size_t within, len;
	int rc = 0;

	while (iov->bytes && !rc) {
		cluster = (uint32_t)(offset / OVERLAY_CLUSTER);
		within = offset % OVERLAY_CLUSTER;
		len = OVERLAY_CLUSTER - within;
		if (!within && iov->bytes >= OVERLAY_CLUSTER) {
			rc = write_run(o, iov, cluster,
				       (uint32_t)(iov->bytes / OVERLAY_CLUSTER),
				       &n);
			offset += rc ? 0 : (uint64_t)n * OVERLAY_CLUSTER;
			continue;
		}
		if (len > iov->bytes)
			len = iov->bytes;
		rc = write_part(o, iov, cluster, within, len);
		offset += len;
	}
	return rc;
}

/* ---- zeroes ---------------------------------------------------------------
 */

/* Places in a row whose bytes nobody wants any more. */
struct places {
	uint32_t first;
	uint32_t count;
};

/* Gives their space back to the host, as far as that can be. */
static void give_back(struct block_overlay *o, struct places *p)
{
	if (p->count)
		(void)block_file_discard(&o->store, place_at(p->first),
					 (uint64_t)p->count * OVERLAY_CLUSTER);
	p->count = 0;
}

static void give_back_one(struct block_overlay *o, struct places *p,
			  uint32_t place)
{
	if (p->count && place != p->first + p->count)
		give_back(o, p);
	if (!p->count)
		p->first = place;
	p->count++;
}

/* A cluster keeps its place: others may still be reading from it. */
static void zero_clusters(struct block_overlay *o, uint32_t cluster,
			  uint32_t end, enum block_op op)
{
	struct places gone = {0};
	uint32_t entry, place;

	for (; cluster < end; cluster++) {
		entry = entry_at(o, cluster);
		place = entry & OVERLAY_FRESH ? entry & OVERLAY_PLACE : 0;
		/* What was there at the mark is not to be had by a discard. */
		if (entry & OVERLAY_ZERO || (op == BLOCK_DISCARD && !place))
			continue;
		become(o, cluster, OVERLAY_ZERO | place);
		if (place && op != BLOCK_ZERO)
			give_back_one(o, &gone, place);
	}
	give_back(o, &gone);
}

static int zero_part(struct block_overlay *o, uint64_t offset, size_t len)
{
	/* It is only read. */
	struct iovec at = {
		.iov_base = (void *)(uintptr_t)zeroes,
		.iov_len = len,
	};
	struct iov iov = {.at = &at, .count = 1, .bytes = len};

	if (entry_at(o, (uint32_t)(offset / OVERLAY_CLUSTER)) & OVERLAY_ZERO)
		return 0;
	return write_all(o, &iov, offset);
}

/* A short cluster at the end of the disk is whole. */
static int zero_all(struct block_overlay *o, uint64_t offset, uint64_t length,
		    enum block_op op)
{
	const uint64_t end = offset + length;
	const uint64_t last = end == o->base->size ? o->clusters
						   : end / OVERLAY_CLUSTER;
	uint64_t cluster, len;
	int rc = 0;

	for (; offset < end && !rc; offset += len) {
		cluster = offset / OVERLAY_CLUSTER;
		len = (cluster + 1) * OVERLAY_CLUSTER - offset;
		if (len == OVERLAY_CLUSTER && cluster < last) {
			zero_clusters(o, (uint32_t)cluster, (uint32_t)last, op);
			len = last * OVERLAY_CLUSTER - offset;
			continue;
		}
		if (len > end - offset)
			len = end - offset;
		if (op != BLOCK_DISCARD)
			rc = zero_part(o, offset, (size_t)len);
	}
	return rc;
}

int block_overlay_perform(struct block_overlay *o, struct block_request *r)
{
	switch (r->op) {
	case BLOCK_READ:
		return read_all(o, block_file_read, &r->data, r->offset);
	case BLOCK_WRITE:
		return write_all(o, &r->data, r->offset);
	case BLOCK_ZERO:
	case BLOCK_ZERO_UNMAP:
	case BLOCK_DISCARD:
		return zero_all(o, r->offset, r->length, r->op);
	default:
		/* Nothing to flush: the store goes with the process. */
		return 0;
	}
}

/* ---- marks ----------------------------------------------------------------
 */

void block_overlay_mark(struct block_overlay *o)
{
	struct places gone = {0};
	const struct overlay_undo *u;
	uint32_t entry, i;

	for (i = 0; i < o->undo_count; i++) {
		u = &o->undo[i];
		entry = entry_at(o, u->cluster) & ~OVERLAY_FRESH;
		/* What only the mark before this one had. */
		if (!(u->was & OVERLAY_SAVED) && u->was & OVERLAY_PLACE) {
			o->free[o->supply.free_count++] = u->was;
			give_back_one(o, &gone, u->was);
		}
		if (entry & OVERLAY_ZERO && entry & OVERLAY_PLACE) {
			entry &= OVERLAY_PLACE;
			o->free[o->supply.free_count++] = entry;
			give_back_one(o, &gone, entry);
			entry = OVERLAY_ZERO;
		}
		atomic_store_explicit(&o->map[u->cluster], entry,
				      memory_order_relaxed);
	}
	give_back(o, &gone);
	o->undo_count = 0;
	o->marked = o->supply;
}

void block_overlay_reset(struct block_overlay *o)
{
	struct places gone = {0};
	uint32_t i;

	for (i = 0; i < o->undo_count; i++)
		atomic_store_explicit(&o->map[o->undo[i].cluster],
				      o->undo[i].was, memory_order_relaxed);
	/* They were taken from the end, and nothing was put back since. */
	for (i = o->marked.free_count; i > o->supply.free_count; i--)
		give_back_one(o, &gone, o->free[i - 1]);
	give_back(o, &gone);
	/* Where that fails they are written over, as all that is free. */
	if (o->supply.end > o->marked.end &&
	    ftruncate(o->store.fd, (off_t)place_at(o->marked.end + 1)))
		log_debug("an overlay keeps its space: %s", strerror(errno));
	o->supply = o->marked;
	o->undo_count = 0;
}
