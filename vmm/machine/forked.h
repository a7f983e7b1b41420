#pragma once

#include "vmm/machine/machine.h"

/* What a fork that is being made has; with the machine, whose end it is. */
void forked_free(struct machine *m);
