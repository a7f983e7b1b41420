#pragma once

#include <linux/filter.h>

#include "vmm/base/err.h"
#include "vmm/seccomp/rules.h"

/*
 * The file of --seccomp-filter: the tables of rules.c as JSON, which
 * share/mayfly/seccomp.json has to start from.
 *
 *	{"vcpu": [{"syscall": "ioctl",
 *	           "args": [{"index": 1, "mask": 4294967295, "value": 44672}],
 *	           "comment": "running the guest"}, …],
 *	 "loop": […], "start": […]}
 *
 * A thread that is left out keeps its built-in rules. A rule that the built-in
 * table of its thread does not have makes the policy looser, which is used,
 *with a warning in the log that names it.
 */

/*
 * Fills programs by kind, owned by the caller. Returns 0 or a negative errno;
 * then nothing is to be freed.
 */
int policy_load(const char *path, struct sock_fprog programs[FILTERS],
		struct err *e);
