/*
 * An overlay as a fork has it: a copy of what its clusters hold, each at a
 * place of its own in a file in memory, and of the map at the instant.
 *
 * To share the store would be quicker still, but its places would have to be
 * kept from then on for as long as anybody might read them, which nobody tells
 * us; and a file that its parent writes to is no file for others to rely on. So
 * it is copied while the guest goes on, all of it once and then again and again
 * what was written meanwhile, until that is next to nothing. The guest is held
 * for that alone.
 *
 * Whoever writes notes it when the bytes are there, and whoever copies takes
 * the note before the bytes: so what is copied half is noted. Both go by one
 * order (seq_cst) with the switch that says whether notes are wanted.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "devices/block_overlay.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"

enum {
	ROW = 16,	  /* clusters that are copied in one go */
	LOOK = 1024,	  /* clusters of no data between looks at the clock */
	FEW = 64,	  /* clusters that the pause may copy */
	AHEAD = 1U << 20, /* bytes that a disk is asked for */
	WORD = 64,
};

/* A bit for each cluster, and one for each word of those that has some. */
struct overlay_log {
	_Atomic uint64_t *words; /* owned */
	_Atomic uint64_t *some;	 /* owned */
	uint32_t groups;	 /* of some[] */
	atomic_bool is_on;
	/* Of the fork that is being made. */
	int fd;		  /* borrowed */
	uint64_t at;	  /* where cluster 0 goes */
	uint32_t cluster; /* that the first pass is at */
	uint32_t group;	  /* that a later one is at */
	uint32_t left;	  /* at the last look */
	unsigned passes;
};

void overlay_log_free(struct overlay_log *log)
{
	if (!log)
		return;
	free(log->words);
	free(log->some);
	free(log);
}

void overlay_log_note(struct overlay_log *log, uint32_t cluster)
{
	const uint32_t word = cluster / WORD;

	if (!atomic_load(&log->is_on))
		return;
	atomic_fetch_or(&log->words[word], 1ULL << cluster % WORD);
	atomic_fetch_or(&log->some[word / WORD], 1ULL << word % WORD);
}

static struct overlay_log *log_new(uint32_t clusters)
{
	struct overlay_log *log = calloc(1, sizeof(*log));

	if (!log)
		return NULL;
	log->groups = clusters / (WORD * WORD) + 1;
	log->words = calloc((size_t)log->groups * WORD, sizeof(*log->words));
	log->some = calloc(log->groups, sizeof(*log->some));
	if (log->words && log->some)
		return log;
	overlay_log_free(log);
	return NULL;
}

/* ---- copying ------------------------------------------------------------ */

/* In one order with the notes. */
static uint32_t entry_at(const struct block_overlay *o, uint32_t cluster)
{
	return atomic_load(&o->map[cluster]);
}

static bool has_data(uint32_t entry)
{
	return entry & OVERLAY_PLACE && !(entry & OVERLAY_ZERO);
}

/* -EAGAIN where a disk would have to be waited for; it is asked for more. */
static int read_row(const struct block_file *f, uint8_t *to, size_t len,
		    uint64_t at, bool may_wait)
{
	struct iovec piece = {.iov_base = to, .iov_len = len};
	struct iov iov = {.at = &piece, .count = 1, .bytes = len};
	int rc;

	if (may_wait || f->is_in_memory)
		return fd_pread(f->fd, to, len, at);
	rc = block_file_read_cached(f, &iov, at);
	if (rc == -EAGAIN)
		(void)posix_fadvise(f->fd, (off_t)at, AHEAD,
				    POSIX_FADV_WILLNEED);
	/* A file system that can't tell. */
	return rc == -EOPNOTSUPP ? fd_pread(f->fd, to, len, at) : rc;
}

/*
 * What follows one another, of at most max clusters; *count says how many.
 * Returns 1 where something was copied.
 */
static int copy_row(const struct block_overlay *o, uint32_t cluster,
		    uint32_t max, bool may_wait, uint32_t *count)
{
	const uint32_t mask = OVERLAY_SAVED | OVERLAY_PLACE;
	const struct overlay_log *log = o->log;
	const uint32_t entry = entry_at(o, cluster);
	const struct block_file *from = entry & OVERLAY_SAVED ? &o->saved
							      : &o->store;
	uint8_t buffer[ROW * OVERLAY_CLUSTER];
	uint32_t n = 1, next;
	size_t len;
	int rc;

	*count = 1;
	if (!has_data(entry))
		return 0;
	for (; n < max && n < ROW; n++) {
		next = entry_at(o, cluster + n);
		if (!has_data(next) || (next & mask) != (entry & mask) + n)
			break;
	}
	len = (size_t)n * OVERLAY_CLUSTER;
	rc = read_row(from, buffer, len,
		      ((entry & OVERLAY_PLACE) - 1ULL) * OVERLAY_CLUSTER,
		      may_wait);
	if (!rc)
		rc = fd_pwrite(log->fd, buffer, len,
			       (log->at + cluster) * OVERLAY_CLUSTER);
	*count = n;
	return rc ? rc : 1;
}

/* The first pass, a little at least. Returns 1 at its end. */
static int copy_some(struct block_overlay *o, uint64_t end_ns)
{
	struct overlay_log *log = o->log;
	uint32_t n;
	int rc;

	while (log->cluster < o->clusters) {
		if (block_overlay_is_bare(o, log->cluster)) {
			log->cluster += OVERLAY_CHUNK;
			continue;
		}
		rc = copy_row(o, log->cluster, o->clusters - log->cluster,
			      false, &n);
		if (rc < 0)
			return rc;
		log->cluster += n;
		if ((rc || log->cluster % LOOK == 0) &&
		    clock_now_ns() >= end_ns)
			return 0;
	}
	return 1;
}

/* Copies what a word notes; what is not copied is noted again. */
static int copy_word(struct block_overlay *o, uint32_t word, bool may_wait)
{
	struct overlay_log *log = o->log;
	uint64_t bits = atomic_exchange(&log->words[word], 0);
	uint32_t bit, max, n;
	int rc = 0;

	while (bits && rc >= 0) {
		bit = (uint32_t)__builtin_ctzll(bits);
		/* Those that follow one another, without a gap. */
		for (max = 1; bit + max < WORD && bits >> (bit + max) & 1;)
			max++;
		rc = copy_row(o, word * WORD + bit, max, may_wait, &n);
		/* The lowest bits that are set, one after the other. */
		for (; n && rc >= 0; n--)
			bits &= bits - 1;
	}
	if (bits)
		atomic_fetch_or(&log->words[word], bits);
	return rc < 0 ? rc : 0;
}

/* A later pass, up to end_ns. Returns 1 at its end. */
static int copy_noted(struct block_overlay *o, uint64_t end_ns, bool may_wait)
{
	struct overlay_log *log = o->log;
	uint64_t some;
	uint32_t bit;
	int rc = 0;

	for (; log->group < log->groups; log->group++) {
		some = atomic_exchange(&log->some[log->group], 0);
		while (some && !rc && clock_now_ns() < end_ns) {
			bit = (uint32_t)__builtin_ctzll(some);
			rc = copy_word(o, log->group * WORD + bit, may_wait);
			some &= rc ? some : some - 1;
		}
		if (some) {
			atomic_fetch_or(&log->some[log->group], some);
			return rc;
		}
	}
	return 1;
}

static uint32_t count_noted(const struct overlay_log *log)
{
	uint32_t group, bit, count = 0;
	uint64_t some;

	for (group = 0; group < log->groups; group++) {
		some = atomic_load(&log->some[group]);
		for (; some; some &= some - 1) {
			bit = (uint32_t)__builtin_ctzll(some);
			count += (uint32_t)__builtin_popcountll(
				atomic_load(&log->words[group * WORD + bit]));
		}
	}
	return count;
}

/* ---- a fork ---------------------------------------------------------------
 */

uint32_t block_overlay_clusters(const struct block_overlay *o)
{
	return o->clusters;
}

int block_overlay_fork_begin(struct block_overlay *o, int fd, uint64_t at,
			     struct err *e)
{
	struct overlay_log *log = o->log;
	uint32_t group;

	if (!log)
		log = log_new(o->clusters);
	if (!log)
		return err_set(e, -ENOMEM, "no memory for an overlay's notes");
	/* What was noted when the one before had ended. */
	for (group = 0; group < log->groups; group++) {
		if (atomic_exchange(&log->some[group], 0))
			memset((void *)(uintptr_t)&log->words[group * WORD], 0,
			       WORD * sizeof(*log->words));
	}
	log->fd = fd;
	log->at = at;
	log->cluster = log->left = 0;
	atomic_store(&log->is_on, true);
	atomic_store(&o->log, log);
	block_overlay_fork_again(o);
	return 0;
}

void block_overlay_fork_again(struct block_overlay *o)
{
	struct overlay_log *log = o->log;

	log->group = log->passes = 0;
}

int block_overlay_fork_step(struct block_overlay *o, uint64_t end_ns,
			    struct overlay_fork_look *look, struct err *e)
{
	struct overlay_log *log = o->log;
	uint32_t left;
	int rc;

	if (log->cluster < o->clusters)
		rc = copy_some(o, end_ns);
	else
		rc = copy_noted(o, end_ns, false);
	if (rc == -EAGAIN)
		look->waits = true;
	else if (rc < 0)
		return err_set(e, rc, "can't copy an overlay: %s",
			       strerror(-rc));
	if (rc != 1)
		return 0;
	left = count_noted(log);
	log->group = 0;
	if (left <= FEW)
		return 1;
	look->is_stuck |= log->passes && left > log->left / 4 * 3;
	log->left = left;
	log->passes++;
	return 0;
}

int block_overlay_fork_rest(struct block_overlay *o, struct err *e)
{
	struct overlay_log *log = o->log;
	int rc;

	/* What nobody noted was copied by the first pass. */
	assert(log->cluster >= o->clusters);
	log->group = 0;
	rc = copy_noted(o, UINT64_MAX, true);
	return rc < 0 ? err_set(e, rc, "can't copy an overlay: %s",
				strerror(-rc))
		      : 0;
}

void block_overlay_fork_end(struct block_overlay *o)
{
	struct overlay_log *log = o->log;

	if (log)
		atomic_store(&log->is_on, false);
}
