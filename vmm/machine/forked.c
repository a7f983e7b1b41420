/*
 * The memory of a machine that goes on, as a file that others map. The guest is
 * held for an instant only, however large it is and however much it writes, so
 * all that takes time is done before, in steps, while it runs.
 *
 * Memory that is shared with a memfd (GUEST_MEM_SMALL) becomes that file: it is
 * mapped privately over itself, and who writes from then on writes to a copy of
 * the page. Nothing is copied; but mapping over pages that are mapped means to
 * unmap each, in the process and in KVM: 245 ms for 1.5 GiB. So they are
 * unmapped before, which a running guest only notices by faults: the file has
 * the pages, and they are mapped again when touched. To unmap a page is quicker
 * than to touch it, so each pass finds less, until next to nothing is left.
 *
 * Other memory is written into a new file: what was touched, then again and
 * again what was written meanwhile, until that is next to nothing. A guest that
 * writes as quickly as we copy is held while some is copied, a millisecond at a
 * time, more and more of the time, until it does not.
 *
 * What devices write is noted when they are asked to, and may be written after
 * we looked. So those notes are taken when devices are quiet only: once near
 * the end, lest there be many of them in the last pause, and then in that. A
 * guest that is paused writes nothing, but what it asked of its devices still
 * ends, and the network goes on: there is no less to note.
 */
#include "vmm/machine/forked.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"
#include "vmm/machine/parts.h"
#include "vmm/machine/saved.h"
#include "vmm/mem/frozen.h"
#include "vmm/mem/image.h"
#include "vmm/mem/mark.h"

enum {
	SLICE_BYTES = 1 << 20,
	SLICE_PAGES = SLICE_BYTES / GUEST_PAGE,
	FEW_PAGES = 128, /* which the last pause may copy */
	PASSES_MAX = 64, /* then it is as it is */
};

#define STEP_NS	 1000000ULL
#define QUICK_NS 200000ULL /* a pass with hardly anything to unmap */

struct forked {
	bool runs;	  /* the guest, meanwhile */
	bool was_tracked; /* before us */
	bool is_logged;	  /* KVM notes what is written */
	bool is_noted;	  /* what devices had written is copied */
	bool is_full;	  /* all was copied once */
	int fd;		  /* owned; the new file, -1 where memory becomes it */
	struct image_data data;
	uint64_t word;	  /* of since_copy, where to look next */
	uint64_t slice;	  /* bytes to unmap at once */
	uint64_t at;	  /* bytes that this pass has behind it */
	uint64_t left;	  /* pages at the last look; or ns of the last pass */
	uint64_t pass_ns; /* of this pass so far */
	unsigned passes;
	uint64_t *notes; /* owned; of a log that is over, and what follows */
	uint64_t *written;
	uint64_t rest_ns;  /* between steps that hold the guest; 0 */
	bool is_throttled; /* steps hold the guest */
};

void forked_free(struct machine *m)
{
	if (!m->forked)
		return;
	fd_close(&m->forked->fd);
	free(m->forked->notes);
	free(m->forked->written);
	free(m->since_copy);
	m->since_copy = NULL;
	free(m->forked);
	m->forked = NULL;
}

/* ---- while the guest runs -------------------------------------------------
 */

/* Whether the passes get nowhere: this one left hardly less than the last. */
static bool is_stuck(struct forked *f, uint64_t left)
{
	const bool is = f->passes && left > f->left / 4 * 3;

	f->left = left;
	f->passes++;
	return is;
}

/* A guest that has ended stays where it is. */
static void let_go(struct machine *m)
{
	machine_unquiet(m);
	if (m->forked->runs && !m->has_ended)
		cpus_release(m->cpus);
}

/* With vCPUs out of the guest and devices quiet. */
static int held(struct machine *m, int (*act)(struct machine *m, struct err *e),
		struct err *e)
{
	int rc;

	if (m->forked->runs)
		cpus_hold(m->cpus);
	rc = machine_quiet(m, e);
	rc = rc ? rc : act(m, e);
	let_go(m);
	return rc;
}

/* Notes begin, which the last look is for. */
static int begin_notes(struct machine *m, struct err *e)
{
	int rc = m->is_tracked ? saved_gather(m, e) : saved_track(m, e);

	if (rc)
		return rc;
	m->since_copy =
		calloc(guest_mem_words(&m->mem), sizeof(m->since_copy[0]));
	return m->since_copy
		       ? 0
		       : err_set(e, -ENOMEM, "no memory for a log of pages");
}

static int note_writes(struct machine *m, struct err *e)
{
	int rc = 0;

	m->forked->is_logged = true;
	if (!m->is_tracked)
		rc = vm_log_writes(&m->vm, &m->mem, true, e);
	return rc ? rc : held(m, begin_notes, e);
}

/*
 * The memory becomes the file: what is written from here on is noted, and goes
 * to copies of pages, which have to be brought to the file.
 */
static int split(struct machine *m, struct err *e)
{
	struct forked *f = m->forked;
	CLEAN_FD int fd = fcntl(m->mem.fd, F_DUPFD_CLOEXEC, 3);
	int rc;

	if (fd < 0)
		return err_errno(e, "a descriptor of the guest's memory");
	rc = note_writes(m, e);
	rc = rc ? rc : mark_set(&m->mem, e);
	if (rc)
		return rc;
	f->fd = fd_steal(&fd);
	f->is_full = true;
	f->word = guest_mem_words(&m->mem);
	f->passes = 0;
	return 0;
}

/* As far as the time goes; at the end of the passes the memory is split. */
static int unmap_some(struct machine *m, uint64_t end_ns, struct err *e)
{
	struct forked *f = m->forked;
	const uint64_t begin_ns = clock_now_ns();
	uint64_t now_ns = begin_ns, last_ns, bytes, pass_ns;

	while (f->at < m->mem.size && now_ns < end_ns) {
		last_ns = now_ns;
		bytes = m->mem.size - f->at;
		if (bytes > f->slice)
			bytes = f->slice;
		/* Of a shared file: it keeps the pages. */
		if (madvise(m->mem.map + f->at, bytes, MADV_DONTNEED))
			return err_errno(e, "can't unmap the guest's memory");
		f->at += bytes;
		now_ns = clock_now_ns();
		/* As much as takes half a step: faults wait meanwhile. */
		if (now_ns - last_ns < STEP_NS / 4)
			f->slice *= 2;
		else if (now_ns - last_ns > STEP_NS / 2 &&
			 f->slice > SLICE_BYTES)
			f->slice /= 2;
	}
	f->pass_ns += now_ns - begin_ns;
	if (f->at < m->mem.size)
		return 0;
	pass_ns = f->pass_ns;
	f->at = f->pass_ns = 0;
	if (!is_stuck(f, pass_ns) && pass_ns >= QUICK_NS &&
	    f->passes < PASSES_MAX)
		return 0;
	return split(m, e);
}

/* Returns 1 where that was all. */
static int copy_some(struct machine *m, uint64_t end_ns, struct err *e)
{
	struct forked *f = m->forked;
	uint64_t end;
	int rc = 0;

	while (f->at < m->mem.size && clock_now_ns() < end_ns && !rc) {
		end = m->mem.size - f->at < SLICE_BYTES ? m->mem.size
							: f->at + SLICE_BYTES;
		rc = image_write_range(&m->mem, f->at, end, &f->data, f->fd, e);
		f->at = end;
	}
	return rc ? rc : f->at == m->mem.size;
}

static int copy_written(struct machine *m, uint64_t end_ns, struct err *e)
{
	struct forked *f = m->forked;
	int rc = 0;

	while (f->word < guest_mem_words(&m->mem) && clock_now_ns() < end_ns &&
	       !rc)
		rc = image_move_pages(&m->mem, m->since_copy, &f->word,
				      SLICE_PAGES, f->fd, e);
	return rc ? rc : f->word == guest_mem_words(&m->mem);
}

static uint64_t count_written(const struct machine *m)
{
	uint64_t i, count = 0;

	for (i = 0; i < guest_mem_words(&m->mem); i++)
		count += (uint64_t)__builtin_popcountll(m->since_copy[i]);
	return count;
}

void machine_fork_slow(struct machine *m)
{
	struct forked *f = m->forked;

	if (!f->runs)
		return;
	f->rest_ns = f->is_throttled ? f->rest_ns / 2 : STEP_NS;
	f->is_throttled = true;
}

/* Looks what was written meanwhile. Returns 1 where that is next to nothing. */
static int look_again(struct machine *m, struct err *e)
{
	struct forked *f = m->forked;
	uint64_t count;
	int rc = saved_gather_guest(m, e);

	if (rc)
		return rc;
	f->word = 0;
	count = count_written(m);
	log_debug("a fork has %llu pages to copy again",
		  (unsigned long long)count);
	if (count <= FEW_PAGES || f->passes >= PASSES_MAX) {
		rc = copy_written(m, UINT64_MAX, e);
		if (rc < 0 || f->is_noted)
			return rc;
		f->is_noted = true;
		f->word = 0;
		return held(m, saved_gather, e);
	}
	if (is_stuck(f, count))
		machine_fork_slow(m);
	return 0;
}

static int step(void *machine, struct err *e)
{
	struct machine *m = machine;
	struct forked *f = m->forked;
	const uint64_t end_ns = clock_now_ns() + STEP_NS;
	int rc;

	if (f->fd < 0)
		return unmap_some(m, end_ns, e);
	if (!f->is_full) {
		rc = copy_some(m, end_ns, e);
		f->is_full = rc == 1;
		f->word = guest_mem_words(&m->mem);
		return rc < 0 ? rc : 0;
	}
	rc = copy_written(m, end_ns, e);
	return rc == 1 ? look_again(m, e) : rc;
}

void machine_fork_again(struct machine *m)
{
	struct forked *f = m->forked;

	f->is_noted = f->is_throttled = false;
	f->rest_ns = f->passes = 0;
}

int machine_fork_beside(struct machine *m,
			int (*act)(void *context, struct err *e), void *context,
			struct err *e)
{
	const bool holds = m->forked->is_throttled;
	int rc;

	if (holds)
		cpus_hold(m->cpus);
	rc = act(context, e);
	if (holds)
		let_go(m);
	return rc;
}

int machine_fork_step(struct machine *m, uint64_t *rest_ns, struct err *e)
{
	const int rc = machine_fork_beside(m, step, m, e);

	*rest_ns = m->forked->rest_ns;
	return rc;
}

/* ---- before and after -----------------------------------------------------
 */

static int begin_copy(struct machine *m, struct err *e)
{
	m->forked->fd = frozen_new("guest-memory", m->mem.size, e);
	return m->forked->fd < 0 ? m->forked->fd : note_writes(m, e);
}

int machine_fork_begin(struct machine *m, bool runs, struct err *e)
{
	int rc = 0;

	m->forked = calloc(1, sizeof(*m->forked));
	if (!m->forked)
		return err_set(e, -ENOMEM, "no memory for a fork");
	m->forked->fd = -1;
	m->forked->runs = runs;
	m->forked->slice = SLICE_BYTES;
	m->forked->was_tracked = m->is_tracked;
	if (m->mem.kind != GUEST_MEM_SMALL)
		rc = begin_copy(m, e);
	else if (!runs)
		rc = split(m, e);
	if (rc)
		machine_fork_end(m);
	return rc;
}

/* Nobody notes any more; to free it all would take time. */
static void forget_log(struct machine *m)
{
	m->is_tracked = false;
	m->forked->notes = m->mem.written;
	m->forked->written = m->written;
	m->mem.written = m->written = NULL;
}

int machine_fork(struct machine *m, struct err *e)
{
	struct forked *f = m->forked;
	int rc;

	if (!m->since_copy)
		return 0;
	rc = saved_gather(m, e);
	f->word = 0;
	rc = rc ? rc : copy_written(m, UINT64_MAX, e);
	if (rc < 0)
		return rc;
	if (!f->was_tracked)
		forget_log(m);
	return 0;
}

int machine_fork_memory(struct machine *m, int *fd, struct err *e)
{
	int rc = frozen_seal(m->forked->fd, e);

	if (!rc)
		*fd = fd_steal(&m->forked->fd);
	return rc;
}

static int end_notes(struct machine *m, struct err *e)
{
	(void)e;
	forget_log(m);
	return 0;
}

void machine_fork_end(struct machine *m)
{
	const struct forked *f = m->forked;
	struct err e;
	int rc = 0;

	if (!f)
		return;
	if (m->is_tracked && !f->was_tracked)
		rc = held(m, end_notes, &e);
	if (!rc && f->is_logged && !f->was_tracked)
		rc = vm_log_writes(&m->vm, &m->mem, false, &e);
	if (rc)
		log_warn("what is written is still noted, after a fork: %s",
			 e.text);
	forked_free(m);
}
