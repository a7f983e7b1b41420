#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "vmm/base/err.h"
#include "vmm/kvm/kvm.h"
#include "vmm/mem/guest_mem.h"

/*
 * One virtual machine as KVM knows it: memory slots, interrupt routes, and the
 * two shortcuts past user space, ioeventfd (a guest write becomes an event)
 * and irqfd (an event becomes a guest interrupt).
 */
struct vm {
	int fd;		       /* owned */
	const struct kvm *kvm; /* borrowed: machine */
	/* What KVM_IRQ_LINE calls GSI 0; set by arch_attach(). */
	uint32_t line_of_gsi_0;
};

/* type is the architecture's (arch_vm_type()). */
int vm_open(struct vm *vm, const struct kvm *kvm, unsigned long type,
	    struct err *e);
void vm_close(struct vm *vm);

/*
 * Gives every region of mem to the guest, in slots. Every memory slot
 * after the first vCPU waits for a grace period, so this comes before.
 */
int vm_map(struct vm *vm, const struct guest_mem *mem, bool is_logged,
	   struct err *e);

/*
 * Gives the guest size bytes at hva to read, at gpa; its writes there leave
 * KVM_RUN or become events, as a device's. Both are multiples of a page. False
 * where this KVM can't (KVM_CAP_READONLY_MEM). Before the first vCPU, likewise.
 */
bool vm_show(struct vm *vm, uint64_t gpa, const void *hva, uint64_t size);

/*
 * KVM begins to note which pages the guest writes to, or stops. Each waits for
 * a grace period and, to begin, takes the guest's write access to all pages.
 * Thread: any; no vCPU runs.
 */
int vm_log_writes(struct vm *vm, const struct guest_mem *mem, bool is_on,
		  struct err *e);

/*
 * Makes pages, a bit for each of mem in the order of its mapping, what the
 * guest has written to since the last call, or since it is noted; KVM forgets
 * it. On failure they are those of some slots. Thread: any; vCPUs may run, and
 * what they write meanwhile is in this call's or in the next one's.
 */
int vm_take_written(struct vm *vm, const struct guest_mem *mem, uint64_t *pages,
		    struct err *e);

/* Enables a VM capability with its first argument. e may be NULL. */
int vm_enable(struct vm *vm, unsigned cap, uint64_t arg, const char *name,
	      struct err *e);

/* Replaces the whole routing table. Thread: any; KVM locks. */
int vm_set_routes(struct vm *vm, const struct kvm_irq_routing *routes);

/* Raising eventfd fd raises the interrupt line gsi, as an edge. */
int vm_irqfd(struct vm *vm, int fd, uint32_t gsi, struct err *e);

/*
 * One edge on gsi, by a system call: for a line so rarely used that an eventfd
 * of its own would be waste. Returns 0 or a negative errno. Thread: any.
 */
int vm_pulse(struct vm *vm, uint32_t gsi);

/* A guest write of len bytes at gpa, of any value or of one. */
struct vm_write {
	uint64_t gpa;
	uint32_t len;
	bool is_one;
	uint64_t value; /* that one */
};

/*
 * Such a write raises eventfd fd instead of leaving KVM_RUN. Costs a grace
 * period at tear-down (14 ms measured), so a device asks for it when its driver
 * comes up, not before.
 */
int vm_ioeventfd(struct vm *vm, int fd, const struct vm_write *write,
		 struct err *e);
int vm_ioeventfd_remove(struct vm *vm, int fd, const struct vm_write *write);
