/*
 * Guest memory: one memfd, one mapping, and a bounds check in one place. The
 * regions lie one after the other in the file though the guest sees a hole
 * between them, so that a snapshot is a plain copy of the file.
 */
#include "vmm/mem/guest_mem.h"

#include <assert.h>
#include <errno.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/base/fd.h"

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

int guest_mem_open(struct guest_mem *m, const struct guest_range *ranges,
		   unsigned count, enum guest_mem_pages pages, struct err *e)
{
	unsigned flags = MFD_CLOEXEC;
	CLEAN_FD int fd = -1;
	uint64_t total, at = 0;
	void *map;
	unsigned i;
	int rc;

	memset(m, 0, sizeof(*m));
	m->fd = -1;
	rc = sum_ranges(ranges, count, &total, e);
	if (rc)
		return rc;
	assert(total);
	if (pages == GUEST_MEM_HUGE_2M) {
		if (total % (2 << 20))
			return err_set(e, -EINVAL,
				       "huge_pages 2M needs an even "
				       "mem_size_mib");
		flags |= MFD_HUGETLB | MFD_HUGE_2MB;
	}
	fd = memfd_create("guest-memory", flags);
	if (fd < 0)
		return err_errno(e, "memfd_create for guest memory");
	if (ftruncate(fd, (off_t)total))
		return err_errno(e, "guest memory of %llu MiB",
				 (unsigned long long)(total >> 20));
	/*
	 * NORESERVE because hosts run more guests than they have memory for;
	 * hugetlbfs alone must reserve, or a fault would end us with SIGBUS.
	 */
	map = mmap(NULL, total, PROT_READ | PROT_WRITE,
		   MAP_SHARED |
			   (pages == GUEST_MEM_HUGE_2M ? 0 : MAP_NORESERVE),
		   fd, 0);
	if (map == MAP_FAILED)
		return err_errno(e,
				 pages == GUEST_MEM_HUGE_2M
					 ? "no %llu MiB of 2M pages; reserve "
					   "them in /proc/sys/vm/nr_hugepages"
					 : "can't map %llu MiB of guest memory",
				 (unsigned long long)(total >> 20));
	/* A wish, not a need: a host without THP for shmem says EINVAL. */
	if (pages == GUEST_MEM_TRANSPARENT)
		(void)madvise(map, total, MADV_HUGEPAGE);
	for (i = 0; i < count; i++) {
		m->regions[i].gpa = ranges[i].gpa;
		m->regions[i].size = ranges[i].size;
		m->regions[i].hva = (uint8_t *)map + at;
		at += ranges[i].size;
	}
	m->count = count;
	m->map = map;
	m->size = total;
	m->fd = fd_steal(&fd);
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
