#pragma once

#include "api/ctl/vm/vm.h"

/*
 * MicroVMs whose owner has died before it could tidy up: mayctl while it made
 * one, or a shim that was killed.
 */

/*
 * Ends what is left of a microVM that is ours (vm_adopt()): its monitor, tap
 * and rules. It is removed where it was not to be kept; else its state says how
 * it ended, with why as the reason where it is not NULL.
 */
void orphan_end(struct vm *vm, const char *why);

/* The same for the microVM of that name and id, where it has no owner. */
void orphan_find(const char *name, const char *id, unsigned wait_ms);

/* The same for all that have no owner, and vm_sweep(). */
void orphan_sweep(void);
