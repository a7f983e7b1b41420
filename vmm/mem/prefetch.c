/*
 * In windows of the order of touches. The disk is told of all of a window, and
 * of the next one, before a page of the first is waited for; so it is busy, and
 * what the guest wants first comes first. Then the window is mapped.
 *
 * The kernel reads ahead of faults too, but around them, and many times what is
 * wanted where touches are scattered. Here it is told what is.
 */
#include "vmm/mem/prefetch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"
#include "vmm/base/newer.h"
#include "vmm/base/thread.h"

/* Ranges of a window, and the most pages that one call waits for. */
enum { STACK_BYTES = THREAD_STACK(128 << 10), WINDOW = 256, CALL_PAGES = 256 };

struct prefetch {
	const struct guest_mem *m; /* borrowed */
	struct prefetch_config config;
	struct working_set set; /* the thread's */
	pthread_t thread;
	atomic_bool is_to_end;
	bool has_populate; /* the kernel knows MADV_POPULATE_* */
	_Atomic uint64_t pages;
	_Atomic uint64_t us;
	int fd; /* owned: the memory file; a mark may give it up elsewhere */
	uint64_t offset;
};

/* qsort() would ask for memory. */
static void sort(struct working_range *ranges, uint32_t count)
{
	uint32_t i, k;

	for (i = 1; i < count; i++) {
		const struct working_range r = ranges[i];

		for (k = i; k && ranges[k - 1].page > r.page; k--)
			ranges[k] = ranges[k - 1];
		ranges[k] = r;
	}
}

/* Neighbours are read in one, whatever came between their touches. */
static void read_window(const struct prefetch *p, uint32_t begin, uint32_t end)
{
	struct working_range sorted[WINDOW];
	const uint32_t count = end - begin;
	uint32_t i, last;

	memcpy(sorted, p->set.ranges + begin, count * sizeof(sorted[0]));
	sort(sorted, count);
	for (i = 0; i < count && !p->is_to_end; i = last + 1) {
		uint64_t stop = (uint64_t)sorted[i].page + sorted[i].count;

		for (last = i;
		     last + 1 < count && sorted[last + 1].page == stop; last++)
			stop += sorted[last + 1].count;
		(void)posix_fadvise(
			p->fd,
			(off_t)(p->offset +
				(uint64_t)sorted[i].page * GUEST_PAGE),
			(off_t)((stop - sorted[i].page) * GUEST_PAGE),
			POSIX_FADV_WILLNEED);
	}
}

/* As a guest's reads would; Linux before 5.14 has no call for it. */
static void touch(const uint8_t *at, uint64_t bytes)
{
	uint64_t i;

	for (i = 0; i < bytes; i += GUEST_PAGE)
		(void)*(const volatile uint8_t *)(at + i);
}

/* False where the kernel has no page for it, as the guest will find, too. */
static bool map_pages(struct prefetch *p, uint8_t *at, uint64_t bytes,
		      bool is_written)
{
	if (p->has_populate) {
		if (!madvise(at, bytes,
			     is_written ? MADV_POPULATE_WRITE
					: MADV_POPULATE_READ))
			return true;
		if (errno != EINVAL)
			return false;
		p->has_populate = false;
	}
	touch(at, bytes);
	return true;
}

static void populate(struct prefetch *p, const struct working_range *r)
{
	uint32_t done, count;

	for (done = 0; done < r->count && !p->is_to_end; done += count) {
		uint8_t *at =
			p->m->map + ((uint64_t)r->page + done) * GUEST_PAGE;

		count = r->count - done;
		if (count > CALL_PAGES)
			count = CALL_PAGES;
		if (map_pages(p, at, (uint64_t)count * GUEST_PAGE,
			      r->is_written))
			p->pages += count;
	}
}

static uint32_t window_end(const struct prefetch *p, uint32_t begin)
{
	return p->set.count - begin < WINDOW ? p->set.count : begin + WINDOW;
}

static void work(struct prefetch *p)
{
	uint32_t begin, end = window_end(p, 0), i;

	read_window(p, 0, end);
	for (begin = 0; begin < p->set.count && !p->is_to_end; begin = end) {
		end = window_end(p, begin);
		read_window(p, end, window_end(p, end));
		for (i = begin; i < end; i++)
			populate(p, &p->set.ranges[i]);
	}
}

static void *prefetch_main(void *arg)
{
	const uint64_t begin_ns = clock_now_ns();
	struct prefetch *p = arg;
	struct err e;

	log_set_thread("prefetch");
	if (p->config.confine && p->config.confine(p->config.context, &e)) {
		log_error("%s", e.text);
		return NULL;
	}
	work(p);
	p->us = (clock_now_ns() - begin_ns) / 1000;
	return NULL;
}

static int start(struct prefetch *p, struct err *e)
{
	pthread_attr_t attr;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	rc = pthread_create(&p->thread, &attr, prefetch_main, p);
	pthread_attr_destroy(&attr);
	return rc ? err_set(e, -rc, "no thread that reads ahead: %s",
			    strerror(rc))
		  : 0;
}

static void free_prefetch(struct prefetch *p)
{
	fd_close(&p->fd);
	working_set_fini(&p->set);
	free(p);
}

int prefetch_begin(struct prefetch **out, const struct guest_mem *m,
		   struct working_set *set,
		   const struct prefetch_config *config, struct err *e)
{
	struct prefetch *p = calloc(1, sizeof(*p));
	int rc;

	if (!p) {
		working_set_fini(set);
		return err_set(e, -ENOMEM, "no memory to read ahead");
	}
	p->m = m;
	p->config = *config;
	p->set = *set;
	*set = (struct working_set){0};
	p->has_populate = true;
	p->offset = m->offset;
	p->fd = fcntl(m->fd, F_DUPFD_CLOEXEC, 3);
	rc = p->fd < 0 ? err_errno(e, "the memory file") : start(p, e);
	if (rc) {
		free_prefetch(p);
		return rc;
	}
	*out = p;
	return 0;
}

void prefetch_count(const struct prefetch *p, struct prefetch_figures *out)
{
	*out = (struct prefetch_figures){.pages = p->pages, .us = p->us};
}

void prefetch_end(struct prefetch *p)
{
	if (!p)
		return;
	p->is_to_end = true;
	pthread_join(p->thread, NULL);
	free_prefetch(p);
}
