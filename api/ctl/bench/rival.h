#pragma once

#include <limits.h>

#include "vmm/base/err.h"

/* Another monitor that speaks the wire's language: restores of its own. */
struct rival {
	const char *program;
	const char *guest;
	char sock[PATH_MAX + 32];
	char place[PATH_MAX + 32]; /* .state and .mem are its snapshot */
};

/*
 * Has it save the bench's guest, which waits; after a restore that ends at
 * once. Files lie in scratch.
 */
int rival_save(struct rival *r, const char *scratch, unsigned mib,
	       struct err *e);

/* From its exec to the end of the guest it has restored. A lane's once(). */
int rival_restore_once(void *context, double *ms, struct err *e);
