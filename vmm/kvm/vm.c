/* The KVM calls on a VM. */
#include "vmm/kvm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "vmm/base/fd.h"

int vm_open(struct vm *vm, const struct kvm *kvm, unsigned long type,
	    struct err *e)
{
	vm->kvm = kvm;
	do
		vm->fd = ioctl(kvm->fd, KVM_CREATE_VM, type);
	while (vm->fd < 0 && errno == EINTR);
	if (vm->fd < 0)
		return err_errno(e, "KVM_CREATE_VM");
	return 0;
}

void vm_close(struct vm *vm)
{
	fd_close(&vm->fd);
}

/*
 * KVM counts a slot's pages in 31 bits (KVM_MEM_MAX_NR_PAGES), so a region of 8
 * TiB is more than one. A power of two, that huge pages stay whole.
 */
#define SLOT_BYTES_MAX (1ULL << 42)

/* One slot of a region, by its place in it. */
static struct kvm_userspace_memory_region slot_of(const struct guest_region *r,
						  uint64_t at, uint32_t slot,
						  bool is_logged)
{
	const uint64_t left = r->size - at;

	return (struct kvm_userspace_memory_region){
		.slot = slot,
		.flags = is_logged ? KVM_MEM_LOG_DIRTY_PAGES : 0,
		.guest_phys_addr = r->gpa + at,
		.memory_size = left < SLOT_BYTES_MAX ? left : SLOT_BYTES_MAX,
		.userspace_addr = (uintptr_t)r->hva + at,
	};
}

static int each_slot(struct vm *vm, const struct guest_mem *mem, bool is_logged,
		     struct err *e)
{
	uint32_t slot = 0;
	uint64_t at;
	unsigned i;

	for (i = 0; i < mem->count; i++)
		for (at = 0; at < mem->regions[i].size; at += SLOT_BYTES_MAX) {
			const struct kvm_userspace_memory_region region =
				slot_of(&mem->regions[i], at, slot++,
					is_logged);

			if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region))
				return err_errno(
					e,
					"KVM refused memory of %llu MiB at "
					"0x%llx",
					region.memory_size >> 20,
					region.guest_phys_addr);
		}
	return 0;
}

int vm_map(struct vm *vm, const struct guest_mem *mem, bool is_logged,
	   struct err *e)
{
	return each_slot(vm, mem, is_logged, e);
}

/* Behind all that each_slot() may ever need. */
enum { SLOT_SHOWN = 64 };

bool vm_show(struct vm *vm, uint64_t gpa, const void *hva, uint64_t size)
{
	const struct kvm_userspace_memory_region region = {
		.slot = SLOT_SHOWN,
		.flags = KVM_MEM_READONLY,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)hva,
	};

	return !ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

int vm_log_writes(struct vm *vm, const struct guest_mem *mem, bool is_on,
		  struct err *e)
{
	return each_slot(vm, mem, is_on, e);
}

/*
 * KVM fills whole words. A region begins at a multiple of 64 pages of the
 * mapping, since only the last of them need not end at one: the first ends at
 * the device hole, and slots at a power of two.
 */
int vm_take_written(struct vm *vm, const struct guest_mem *mem, uint64_t *pages,
		    struct err *e)
{
	uint32_t slot = 0;
	uint64_t at;
	unsigned r;

	for (r = 0; r < mem->count; r++)
		for (at = 0; at < mem->regions[r].size;
		     at += SLOT_BYTES_MAX, slot++) {
			const uint64_t first =
				(uint64_t)(mem->regions[r].hva - mem->map) + at;
			struct kvm_dirty_log log = {
				.slot = slot,
				.dirty_bitmap =
					pages + first / GUEST_PAGE / GUEST_WORD,
			};

			if (ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log))
				return err_errno(e, "KVM_GET_DIRTY_LOG");
		}
	return 0;
}

int vm_enable(struct vm *vm, unsigned cap, uint64_t arg, const char *name,
	      struct err *e)
{
	struct kvm_enable_cap ec = {.cap = cap, .args = {arg}};

	if (ioctl(vm->fd, KVM_ENABLE_CAP, &ec))
		return err_errno(e, "this host's KVM lacks %s", name);
	return 0;
}

int vm_set_routes(struct vm *vm, const struct kvm_irq_routing *routes)
{
	return ioctl(vm->fd, KVM_SET_GSI_ROUTING, routes) ? -errno : 0;
}

int vm_irqfd(struct vm *vm, int fd, uint32_t gsi, struct err *e)
{
	struct kvm_irqfd irqfd = {.fd = (uint32_t)fd, .gsi = gsi};

	if (ioctl(vm->fd, KVM_IRQFD, &irqfd))
		return err_errno(e, "KVM_IRQFD for GSI %u", gsi);
	return 0;
}

int vm_pulse(struct vm *vm, uint32_t gsi)
{
	struct kvm_irq_level level = {.irq = vm->line_of_gsi_0 + gsi,
				      .level = 1};

	/*
	 * Our routes are messages, our lines edges: KVM takes a rise for one, a
	 * fall for none.
	 */
	return ioctl(vm->fd, KVM_IRQ_LINE, &level) ? -errno : 0;
}

static int ioeventfd(struct vm *vm, int fd, const struct vm_write *write,
		     uint32_t flags)
{
	struct kvm_ioeventfd io = {
		.addr = write->gpa,
		.len = write->len,
		.fd = fd,
		.datamatch = write->value,
		.flags = flags |
			 (write->is_one ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0),
	};

	return ioctl(vm->fd, KVM_IOEVENTFD, &io) ? -errno : 0;
}

int vm_ioeventfd(struct vm *vm, int fd, const struct vm_write *write,
		 struct err *e)
{
	int rc = ioeventfd(vm, fd, write, 0);

	if (rc)
		return err_set(e, rc, "KVM_IOEVENTFD at 0x%llx failed (%d)",
			       (unsigned long long)write->gpa, rc);
	return 0;
}

int vm_ioeventfd_remove(struct vm *vm, int fd, const struct vm_write *write)
{
	return ioeventfd(vm, fd, write, KVM_IOEVENTFD_FLAG_DEASSIGN);
}
