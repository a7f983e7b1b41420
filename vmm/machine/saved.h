#pragma once

#include "vmm/machine/machine.h"

/*
 * The saved state of a machine: what machine.c needs of saved.c. Thread: the
 * loop's, unless said otherwise.
 */

/* The CPU model, before vCPU threads are there. */
int saved_load_model(struct machine *m, struct err *e);

/* The model's TSC alone, before platform and vCPUs that go back. */
int saved_load_clock(struct machine *m, struct err *e);

/* A vCPU; machine is a struct machine. Thread: the vCPU's. */
int saved_load_vcpu(void *machine, struct vcpu *vcpu, struct err *e);

/*
 * Whether somebody here takes each section: what nobody takes would be lost.
 * With all devices added. -ENOTSUP.
 */
int saved_check(const struct machine *m, struct err *e);

/* Devices, which were started, and what they hang on. They stay held. */
int saved_load(struct machine *m, struct err *e);

/* The second alone: interrupt controller and clocks. */
int saved_load_platform(struct machine *m, struct err *e);

/* Begins to note what is written to memory that KVM logs already. */
int saved_track(struct machine *m, struct err *e);

/*
 * Takes what KVM noted into m->written and, where they are, the sets since a
 * mark and of a fork. The guest may run.
 */
int saved_gather_guest(struct machine *m, struct err *e);

/*
 * The same, and what we noted ourselves: some of that may be written only now,
 * so devices have to be quiet.
 */
int saved_gather(struct machine *m, struct err *e);
