/* Guest memory: one mapping, what is behind it, and a bounds check in one
 * place. */
#include "vmm/mem/guest_mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/base/fd.h"

enum { HUGE_BYTES = 2 << 20 };

static int sum_ranges(const struct guest_range *ranges, unsigned count,
		      uint64_t *total, struct err *e)
{
	uint64_t end = 0;
	unsigned i;

	*total = 0;
	if (!count || count > GUEST_MEM_REGIONS_MAX)
		return err_set(e, -EINVAL, "memory of %u regions; 1 to %d work",
			       count, GUEST_MEM_REGIONS_MAX);
	for (i = 0; i < count; i++) {
		if (!ranges[i].size || ranges[i].size % 4096 ||
		    ranges[i].gpa % 4096 || ranges[i].gpa < end ||
		    __builtin_add_overflow(ranges[i].gpa, ranges[i].size, &end))
			return err_set(e, -EINVAL,
				       "memory region %u is not page aligned, "
				       "empty or out of order",
				       i);
		if (__builtin_add_overflow(*total, ranges[i].size, total))
			return err_set(e, -EINVAL, "memory size overflows");
	}
	return 0;
}

/* Small pages, where nobody asks for others. */
static int map_anonymous(struct guest_mem *m, struct err *e)
{
	void *map = mmap(NULL, m->size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (map == MAP_FAILED)
		return err_errno(e, "can't map %llu MiB of guest memory",
				 (unsigned long long)(m->size >> 20));
	m->map = map;
	return 0;
}

static int map_memfd(struct guest_mem *m, struct err *e)
{
	const bool is_huge = m->kind == GUEST_MEM_HUGE_2M;
	CLEAN_FD int fd =
		memfd_create("guest-memory",
			     MFD_CLOEXEC | (is_huge ? MFD_HUGETLB | MFD_HUGE_2MB
						    : MFD_ALLOW_SEALING));
	void *map;

	if (fd < 0)
		return err_errno(e, "memfd_create for guest memory");
	if (ftruncate(fd, (off_t)m->size)) {
		if (errno != EFBIG || is_huge)
			return err_errno(e, "guest memory of %llu MiB",
					 (unsigned long long)(m->size >> 20));
		/* RLIMIT_FSIZE counts a memfd as the files it is meant for. */
		m->kind = GUEST_MEM_TRANSPARENT;
		return map_anonymous(m, e);
	}
	/*
	 * NORESERVE because hosts run more guests than they have memory for;
	 * hugetlbfs alone must reserve, or a fault would end us with SIGBUS.
	 */
	map = mmap(NULL, m->size, PROT_READ | PROT_WRITE,
		   MAP_SHARED | (is_huge ? 0 : MAP_NORESERVE), fd, 0);
	if (map == MAP_FAILED)
		return err_errno(e,
				 is_huge ? "no %llu MiB of 2M pages; reserve "
					   "them in /proc/sys/vm/nr_hugepages"
					 : "can't map %llu MiB of guest memory",
				 (unsigned long long)(m->size >> 20));
	m->map = map;
	m->fd = fd_steal(&fd);
	return 0;
}

/*
 * Privately: a page is the page cache's until the guest writes to it, and so
 * all that load this file share it. Who cuts it short meanwhile ends us by
 * SIGBUS; nothing else a file can do would.
 */
static int map_file(struct guest_mem *m, const struct guest_mem_backing *b,
		    struct err *e)
{
	struct stat st;
	void *map;

	if (fstat(b->fd, &st))
		return err_errno(e, "can't examine the memory file");
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL,
			       "the memory file is no regular file");
	if ((uint64_t)st.st_size < b->offset ||
	    (uint64_t)st.st_size - b->offset < m->size)
		return err_set(
			e, -EINVAL,
			"the memory file has %llu bytes, and the guest "
			"has %llu; it is not this snapshot's, or was cut",
			(unsigned long long)st.st_size,
			(unsigned long long)m->size);
	m->fd = fcntl(b->fd, F_DUPFD_CLOEXEC, 3);
	if (m->fd < 0)
		return err_errno(e, "the memory file");
	m->offset = b->offset;
	map = mmap(NULL, m->size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_NORESERVE, m->fd, (off_t)b->offset);
	if (map == MAP_FAILED)
		return err_errno(e, "can't map %llu MiB of the memory file",
				 (unsigned long long)(m->size >> 20));
	m->map = map;
	return 0;
}

/*
 * Anonymous: hosts have transparent huge pages for that, and hardly any for
 * files in memory. Begins at one, so that the guest's are the host's.
 */
static int map_transparent(struct guest_mem *m, struct err *e)
{
	uint8_t *map = mmap(NULL, m->size + HUGE_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before;

	if (map == MAP_FAILED)
		return err_errno(e, "can't map %llu MiB of guest memory",
				 (unsigned long long)(m->size >> 20));
	before = -(uintptr_t)map % HUGE_BYTES;
	m->map = map + before;
	if (before)
		munmap(map, before);
	munmap(m->map + m->size, HUGE_BYTES - before);
	/* A wish, not a need: a kernel without THP says EINVAL. */
	(void)madvise(m->map, m->size, MADV_HUGEPAGE);
	return 0;
}

static int map(struct guest_mem *m, const struct guest_mem_backing *b,
	       struct err *e)
{
	switch (b->kind) {
	case GUEST_MEM_FILE:
		return map_file(m, b, e);
	case GUEST_MEM_TRANSPARENT:
		return map_transparent(m, e);
	case GUEST_MEM_MISSING:
		return map_anonymous(m, e);
	default:
		return map_memfd(m, e);
	}
}

int guest_mem_open(struct guest_mem *m, const struct guest_range *ranges,
		   unsigned count, const struct guest_mem_backing *backing,
		   struct err *e)
{
	uint64_t at = 0;
	unsigned i;
	int rc;

	memset(m, 0, sizeof(*m));
	m->fd = -1;
	m->kind = backing->kind;
	rc = sum_ranges(ranges, count, &m->size, e);
	if (rc)
		return rc;
	assert(m->size);
	if (m->kind == GUEST_MEM_HUGE_2M && m->size % HUGE_BYTES)
		return err_set(e, -EINVAL,
			       "huge_pages 2M needs an even mem_size_mib");
	rc = map(m, backing, e);
	if (rc) {
		fd_close(&m->fd);
		return rc;
	}
	for (i = 0; i < count; i++) {
		m->regions[i].gpa = ranges[i].gpa;
		m->regions[i].size = ranges[i].size;
		m->regions[i].hva = m->map + at;
		at += ranges[i].size;
	}
	m->count = count;
	return 0;
}

void guest_mem_close(struct guest_mem *m)
{
	if (!m->map)
		return;
	munmap(m->map, m->size);
	if (m->mark)
		munmap((void *)(uintptr_t)m->mark, m->size);
	fd_close(&m->fd);
	free(m->written);
	memset(m, 0, sizeof(*m));
	m->fd = -1;
}

int guest_mem_track(struct guest_mem *m, bool is_on)
{
	free(m->written);
	m->written = NULL;
	if (!is_on)
		return 0;
	m->written = calloc(guest_mem_words(m), sizeof(m->written[0]));
	return m->written ? 0 : -ENOMEM;
}

void guest_mem_note(const struct guest_mem *m, const void *hva, uint64_t len)
{
	const uint64_t at = (uint64_t)((const uint8_t *)hva - m->map);
	uint64_t page;

	if (!len)
		return;
	for (page = at / GUEST_PAGE; page <= (at + len - 1) / GUEST_PAGE;
	     page++)
		(void)__atomic_fetch_or(&m->written[page / GUEST_WORD],
					1ULL << page % GUEST_WORD,
					__ATOMIC_RELAXED);
}

void *guest_mem_at(const struct guest_mem *m, uint64_t gpa, uint64_t len)
{
	unsigned i;

	if (!len)
		return NULL;
	for (i = 0; i < m->count; i++) {
		const struct guest_region *r = &m->regions[i];

		/* Written so that no sum of the guest's numbers is formed. */
		if (gpa >= r->gpa && gpa - r->gpa < r->size)
			return len <= r->size - (gpa - r->gpa)
				       ? r->hva + (gpa - r->gpa)
				       : NULL;
	}
	return NULL;
}

int guest_mem_read(const struct guest_mem *m, uint64_t gpa, void *buf,
		   uint64_t len)
{
	const void *p = guest_mem_at(m, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(buf, p, len);
	return 0;
}

int guest_mem_write(const struct guest_mem *m, uint64_t gpa, const void *buf,
		    uint64_t len)
{
	void *p = guest_mem_at(m, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(p, buf, len);
	guest_mem_wrote(m, p, len);
	return 0;
}
