/* Placing an initrd: high, so that it is out of the kernel's way. */
#include "vmm/boot/initrd.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm/base/fd.h"

static int refuse_size(const char *path, uint64_t size, uint64_t top,
		       uint64_t ram, const struct kernel_image *kernel,
		       struct err *e)
{
	if (top < ram)
		return err_set(
			e, -ENOMEM,
			"the initrd %s (%llu bytes) does not fit between "
			"the kernel's end at 0x%llx and 0x%llx, the "
			"highest this kernel takes one at; give a smaller "
			"initrd",
			path, (unsigned long long)size,
			(unsigned long long)kernel->end,
			(unsigned long long)top);
	return err_set(
		e, -ENOMEM,
		"the initrd %s (%llu bytes) does not fit above the "
		"kernel, which ends at 0x%llx; give the machine at least "
		"%llu MiB",
		path, (unsigned long long)size, (unsigned long long)kernel->end,
		(unsigned long long)((kernel->end + size) >> 20) + 2);
}

int initrd_load(int fd, const char *path, const struct guest_mem *mem,
		const struct kernel_image *kernel, uint64_t *gpa,
		uint64_t *size, struct err *e)
{
	const uint64_t ram = mem->regions[0].gpa + mem->regions[0].size;
	uint64_t top = ram;
	struct stat st;
	int rc;

	if (fstat(fd, &st))
		return err_errno(e, "can't examine the initrd %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL,
			       "the initrd %s is not a regular file", path);
	if (!st.st_size)
		return err_set(e, -ENODATA, "the initrd %s is empty", path);
	*size = (uint64_t)st.st_size;
	if (kernel->initrd_max < top)
		top = kernel->initrd_max + 1;
	if (*size > top || (top - *size) / 4096 * 4096 < kernel->end)
		return refuse_size(path, *size, top, ram, kernel, e);
	*gpa = (top - *size) / 4096 * 4096;
	rc = fd_pread(fd, guest_mem_at(mem, *gpa, *size), *size, 0);
	if (rc)
		return err_set(e, rc, "can't read the initrd %s: %s", path,
			       strerror(-rc));
	return 0;
}
