#pragma once

#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/kvm/vm.h"

/*
 * An interrupt line of a device: an eventfd that KVM turns into an edge on one
 * GSI, without a trip through a vCPU thread.
 */
struct irq {
	int fd; /* owned eventfd; -1 while closed */
	uint32_t gsi;
};

/* Connects the line. Returns 0 or a negative errno. */
int irq_open(struct irq *irq, struct vm *vm, uint32_t gsi, struct err *e);

/* Accepts a zeroed or closed line. */
void irq_close(struct irq *irq);

/* Raises one edge. Thread: any. */
void irq_raise(const struct irq *irq);
