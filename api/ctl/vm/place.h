#pragma once

#include <stddef.h>

#include "vmm/base/err.h"

/*
 * Where microVMs are kept: what is small and lives as long as the host runs in
 * the runtime directory, which is memory; what may become large on the disk.
 */

/* $XDG_RUNTIME_DIR/mayfly or /run/mayfly; made where it is missing. */
int place_runtime(char *out, size_t size, struct err *e);

/*
 * $XDG_STATE_HOME/mayfly, /var/lib/mayfly/vms or ~/.local/state/mayfly; made
 * where it is missing.
 */
int place_disk(char *out, size_t size, struct err *e);
