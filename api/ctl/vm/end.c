/*
 * The ends of a microVM that somebody asks for. The command is told through the
 * agent; where that does not help, the monitor is ended, which no guest can
 * refuse. The shim tidies up, and where there is none any more, end_remove()
 * does.
 */
#include "api/ctl/vm/end.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/base/process.h"
#include "api/ctl/base/signals.h"
#include "api/ctl/vm/cell.h"
#include "api/ctl/vm/network.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/fd.h"

enum { SHIM_MS = 5000 };

/* Ends the monitor, and waits until the shim has written down that it has. */
static int end_monitor(const struct vm *vm, struct err *e)
{
	CLEAN_FD int monitor = vm_process_open(&vm->state.monitor);
	CLEAN_FD int shim = vm_process_open(&vm->state.shim);
	int rc;

	if (monitor >= 0) {
		rc = process_signal(monitor, SIGKILL);
		if (rc && rc != -ESRCH)
			return err_set(e, rc, "can't end the monitor of %s: %s",
				       vm->state.name, strerror(-rc));
		(void)process_wait(monitor, SHIM_MS);
	}
	/* Not yet started, or stuck: it ends everything by itself. */
	if (shim >= 0 && monitor < 0)
		(void)process_signal(shim, SIGTERM);
	if (shim >= 0 && process_wait(shim, SHIM_MS)) {
		(void)process_signal(shim, SIGKILL);
		(void)process_wait(shim, SHIM_MS);
	}
	return 0;
}

/* ---- stop --------------------------------------------------------------- */

int end_stop(const char *name, uint64_t patience_ms, struct err *e)
{
	CLEAN_FD int shim = -1, monitor = -1;
	char vsock[VM_PATH_MAX];
	struct vm vm;
	const char *socket;
	int rc, signal, end;

	rc = vm_load(&vm, name, e);
	if (rc)
		goto out;
	monitor = vm_process_open(&vm.state.monitor);
	shim = vm_process_open(&vm.state.shim);
	if (vm_status(&vm) == VM_RUNNING && patience_ms) {
		signal = vm.state.stop_signal
				 ? signals_parse(vm.state.stop_signal)
				 : SIGTERM;
		socket = vm_path(&vm, "vsock.sock", vsock);
		end = shim >= 0 ? shim : monitor;
		/* An agent that does not answer is no reason not to stop. */
		if (!session_kill(socket, signal > 0 ? signal : SIGTERM,
				  NULL) &&
		    process_wait(end, (int)patience_ms) &&
		    !session_kill(socket, SIGKILL, NULL))
			(void)process_wait(end, SHIM_MS);
	}
	rc = end_monitor(&vm, e);
out:
	vm_fini(&vm);
	return rc;
}

/* ---- kill --------------------------------------------------------------- */

int end_kill(const char *name, int signal, struct err *e)
{
	char vsock[VM_PATH_MAX];
	struct vm vm;
	int rc = vm_load(&vm, name, e);

	if (!rc && vm_status(&vm) != VM_RUNNING)
		rc = err_set(e, -ESRCH, "%s does not run", name);
	if (!rc)
		rc = session_kill(vm_path(&vm, "vsock.sock", vsock), signal, e);
	/* Of all signals, this one does not depend on the guest's goodwill. */
	if (rc && rc != -ESRCH && rc != -ENOENT && signal == SIGKILL)
		rc = end_monitor(&vm, e);
	vm_fini(&vm);
	return rc;
}

/* ---- rm ----------------------------------------------------------------- */

int end_remove(const char *name, bool is_forced, struct err *e)
{
	struct vm vm;
	int rc = vm_load(&vm, name, e);
	enum vm_status status;

	/* A state that can't be read is no reason to keep the directory. */
	if (rc == -ENOENT && !vm.dir[0])
		goto out;
	if (rc == -ENOENT && access(vm.dir, F_OK))
		goto out;
	status = vm_status(&vm);
	if ((status == VM_RUNNING || status == VM_STARTING) && !is_forced) {
		rc = err_set(e, -EBUSY,
			     "%s runs; end it with `mayctl stop %s` first, or "
			     "use rm -f",
			     name, name);
		goto out;
	}
	rc = end_monitor(&vm, e);
	if (!rc && vm.state.tap)
		network_remove(vm.state.tap);
	if (!rc)
		cell_remove(vm.dir, vm.state.uid);
	if (!rc)
		rc = vm_remove(&vm, e);
	vm_sweep();
out:
	vm_fini(&vm);
	return rc;
}
