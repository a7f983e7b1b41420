#pragma once

#include "vmm/base/err.h"

/*
 * Descriptors that come with us for the monitor: checks that each is open and
 * no way out of the jail, which a directory, an O_PATH descriptor and a
 * namespace would be, and keeps them open over exec. Returns 0 or a negative
 * errno with a sentence.
 */
int fds_check(const int *fds, unsigned count, struct err *e);
