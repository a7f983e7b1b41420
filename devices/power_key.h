#pragma once

#include "vmm/base/err.h"
#include "vmm/machine/device.h"

/*
 * A power key on a line of a GPIO controller, for machines without a keyboard.
 * Returns 0 or a negative errno.
 */
int power_key_new(struct device **out, struct err *e);

/*
 * Presses it, and lets it go a tenth of a second later. A guest that has not
 * asked for the line's interrupt doesn't notice. d is from power_key_new().
 * Thread: the loop's, lock not held.
 */
void power_key_press(struct device *d) EXCLUDES(d->lock);
