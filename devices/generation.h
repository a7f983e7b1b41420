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

/*
 * The guest is back at an earlier state in place. Where that is the one that
 * was loaded, of before generation_changed(), it has the id that it was given
 * then once more, for the one it was saved with is another machine's: that of
 * who was saved, and of every clone that is reset. As generation_changed()
 * otherwise.
 */
int generation_again(struct device *d, struct err *e);
