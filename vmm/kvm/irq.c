/* Interrupt lines as eventfds. */
#include "vmm/kvm/irq.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "vmm/base/fd.h"

int irq_open(struct irq *irq, struct vm *vm, uint32_t gsi, struct err *e)
{
	CLEAN_FD int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc;

	irq->fd = -1;
	irq->gsi = gsi;
	if (fd < 0)
		return err_errno(e, "eventfd for GSI %u", gsi);
	rc = vm_irqfd(vm, fd, gsi, e);
	if (rc)
		return rc;
	irq->fd = fd_steal(&fd);
	return 0;
}

void irq_close(struct irq *irq)
{
	fd_close(&irq->fd);
}

void irq_raise(const struct irq *irq)
{
	fd_event_raise(irq->fd);
}
