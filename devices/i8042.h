#pragma once

#include "vmm/base/err.h"
#include "vmm/machine/device.h"

/*
 * The keyboard controller: the reset line of a PC, and a keyboard on which
 * only Ctrl-Alt-Del is ever pressed. Returns 0 or a negative errno.
 */
int i8042_new(struct device **out, struct err *e);

/*
 * Presses and releases Ctrl-Alt-Del. A guest that has not asked for keyboard
 * interrupts, or that left earlier keys unread, doesn't notice. d is from
 * i8042_new(). Thread: the loop's, lock not held.
 */
void i8042_ctrl_alt_del(struct device *d) EXCLUDES(d->lock);
