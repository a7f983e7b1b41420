#pragma once

#include "vmm/base/err.h"
#include "vmm/machine/device.h"

/*
 * What a guest knows its own machine by, and a copy of it apart: a random id
 * (ACPI's VM_Gen_Counter) and a page that counts (Linux's VMClock), both in the
 * guest's memory, told by ACPI alone. Returns 0 or a negative errno.
 */
int generation_new(struct device **out, struct err *e);

/*
 * The guest goes on from an earlier state, as itself or as a clone: gives it
 * another id, counts, and interrupts it. d is from generation_new(), started,
 * and what was saved of it is loaded, as are the vCPUs and the interrupt
 * controller, without which the interrupt would be lost. Thread: the loop's; no
 * vCPU runs.
 */
int generation_changed(struct device *d, struct err *e);
