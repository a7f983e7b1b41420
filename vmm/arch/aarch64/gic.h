#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/arch/aarch64/layout.h"
#include "vmm/base/err.h"
#include "vmm/kvm/vm.h"
#include "vmm/state/visit.h"

/*
 * KVM's GICv3: a distributor, a redistributor for each vCPU and no ITS, for
 * virtio-mmio has no messages. Its life has two halves, since it takes its size
 * from the vCPUs: it is made before the first of them and is there only when
 * all are.
 */
struct gic {
	int fd;	       /* owned: KVM's device; 0 before gic_open() */
	uint32_t cpus; /* redistributors */
};

/* Makes it, for so many vCPUs that are yet to come. */
int gic_open(struct gic *g, const struct vm *vm, uint32_t cpus, struct err *e);

/* All of them are there: from here on it takes interrupts. */
int gic_start(struct gic *g, struct err *e);

void gic_close(struct gic *g);

/* All that the guest could tell, for vCPUs that do not run. */
void gic_visit(struct gic *g, struct visitor *v);

/* Whether a vCPU that does not run has a timer's interrupt that it serves. */
bool gic_serves_timer(const struct gic *g, uint32_t cpu);

/* Where the redistributors begin; they end at LAYOUT_GICD. */
static inline uint64_t gic_redistributors(uint32_t cpus)
{
	return LAYOUT_GICD - cpus * LAYOUT_GICR_SIZE;
}

/* The affinity of a vCPU, as KVM numbers them: 16 in a cluster. */
static inline uint32_t gic_affinity(uint32_t cpu)
{
	return (cpu & 0xfU) | cpu >> 4 << 8;
}
