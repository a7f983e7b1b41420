/* Memory whose pages another process has: userfaultfd(2), ioctl_userfaultfd(2).
 */
#include "vmm/mem/missing.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/base/fd.h"

/*
 * By the device, whose permissions a jail can set, and else by the call, which
 * takes CAP_SYS_PTRACE where faults of the kernel are wanted, as they are here:
 * KVM's and those of reading a disk into the guest.
 */
static int open_faults(struct err *e)
{
	const int flags = O_CLOEXEC | O_NONBLOCK;
	CLEAN_FD int device =
		openat(AT_FDCWD, "/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	int fd = -1;

	if (device >= 0)
		fd = ioctl(device, USERFAULTFD_IOC_NEW, flags);
	if (fd < 0)
		fd = (int)syscall(SYS_userfaultfd, flags);
	if (fd < 0)
		return err_errno(
			e, "no userfaultfd, which tells of missing "
			   "pages; give this user /dev/userfaultfd, or set "
			   "vm.unprivileged_userfaultfd to 1");
	return fd;
}

int missing_register(const struct guest_mem *m, bool tells_given_up,
		     struct err *e)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = tells_given_up ? UFFD_FEATURE_EVENT_REMOVE : 0,
	};
	struct uffdio_register r = {
		.range = {.start = (uintptr_t)m->map, .len = m->size},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	CLEAN_FD int fd = open_faults(e);

	if (fd < 0)
		return fd;
	if (ioctl(fd, UFFDIO_API, &api))
		return err_errno(e, "this host's userfaultfd tells of no "
				    "memory that is given up");
	if (ioctl(fd, UFFDIO_REGISTER, &r))
		return err_errno(e, "userfaultfd takes no memory of %llu MiB",
				 (unsigned long long)(m->size >> 20));
	return fd_steal(&fd);
}
