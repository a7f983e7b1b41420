/*
 * Guest memory: one mapping, of a memfd save for transparent huge pages, and a
 * bounds check in one place. The regions lie one after the other in it though
 * the guest sees a hole between them, so that a snapshot is a plain copy.
 */
#include "vmm/mem/guest_mem.h"

#include <assert.h>
#include <errno.h>
#include <linux/memfd.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
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

static int map_file(struct guest_mem *m, enum guest_mem_pages pages,
		    struct err *e)
{
	const bool is_huge = pages == GUEST_MEM_HUGE_2M;
	CLEAN_FD int fd = memfd_create(
		"guest-memory",
		MFD_CLOEXEC | (is_huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0));
	void *map;

	if (fd < 0)
		return err_errno(e, "memfd_create for guest memory");
	if (ftruncate(fd, (off_t)m->size))
		return err_errno(e, "guest memory of %llu MiB",
				 (unsigned long long)(m->size >> 20));
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

int guest_mem_open(struct guest_mem *m, const struct guest_range *ranges,
		   unsigned count, enum guest_mem_pages pages, struct err *e)
{
	uint64_t at = 0;
	unsigned i;
	int rc;

	memset(m, 0, sizeof(*m));
	m->fd = -1;
	rc = sum_ranges(ranges, count, &m->size, e);
	if (rc)
		return rc;
	assert(m->size);
	if (pages == GUEST_MEM_HUGE_2M && m->size % HUGE_BYTES)
		return err_set(e, -EINVAL,
			       "huge_pages 2M needs an even mem_size_mib");
	rc = pages == GUEST_MEM_TRANSPARENT ? map_transparent(m, e)
					    : map_file(m, pages, e);
	if (rc)
		return rc;
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
	fd_close(&m->fd);
	memset(m, 0, sizeof(*m));
	m->fd = -1;
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
	return 0;
}
