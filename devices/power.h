#pragma once

#include "vmm/base/err.h"
#include "vmm/machine/device.h"

/*
 * The ACPI sleep control and status registers of a hardware-reduced platform:
 * how a guest turns itself off.
 */
int sleep_new(struct device **out, struct err *e);

/*
 * The boot timer: one page in which a guest writes 123 when its init runs,
 * which becomes DEVICE_BOOTED.
 */
int boot_timer_new(struct device **out, struct err *e);
