#pragma once

#include <stdint.h>

#include "vmm/arch/x86_64/layout.h"
#include "vmm/base/err.h"
#include "vmm/base/thread.h"
#include "vmm/kvm/bus.h"
#include "vmm/kvm/vm.h"
#include "vmm/state/visit.h"

/*
 * The I/O APIC of a split irqchip: the local APICs live in KVM, this one here.
 * It delivers nothing itself. Each pin's redirection entry becomes a KVM route
 * of the same GSI, so that an irqfd reaches the right local APIC without us.
 */
struct ioapic {
	struct vm *vm; /* borrowed: machine */
	struct mutex lock;
	uint32_t select;	       /* IOREGSEL */
	uint32_t id;		       /* IOAPICID, bits 24 to 27 */
	uint64_t entries[LAYOUT_PINS]; /* redirection table as the guest sees */
	uint64_t routed[LAYOUT_PINS];  /* what KVM was last told; 0: none */
};

/* Asks KVM for a split irqchip and hangs the registers on the bus. */
int ioapic_open(struct ioapic *io, struct vm *vm, struct bus *mmio,
		struct err *e);

/* Its registers; to load, KVM is told all routes. No vCPU runs. */
void ioapic_visit(struct ioapic *io, struct visitor *v);
