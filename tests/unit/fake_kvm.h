#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "vmm/kvm/irq.h"
#include "vmm/kvm/vm.h"

/*
 * vmm/kvm/irq.h and vmm/kvm/vm.h without /dev/kvm: interrupts are eventfds
 * nobody wires up, everything else is written down. Linked before the library,
 * so these functions are the ones that count.
 */
enum { FAKE_KVM_ROUTES = 64, FAKE_KVM_GSIS = 64 };

struct fake_kvm {
	bool fail_irq;
	bool fail_ioeventfd;
	bool fail_enable;
	bool fail_routes;

	unsigned irqs;			  /* lines open now */
	unsigned edges;			  /* raised, over all lines */
	unsigned edges_of[FAKE_KVM_GSIS]; /* by GSI */

	unsigned ioeventfds;  /* registered now */
	unsigned connections; /* ioeventfds ever registered */
	unsigned strays;      /* removed without being there */
	uint64_t gpa;	      /* of the last one */
	uint32_t len;
	int fd;

	unsigned enables; /* capabilities ever enabled */
	unsigned cap;	  /* the last one */
	uint64_t cap_arg;

	unsigned route_calls;
	unsigned route_count;
	struct kvm_irq_routing_entry routes[FAKE_KVM_ROUTES];
};

extern struct fake_kvm fake_kvm;

/* Forgets all of it. */
void fake_kvm_reset(void);

/* Edges raised on the line since the last call. */
uint64_t fake_irq_take(const struct irq *irq);

/* Edges raised on all lines since the last call. */
unsigned fake_kvm_take_edges(void);
