/*
 * Nothing tells of reads but missing pages, and a mapping of a file has none:
 * userfaultfd knows anonymous memory only. So for as long as touches are
 * recorded there is anonymous memory without a page in the place of the memory
 * file's mapping. Who touches a page of it waits; this file's thread notes the
 * page, maps that page of the memory file over it, as it was to be in the first
 * place, and lets who waits try again. At the end the gaps are mapped likewise.
 * Nothing was copied, and the guest has what it would have had: pages of the
 * page cache that all share, and its own where it wrote.
 *
 * Each page is mapped once, by one thread, before anybody can have written to
 * it; that is why nothing is lost where a fault and the end meet.
 *
 * The kernel bounds how many mappings a process may have (65530 by default),
 * and each page apart makes two. Where that bound is met, the end comes early,
 * and takes none: each gap was a mapping already.
 */
#include "vmm/mem/touches.h"

#include <errno.h>
#include <limits.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/fd.h"
#include "vmm/base/log.h"
#include "vmm/base/thread.h"
#include "vmm/mem/missing.h"

enum { STACK_BYTES = THREAD_STACK(128 << 10), EVENTS = 16 };

struct touches {
	const struct guest_mem *m; /* borrowed */
	struct touches_config config;
	int faults;   /* owned: the userfaultfd */
	int end_fd;   /* owned eventfd: to end */
	int ended_fd; /* owned eventfd */
	pthread_t thread;
	/* The thread's until it has ended. */
	struct working_set set;
	uint64_t *seen; /* owned; a bit a page */
};

/* The memory file's pages [page, end), where they are in the mapping. */
static int map_pages(const struct touches *t, uint64_t page, uint64_t end)
{
	const uint64_t at = page * GUEST_PAGE;

	if (mmap(t->m->map + at, (end - page) * GUEST_PAGE,
		 PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, t->m->fd,
		 (off_t)(t->m->offset + at)) == MAP_FAILED)
		return -errno;
	return 0;
}

/* Whoever waits for a page of them tries again. */
static void wake(const struct touches *t, uint64_t page, uint64_t end)
{
	struct uffdio_range r = {
		.start = (uintptr_t)t->m->map + page * GUEST_PAGE,
		.len = (end - page) * GUEST_PAGE,
	};

	(void)ioctl(t->faults, UFFDIO_WAKE, &r);
}

static bool is_seen(const struct touches *t, uint64_t page)
{
	return t->seen[page / GUEST_WORD] >> page % GUEST_WORD & 1;
}

/* The first page from page on that is seen, or that is not. */
static uint64_t next(const struct touches *t, uint64_t page, bool seen)
{
	const uint64_t pages = t->m->size / GUEST_PAGE;
	uint64_t word, skip;

	while (page < pages) {
		word = t->seen[page / GUEST_WORD] ^ (seen ? 0 : ~0ULL);
		word &= ~0ULL << page % GUEST_WORD;
		if (word) {
			page = page / GUEST_WORD * GUEST_WORD +
			       (uint64_t)__builtin_ctzll(word);
			return page < pages ? page : pages;
		}
		skip = GUEST_WORD - page % GUEST_WORD;
		page += skip;
	}
	return pages;
}

/* All that was not touched. */
static int map_rest(const struct touches *t)
{
	const uint64_t pages = t->m->size / GUEST_PAGE;
	uint64_t begin, end;
	int rc = 0;

	for (begin = next(t, 0, false); begin < pages && !rc;
	     begin = next(t, end, false)) {
		end = next(t, begin, true);
		rc = map_pages(t, begin, end);
	}
	wake(t, 0, pages);
	return rc;
}

/* A page was touched. False where no more can be told apart. */
static bool take(struct touches *t, uint64_t page, bool is_written)
{
	if (is_seen(t, page)) {
		wake(t, page, page + 1);
		return true;
	}
	if (working_set_add(&t->set, (uint32_t)page, is_written))
		return false;
	/* What fails here is mapped with the rest, or is the end. */
	if (map_pages(t, page, page + 1))
		return false;
	t->seen[page / GUEST_WORD] |= 1ULL << page % GUEST_WORD;
	wake(t, page, page + 1);
	return true;
}

/* What there is to tell of. False where this is to be the end. */
static bool take_events(struct touches *t)
{
	struct uffd_msg events[EVENTS];
	const ssize_t n = read(t->faults, events, sizeof(events));
	size_t i;

	for (i = 0; n > 0 && i < (size_t)n / sizeof(events[0]); i++) {
		const struct uffd_msg *event = &events[i];
		const uint64_t at =
			event->arg.pagefault.address - (uintptr_t)t->m->map;

		if (event->event != UFFD_EVENT_PAGEFAULT || at >= t->m->size)
			continue;
		if (!take(t, at / GUEST_PAGE,
			  event->arg.pagefault.flags &
				  UFFD_PAGEFAULT_FLAG_WRITE))
			return false;
	}
	return true;
}

static void *touches_main(void *arg)
{
	struct touches *t = arg;
	struct pollfd fds[] = {
		{.fd = t->faults, .events = POLLIN},
		{.fd = t->end_fd, .events = POLLIN},
	};
	struct err e = {0};
	int rc = 0;

	log_set_thread("touches");
	if (t->config.confine)
		rc = t->config.confine(t->config.context, &e);
	while (!rc && !fds[1].revents) {
		if (poll(fds, 2, -1) > 0 && fds[0].revents && !take_events(t))
			break;
	}
	rc = rc ? rc : map_rest(t);
	if (rc) {
		if (!e.text[0])
			err_set(&e, rc, "can't map the memory file anew");
		t->config.lost(t->config.context, &e);
	}
	fd_event_raise(t->ended_fd);
	return NULL;
}

static void free_touches(struct touches *t)
{
	working_set_fini(&t->set);
	free(t->seen);
	fd_close(&t->faults);
	fd_close(&t->end_fd);
	fd_close(&t->ended_fd);
	free(t);
}

/* Anonymous memory in the place of all of it, of which faults are told. */
static int hide(struct touches *t, struct err *e)
{
	if (mmap(t->m->map, t->m->size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
		 0) == MAP_FAILED)
		return err_errno(e, "can't map %llu MiB of guest memory",
				 (unsigned long long)(t->m->size >> 20));
	t->faults = missing_register(t->m, false, e);
	return t->faults < 0 ? t->faults : 0;
}

static int start(struct touches *t, struct err *e)
{
	pthread_attr_t attr;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	rc = pthread_create(&t->thread, &attr, touches_main, t);
	pthread_attr_destroy(&attr);
	return rc ? err_set(e, -rc, "no thread that records touches") : 0;
}

int touches_begin(struct touches **out, const struct guest_mem *m,
		  const struct touches_config *config, struct err *e)
{
	struct touches *t = calloc(1, sizeof(*t));
	int rc = 0;

	if (!t)
		return err_set(e, -ENOMEM, "no memory to record touches");
	t->m = m;
	t->config = *config;
	t->set.pages_of_guest = m->size / GUEST_PAGE;
	t->faults = -1;
	t->seen = calloc(guest_mem_words(m), sizeof(*t->seen));
	/* All at once, so that the thread never asks for memory. */
	rc = working_set_reserve(&t->set, config->pages_max);
	t->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->end_fd < 0 || t->ended_fd < 0)
		rc = err_errno(e, "eventfd");
	else if (!t->seen || rc)
		rc = err_set(e, -ENOMEM, "no memory to record touches");
	rc = rc ? rc : hide(t, e);
	rc = rc ? rc : start(t, e);
	if (rc) {
		free_touches(t);
		return rc;
	}
	*out = t;
	return 0;
}

void touches_stop(struct touches *t)
{
	fd_event_raise(t->end_fd);
}

int touches_ended_fd(const struct touches *t)
{
	return t->ended_fd;
}

void touches_end(struct touches *t, struct working_set *set, uint64_t **seen)
{
	touches_stop(t);
	pthread_join(t->thread, NULL);
	*set = t->set;
	*seen = t->seen;
	t->set = (struct working_set){0};
	t->seen = NULL;
	free_touches(t);
}
