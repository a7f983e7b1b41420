/* Opening /dev/kvm, and what to tell a person for whom that fails. */
#include "vmm/kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "vmm/base/fd.h"

static int explain_open(struct err *e)
{
	switch (errno) {
	case ENOENT:
	case ENXIO:
	case ENODEV:
		return err_errno(e, "no /dev/kvm here; load kvm_intel or "
				    "kvm_amd, or turn virtualisation on in the "
				    "firmware (or nested in the hypervisor)");
	case EACCES:
	case EPERM:
		return err_errno(e, "no permission for /dev/kvm; join its "
				    "group (often 'kvm') or run as root");
	default:
		return err_errno(e, "can't open /dev/kvm");
	}
}

/* Takes fd, whatever comes of it. */
static int take(struct kvm *k, int fd_taken, struct err *e)
{
	CLEAN_FD int fd = fd_taken;
	int version = ioctl(fd, KVM_GET_API_VERSION, 0);

	if (version != KVM_API_VERSION)
		return err_set(e, -ENOTSUP,
			       "/dev/kvm speaks API version %d, not %d",
			       version, KVM_API_VERSION);
	k->vcpu_map_bytes = ioctl(fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (k->vcpu_map_bytes < (int)sizeof(struct kvm_run))
		return err_set(e, -ENOTSUP,
			       "/dev/kvm: vCPU mapping of %d bytes",
			       k->vcpu_map_bytes);
	k->fd = fd_steal(&fd);
	return 0;
}

int kvm_open(struct kvm *k, struct err *e)
{
	int fd = openat(AT_FDCWD, "/dev/kvm", O_RDWR | O_CLOEXEC);

	k->fd = -1;
	return fd < 0 ? explain_open(e) : take(k, fd, e);
}

int kvm_adopt(struct kvm *k, int fd, struct err *e)
{
	/* Documentation/admin-guide/devices.txt; elsewhere the call that asks
	 * for the version would mean something else. */
	const dev_t device = makedev(10, 232);
	struct stat st;
	int own;

	k->fd = -1;
	if (fstat(fd, &st))
		return err_set(e, -EBADF,
			       "descriptor %d, for /dev/kvm, is not open", fd);
	if (!S_ISCHR(st.st_mode) || st.st_rdev != device)
		return err_set(
			e, -EINVAL,
			"descriptor %d is not /dev/kvm (character device "
			"10:232)",
			fd);
	own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (own < 0)
		return err_errno(e, "descriptor %d, for /dev/kvm", fd);
	return take(k, own, e);
}

void kvm_close(struct kvm *k)
{
	fd_close(&k->fd);
}

const char *kvm_host_advice(void)
{
	struct stat st;

	if (!stat("/sys/module/kvm_pvm", &st))
		return " (this host's KVM is kvm_pvm, a software KVM that runs "
		       "tiny guests but no ordinary kernel; use a host with "
		       "kvm_intel or kvm_amd, or mayfly's emulated one: "
		       "tests/kvm-host)";
	return "";
}
