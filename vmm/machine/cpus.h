#pragma once

#include <stdint.h>

#include "vmm/arch/arch.h"
#include "vmm/base/err.h"
#include "vmm/boot/boot.h"
#include "vmm/kvm/bus.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/kvm/vm.h"
#include "vmm/machine/device.h"

/*
 * The vCPU threads of a machine and the gate in front of the guest. Each
 * thread makes its own vCPU, sets it up and waits at the gate, all of it beside
 * the loop thread's work on memory and kernel. The cpus_ functions belong to
 * the loop thread.
 */
struct cpus_config {
	uint32_t count;
	struct arch *arch; /* borrowed, for the life of the threads */
	struct bus *mmio;  /* borrowed */
	struct bus *pio;   /* borrowed */
	/*
	 * A vCPU left the guest for good. e is set for VCPU_FAILED and stays
	 * valid until cpus_free(). Thread: the vCPU's; must not block.
	 */
	void (*ended)(void *context, enum vcpu_exit how, const struct err *e);
	/*
	 * Takes from the thread what a vCPU does not need, once it is set up.
	 * Returns 0 or a negative errno. Thread: the vCPU's.
	 */
	int (*confine)(void *context, struct err *e);
	/*
	 * Gives a vCPU that was set up the state that it goes on from, before
	 * confine(). NULL where they begin with a kernel's entry. Thread: the
	 * vCPU's.
	 */
	int (*load)(void *context, struct vcpu *vcpu, struct err *e);
	void *context;
};

struct cpus;

/* Starts the threads. They wait for cpus_use_vm() after the CPU model. */
int cpus_new(struct cpus **out, const struct cpus_config *config,
	     struct err *e);

/* Ends the threads wherever they are and closes the vCPUs. Takes NULL. */
void cpus_free(struct cpus *c);

/*
 * The VM has its memory and interrupt controller: makes the boot vCPU, and has
 * the others made by their threads.
 */
int cpus_use_vm(struct cpus *c, const struct vm *vm, struct err *e);

/* Waits until every vCPU is ready, or says why one is not. */
int cpus_wait(struct cpus *c, struct err *e);

/* Lets them into the guest; the boot vCPU starts at *entry. */
void cpus_start(struct cpus *c, const struct boot_entry *entry);

/* The same for vCPUs that were loaded, but they stay held. */
void cpus_start_held(struct cpus *c);

/*
 * A vCPU that does not run, as any thread may then call KVM for it. Borrowed.
 * What its last exit began may be unsettled (bus.h); its registers are not.
 */
struct vcpu *cpus_held(struct cpus *c, uint32_t i);

/* Takes all vCPUs out of the guest and holds them; returns when all are. */
void cpus_hold(struct cpus *c);

/* Lets them in again. */
void cpus_release(struct cpus *c);

/* KVM exits so far, over all vCPUs. */
uint64_t cpus_exits(const struct cpus *c);

/* Tells them by kind. */
void cpus_count(const struct cpus *c, struct device_counters *counters);
