#pragma once

#include "api/controller.h"
#include "vmm/base/err.h"
#include "vmm/state/state.h"

/*
 * The section "config" of a state: what the microVM was made of. Host files and
 * names stand in it, no logs and no metrics, which are the monitor's. Thread:
 * the loop's.
 */
int snapshot_config_save(const struct controller *c, bool is_fork,
			 struct state *s, struct err *e);

/* Into *config, of config_init(), which the caller finishes in every case. */
int snapshot_config_read(const struct state *s, struct vm_config *config,
			 bool *has_boot_timer, bool *is_fork, struct err *e);

/* Into a controller that was not configured. */
int snapshot_config_load(struct controller *c, const struct state *s,
			 struct err *e);
