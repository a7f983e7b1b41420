/*
 * Recording and using a working set. The work is done by threads of vmm/mem;
 * here is when it begins and ends, and the file.
 *
 * A recording ends by itself after its time or with so many pages, and else
 * when the guest is paused or ends, so that saves, marks and resets find the
 * memory as ever. The file comes whole or not at all (vmm/state/file.h); one
 * that was passed as a descriptor is written in place, and its sum tells.
 */
#include "api/working_set.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/confine.h"
#include "api/console.h"
#include "api/options.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"
#include "vmm/base/passed.h"
#include "vmm/mem/prefetch.h"
#include "vmm/mem/touches.h"
#include "vmm/mem/working_set.h"
#include "vmm/state/file.h"

/* 64 MiB: two mappings a page stay below the kernel's bound of 65530. */
enum { RECORD_MS = 10000, RECORD_PAGES_MAX = 16384, NS_PER_MS = 1000000 };

_Static_assert(sizeof(((struct working_set *)0)->id) == STATE_ID_LEN,
	       "its id is a state's");

struct working_run {
	struct loop *loop;	       /* borrowed: main */
	const struct confine *confine; /* borrowed: main */
	char *path;		       /* owned */
	int fd; /* owned: a file that was passed; or -1 */
	bool is_recording;
	uint32_t record_ms;
	uint8_t id[STATE_ID_LEN];
	struct touches *touches;   /* owned; NULL where none are recorded */
	struct prefetch *prefetch; /* owned; NULL where none is */
	struct working_set older;  /* what a recording is held against */
	struct loop_watch watch;   /* the recording has ended by itself */
	struct loop_timer timer;
	uint32_t named; /* pages in the file that is used */
	uint32_t recorded;
	uint32_t used;	 /* of those in the older file */
	uint32_t missed; /* recorded, and not in the older file */
	uint32_t failures;
};

static int confine_pages(void *context, struct err *e)
{
	const struct working_run *w = context;

	return confine_thread(w->confine, FILTER_PAGES, e);
}

/* Whoever waits for the page would wait for ever. */
static void end_lost(void *context, const struct err *e)
{
	static const char lost[] = "mayfly: the guest's memory can't be mapped "
				   "after a recording\n";

	(void)context;
	console_restore();
	log_error("recording a working set: %s; the microVM ends", e->text);
	/* dprintf() would ask what stderr is, which this thread may not. */
	(void)!write(STDERR_FILENO, lost, sizeof(lost) - 1);
	_exit(EXIT_FAILED);
}

/* ---- the file -------------------------------------------------------------
 */

static int read_bytes(const struct working_run *w, uint8_t **data, size_t *len,
		      struct err *e)
{
	/* Its mode is given, where it was passed to be written. */
	CLEAN_FD int fd = w->fd < 0 ? fd_open(w->path, O_RDONLY, FD_REGULAR,
					      "working set", e)
				    : fcntl(w->fd, F_DUPFD_CLOEXEC, 3);
	struct stat st;
	int rc;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		return err_errno(e, "can't examine it");
	if (st.st_size > WORKING_SET_BYTES_MAX)
		return err_set(e, -EFBIG, "it has %lld bytes, and %d at most",
			       (long long)st.st_size, WORKING_SET_BYTES_MAX);
	*len = (size_t)st.st_size;
	*data = malloc(*len + 1);
	if (!*data)
		return err_set(e, -ENOMEM, "no memory for it");
	rc = fd_pread(fd, *data, *len, 0);
	if (rc) {
		free(*data);
		return err_set(e, rc, "can't read it: %s", strerror(-rc));
	}
	return 0;
}

static int read_file(const struct working_run *w, uint64_t pages,
		     struct working_set *set, struct err *e)
{
	uint8_t *data = NULL;
	size_t len = 0;
	int rc = read_bytes(w, &data, &len, e);

	if (rc)
		return rc;
	rc = working_set_decode(set, data, len, w->id, pages, e);
	free(data);
	return rc;
}

static int write_file(const struct working_run *w,
		      const struct working_set *set, struct err *e)
{
	uint8_t *data;
	size_t len;
	int rc = working_set_encode(set, &data, &len);

	if (rc)
		return err_set(e, rc, "no memory for the file");
	if (w->fd < 0) {
		/* Who loses it by a loss of power has lost a hint. */
		rc = state_file_write(w->path, data, len, false, e);
	} else {
		rc = ftruncate(w->fd, 0) ? -errno : 0;
		rc = rc ? rc : fd_pwrite(w->fd, data, len, 0);
		if (rc)
			err_set(e, rc, "can't write it: %s", strerror(-rc));
	}
	free(data);
	return rc;
}

/* Whether it can be written at the end is better known now. */
static int try_file(struct working_run *w, struct err *e)
{
	struct part p;
	int rc;

	if (passed_has(w->path)) {
		w->fd = fd_open(w->path, O_RDWR, FD_REGULAR, "working set", e);
		return w->fd < 0 ? w->fd : 0;
	}
	rc = part_make(&p, w->path, NULL, e);
	if (!rc)
		part_fini(&p);
	return rc;
}

/* ---- begin and end --------------------------------------------------------
 */

static void ended_ready(struct loop_watch *watch, uint32_t events)
{
	(void)events;
	working_set_end(container_of(watch, struct working_run, watch));
}

/* Nobody waits for this: ended_ready() does the rest. */
static void time_is_up(struct loop_timer *timer)
{
	touches_stop(container_of(timer, struct working_run, timer)->touches);
}

int working_set_open(struct controller *c, struct snapshot_load *body,
		     const uint8_t id[STATE_ID_LEN], struct err *e)
{
	const struct snapshot_working_set *wanted = &body->working_set;
	struct working_run *w;

	if (!body->has_working_set)
		return 0;
	if (!*wanted->path)
		return err_set(e, -EINVAL, "working_set: its path is empty");
	if (body->has_backend && body->backend.type == SNAPSHOT_BACKEND_UFFD)
		return err_set(e, -EINVAL,
			       "working_set: a handler has the memory, and "
			       "sees itself what is touched; load by File");
	w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(e, -ENOMEM, "no memory for a working set");
	w->loop = c->loop;
	w->confine = c->confine;
	w->path = body->working_set.path;
	body->working_set.path = NULL;
	w->fd = -1;
	w->is_recording = wanted->mode == SNAPSHOT_WORKING_RECORD;
	w->record_ms = wanted->record_ms ? wanted->record_ms : RECORD_MS;
	memcpy(w->id, id, sizeof(w->id));
	w->watch.fd = -1;
	w->watch.ready = ended_ready;
	w->timer.fire = time_is_up;
	c->working = w;
	return w->is_recording ? try_file(w, e) : 0;
}

static int record(struct working_run *w, const struct guest_mem *m,
		  struct err *e)
{
	const struct touches_config config = {
		.pages_max = RECORD_PAGES_MAX,
		.confine = confine_pages,
		.lost = end_lost,
		.context = w,
	};
	int rc;

	/* There may be none, or one of another snapshot. */
	(void)read_file(w, m->size / GUEST_PAGE, &w->older, NULL);
	rc = touches_begin(&w->touches, m, &config, e);
	if (rc)
		return err_context(e, "recording a working set");
	return loop_add(w->loop, &w->watch, touches_ended_fd(w->touches),
			EPOLLIN, e);
}

static void use(struct working_run *w, const struct guest_mem *m)
{
	const struct prefetch_config config = {.confine = confine_pages,
					       .context = w};
	struct working_set set;
	struct err e;
	int rc = read_file(w, m->size / GUEST_PAGE, &set, &e);

	if (!rc) {
		w->named = set.pages;
		rc = prefetch_begin(&w->prefetch, m, &set, &config, &e);
	}
	if (!rc)
		return;
	w->failures++;
	log_warn("the working set %s is not used: %s", w->path, e.text);
}

int working_set_mapped(struct working_run *w, const struct guest_mem *m,
		       struct err *e)
{
	if (w->is_recording)
		return record(w, m, e);
	use(w, m);
	return 0;
}

void working_set_resumed(struct working_run *w)
{
	if (w && w->touches && !w->timer.due_ns)
		loop_arm(w->loop, &w->timer,
			 clock_now_ns() + (uint64_t)w->record_ms * NS_PER_MS);
}

void working_set_end(struct working_run *w)
{
	struct working_set set;
	uint64_t *seen;
	struct err e;

	if (!w || !w->touches)
		return;
	loop_disarm(w->loop, &w->timer);
	loop_delete(w->loop, &w->watch);
	touches_end(w->touches, &set, &seen);
	w->touches = NULL;
	memcpy(set.id, w->id, sizeof(set.id));
	w->recorded = set.pages;
	if (w->older.pages) {
		w->used = working_set_common(&w->older, seen);
		w->missed = set.pages - w->used;
	}
	if (write_file(w, &set, &e)) {
		w->failures++;
		log_warn("the working set %s was not kept: %s", w->path,
			 e.text);
	} else {
		log_info("a working set of %u pages was recorded", set.pages);
	}
	working_set_fini(&set);
	free(seen);
}

void working_set_free(struct working_run *w)
{
	if (!w)
		return;
	working_set_end(w);
	prefetch_end(w->prefetch);
	working_set_fini(&w->older);
	fd_close(&w->fd);
	free(w->path);
	free(w);
}

void working_set_count(const struct working_run *w, struct samples *s)
{
	static const struct working_run none;
	struct prefetch_figures figures = {0};
	const char *const group = "working_set";

	if (!w)
		w = &none;
	if (w->prefetch)
		prefetch_count(w->prefetch, &figures);
	samples_add(s, group, "", "recorded_pages", SAMPLE_COUNTER,
		    w->recorded);
	samples_add(s, group, "", "used_pages", SAMPLE_COUNTER, w->used);
	samples_add(s, group, "", "missed_pages", SAMPLE_COUNTER, w->missed);
	samples_add(s, group, "", "named_pages", SAMPLE_GAUGE, w->named);
	samples_add(s, group, "", "prefetched_pages", SAMPLE_COUNTER,
		    figures.pages);
	samples_add(s, group, "", "prefetch_us", SAMPLE_GAUGE, figures.us);
	samples_add(s, group, "", "failures", SAMPLE_COUNTER, w->failures);
}
