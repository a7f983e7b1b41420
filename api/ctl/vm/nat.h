#pragma once

#include "api/ctl/vm/network.h"
#include "vmm/base/err.h"

/*
 * The host's rules for a guest on a tap of ours. It reaches the world by the
 * host's address, and nobody reaches it; it does not reach the host itself,
 * name servers apart, nor another guest. Answers to what it, or the host, has
 * begun pass.
 *
 * All rules carry the microVM's id, and are removed by it.
 */

/* Makes them; what a failure left, nat_remove() removes. */
int nat_make(const struct network *n, const char *id, struct err *e);
void nat_remove(const struct network *n, const char *id);
