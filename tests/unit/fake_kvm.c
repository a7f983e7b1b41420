/* A KVM that has eventfds and a memory, and nothing behind them. */
#include "tests/unit/fake_kvm.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "vmm/base/fd.h"

struct fake_kvm fake_kvm;

void fake_kvm_reset(void)
{
	memset(&fake_kvm, 0, sizeof(fake_kvm));
	fake_kvm.fd = -1;
}

int irq_open(struct irq *irq, struct vm *vm, uint32_t gsi, struct err *e)
{
	(void)vm;
	irq->fd = -1;
	irq->gsi = gsi;
	if (fake_kvm.fail_irq)
		return err_set(e, -ENOSPC, "no irqfd on demand");
	irq->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (irq->fd < 0)
		return err_errno(e, "eventfd");
	fake_kvm.irqs++;
	return 0;
}

void irq_close(struct irq *irq)
{
	if (irq->fd > 0)
		fake_kvm.irqs--;
	fd_close(&irq->fd);
}

void irq_raise(const struct irq *irq)
{
	fake_kvm.edges++;
	if (irq->gsi < FAKE_KVM_GSIS)
		fake_kvm.edges_of[irq->gsi]++;
	fd_event_raise(irq->fd);
}

uint64_t fake_irq_take(const struct irq *irq)
{
	return fd_event_take(irq->fd);
}

unsigned fake_kvm_take_edges(void)
{
	unsigned n = fake_kvm.edges;

	fake_kvm.edges = 0;
	return n;
}

int vm_open(struct vm *vm, const struct kvm *kvm, unsigned long type,
	    struct err *e)
{
	(void)type, (void)e;
	vm->fd = -1;
	vm->kvm = kvm;
	return 0;
}

void vm_close(struct vm *vm)
{
	vm->fd = -1;
}

int vm_map(struct vm *vm, const struct guest_mem *mem, bool is_logged,
	   struct err *e)
{
	(void)vm;
	(void)mem;
	(void)is_logged;
	(void)e;
	return 0;
}

int vm_enable(struct vm *vm, unsigned cap, uint64_t arg, const char *name,
	      struct err *e)
{
	(void)vm;
	if (fake_kvm.fail_enable)
		return err_set(e, -EINVAL, "this host's KVM lacks %s", name);
	fake_kvm.enables++;
	fake_kvm.cap = cap;
	fake_kvm.cap_arg = arg;
	return 0;
}

int vm_set_routes(struct vm *vm, const struct kvm_irq_routing *routes)
{
	(void)vm;
	fake_kvm.route_calls++;
	if (fake_kvm.fail_routes)
		return -EINVAL;
	assert(routes->nr <= FAKE_KVM_ROUTES);
	fake_kvm.route_count = routes->nr;
	memcpy(fake_kvm.routes, routes->entries,
	       routes->nr * sizeof(routes->entries[0]));
	return 0;
}

int vm_irqfd(struct vm *vm, int fd, uint32_t gsi, struct err *e)
{
	(void)vm;
	(void)fd;
	(void)gsi;
	(void)e;
	return 0;
}

int vm_pulse(struct vm *vm, uint32_t gsi)
{
	(void)vm;
	if (fake_kvm.fail_irq)
		return -ENXIO;
	fake_kvm.edges++;
	if (gsi < FAKE_KVM_GSIS)
		fake_kvm.edges_of[gsi]++;
	return 0;
}

int vm_ioeventfd(struct vm *vm, int fd, const struct vm_write *write,
		 struct err *e)
{
	(void)vm;
	if (fake_kvm.fail_ioeventfd)
		return err_set(e, -ENOSPC, "no ioeventfd on demand");
	fake_kvm.ioeventfds++;
	fake_kvm.connections++;
	fake_kvm.fd = fd;
	fake_kvm.gpa = write->gpa;
	fake_kvm.len = write->len;
	return 0;
}

int vm_ioeventfd_remove(struct vm *vm, int fd, const struct vm_write *write)
{
	(void)vm;
	if (!fake_kvm.ioeventfds || fd != fake_kvm.fd ||
	    write->gpa != fake_kvm.gpa || write->len != fake_kvm.len) {
		fake_kvm.strays++;
		return -ENOENT;
	}
	fake_kvm.ioeventfds--;
	return 0;
}
