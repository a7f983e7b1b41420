/*
 * What is done for a microVM when those who should have done it were killed.
 * The lock on its directory says that they are gone, and keeps others from
 * doing it at the same time.
 */
#include "api/ctl/vm/orphan.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/ctl/base/exit.h"
#include "api/ctl/base/process.h"
#include "api/ctl/vm/cell.h"
#include "api/ctl/vm/network.h"
#include "vmm/base/fd.h"

enum { KILL_MS = 5000 };

static void end_monitor(struct vm *vm)
{
	CLEAN_FD int monitor = vm_process_open(&vm->state.monitor);

	if (monitor < 0)
		return;
	(void)process_signal(monitor, SIGKILL);
	(void)process_wait(monitor, KILL_MS);
}

void orphan_end(struct vm *vm, const char *why)
{
	struct timespec now;

	if (vm->state.stage == VM_ENDED)
		return;
	end_monitor(vm);
	if (vm->state.tap)
		network_remove(vm->state.tap, vm->state.id);
	cell_remove(vm->dir, vm->state.uid);
	if (!vm->state.is_kept) {
		(void)vm_remove(vm, NULL);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	vm->state.stage = VM_ENDED;
	vm->state.ended_s = (uint64_t)now.tv_sec;
	vm->state.exit_code = CTL_FAILED;
	if (!vm->state.error && why)
		vm->state.error = strdup(why);
	(void)vm_save(vm, NULL);
	vm_forget(vm);
}

/* Killed before there was a state, so before there was anything else. */
static bool is_stillborn(const struct vm *vm)
{
	char path[VM_PATH_MAX];

	return vm->owner_fd > 0 &&
	       access(vm_path(vm, "state.json", path), F_OK);
}

/* A state that can't be read says nothing that could be ended. */
void orphan_find(const char *name, const char *id, unsigned wait_ms)
{
	struct vm vm;

	if (vm_adopt(&vm, name, wait_ms, NULL)) {
		if (is_stillborn(&vm))
			(void)vm_remove(&vm, NULL);
	} else if (vm.state.id && (!id || !strcmp(vm.state.id, id))) {
		orphan_end(&vm, vm.state.stage == VM_CREATED
					? "mayctl was killed while it made it"
					: "its shim was killed");
	}
	vm_fini(&vm);
}

static int sweep_one(struct vm *vm, void *context)
{
	(void)context;
	if (vm->state.stage != VM_ENDED && !vm_is_owned(vm))
		orphan_find(vm->state.name, vm->state.id, 0);
	return 0;
}

void orphan_sweep(void)
{
	(void)vm_each(sweep_one, NULL, NULL);
	vm_sweep();
}
