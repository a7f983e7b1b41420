#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "api/ctl/vm/vm.h"
#include "vmm/base/err.h"

/*
 * A guest that is made to stand still while something is done to it, and goes
 * on whatever becomes of us: a second process, the guard, waits for our death
 * and sees to it.
 */
struct still {
	char api[VM_PATH_MAX];
	char vsock[VM_PATH_MAX];
	bool is_frozen; /* all programs of the guest's, or may be */
	bool is_paused; /* its vCPUs, or may be */
	int lock_fd;	/* owned */
	pid_t guard;
	int guard_fd; /* owned; a byte tells the guard that all is well */
};

/*
 * Finds a microVM that runs and that nobody else does this to. vm and s need
 * vm_fini() and still_fini() after a failure, too.
 */
int still_find(struct still *s, struct vm *vm, const char *name, struct err *e);

/*
 * Starts the guard, who lets the guest go on where we die, and calls undo(),
 * which may be NULL.
 */
int still_guard(struct still *s, void (*undo)(void *context), void *context,
		struct err *e);

int still_freeze(struct still *s, struct err *e);
int still_pause(struct still *s, struct err *e);

/* It goes on, as far as it was brought to a stop. */
int still_go_on(struct still *s, struct err *e);

/*
 * The same after a failure, of which this says nothing: for as long as the
 * monitor refuses because a fork that was asked for is under way, a minute at
 * most.
 */
void still_let_go(struct still *s);

/* Dismisses the guard; nothing is done to the guest. */
void still_fini(struct still *s);
