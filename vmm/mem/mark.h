#pragma once

#include <stdint.h>

#include "vmm/base/err.h"
#include "vmm/mem/guest_mem.h"

/*
 * Memory that goes back to how it was at one moment. It is then a private
 * mapping of a file that nobody writes to, as that of a loaded machine is from
 * the start (GUEST_MEM_FILE). Thread: the loop's; no vCPU runs, and devices are
 * quiet.
 */

/*
 * This is the moment. Memory that was shared is remapped where it is, and costs
 * nothing; other memory is copied, as far as it was touched. Pointers into it
 * stay. On failure it is as before.
 */
int mark_set(struct guest_mem *m, struct err *e);

/*
 * Back, for memory of GUEST_MEM_FILE: the pages whose bits are set, all that
 * may have been written since. Few are copied, for the guest then finds them
 * there; many are dropped, and copied when it writes to them again.
 */
int mark_reset(struct guest_mem *m, const uint64_t *pages, struct err *e);

/* The same where nobody knows which: all are dropped. */
int mark_reset_all(struct guest_mem *m, struct err *e);
