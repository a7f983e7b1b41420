#pragma once

#include "jailer/options.h"
#include "vmm/base/err.h"

/*
 * Sets the limits on file sizes (where given) and on the number of open files,
 * soft and hard, of this process and all that come after it.
 */
int rlimit_set(const struct jail_options *o, struct err *e);
