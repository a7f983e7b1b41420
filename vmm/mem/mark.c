/*
 * Copying a page back takes 0.1 µs and more with cold caches, dropping a page
 * less, but a page that was dropped costs two faults, ours and KVM's, when it
 * is touched again: 2 µs (tests/bench/reset). So copying wins until so many are
 * written that a guest won't touch them all in its next turn.
 */
#include "vmm/mem/mark.h"

#include <errno.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/arch/host/host.h"
#include "vmm/base/fd.h"
#include "vmm/mem/image.h"

/* 32 MiB. */
enum { COPY_PAGES_MAX = 8192 };

static int map_over(struct guest_mem *m, int fd, struct err *e)
{
	if (mmap(m->map, m->size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, fd, 0) == MAP_FAILED)
		return err_errno(e, "can't map %llu MiB of guest memory anew",
				 (unsigned long long)(m->size >> 20));
	return 0;
}

/* What was kept to copy from is of another moment now. */
static void forget(struct guest_mem *m)
{
	if (m->mark)
		munmap((void *)(uintptr_t)m->mark, m->size);
	m->mark = NULL;
}

static int gather(struct guest_mem *m, struct err *e)
{
	CLEAN_FD int fd = memfd_create("guest-memory", MFD_CLOEXEC);
	struct image_figures figures;
	int rc;

	if (fd < 0 || ftruncate(fd, (off_t)m->size))
		return err_errno(e, "no file for %llu MiB of guest memory",
				 (unsigned long long)(m->size >> 20));
	rc = image_write(m, fd, 0, &figures, e);
	rc = rc ? rc : map_over(m, fd, e);
	if (rc)
		return rc;
	fd_close(&m->fd);
	m->fd = fd_steal(&fd);
	return 0;
}

int mark_set(struct guest_mem *m, struct err *e)
{
	int rc;

	if (m->kind == GUEST_MEM_HUGE_2M)
		return err_set(e, -EOPNOTSUPP,
			       "memory of reserved 2M pages can't be marked; "
			       "start the microVM with huge_pages None or "
			       "Transparent");
	rc = m->kind == GUEST_MEM_SMALL ? map_over(m, m->fd, e) : gather(m, e);
	if (rc)
		return rc;
	forget(m);
	m->kind = GUEST_MEM_FILE;
	m->offset = 0;
	return 0;
}

static int find_mark(struct guest_mem *m, struct err *e)
{
	void *map;

	if (m->mark)
		return 0;
	map = mmap(NULL, m->size, PROT_READ, MAP_SHARED | MAP_NORESERVE, m->fd,
		   (off_t)m->offset);
	if (map == MAP_FAILED)
		return err_errno(e, "can't map the memory file again");
	m->mark = map;
	return 0;
}

int mark_reset_all(struct guest_mem *m, struct err *e)
{
	if (madvise(m->map, m->size, MADV_DONTNEED))
		return err_errno(e, "can't drop the guest's memory");
	return 0;
}

int mark_reset(struct guest_mem *m, const uint64_t *pages, struct err *e)
{
	const uint64_t words = guest_mem_words(m);
	uint64_t word, bits, count = 0;
	int rc = find_mark(m, e);

	if (rc)
		return rc;
	for (word = 0; word < words; word++)
		count += (uint64_t)__builtin_popcountll(pages[word]);
	if (count > COPY_PAGES_MAX)
		return mark_reset_all(m, e);
	for (word = 0; word < words; word++)
		for (bits = pages[word]; bits; bits &= bits - 1) {
			const uint64_t at = (word * GUEST_WORD +
					     (uint64_t)__builtin_ctzll(bits)) *
					    GUEST_PAGE;

			if (at >= m->size)
				continue;
			memcpy(m->map + at, m->mark + at, GUEST_PAGE);
			host_sync_code(m->map + at, GUEST_PAGE);
		}
	return 0;
}
