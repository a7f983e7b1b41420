/*
 * mayctl stop, kill and rm: the ends of a microVM that somebody asks for. The
 * command is told through the agent; where that does not help, the monitor is
 * ended, which no guest can refuse. The shim tidies up, and where there is none
 * any more, rm does.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/base/process.h"
#include "api/ctl/base/signals.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/run_options.h"
#include "api/ctl/vm/network.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/fd.h"

enum { STOP_MS = 10000, SHIM_MS = 5000 };

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

static int stop_one(const char *name, uint64_t patience_ms, struct err *e)
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

/* The words of a command that takes names and one option with a value. */
struct words {
	const char *value; /* of the option; NULL where it was not given */
	bool is_forced;
	char **names;
	int count;
};

static int read_words(struct words *w, int argc, char **argv,
		      const char *letter, const char *word)
{
	int i;

	*w = (struct words){0};
	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		const char *arg = argv[i];
		const char *value = NULL;

		if (word)
			value = ctl_option(argc, argv, &i, word);
		if (letter && !value)
			value = ctl_option(argc, argv, &i, letter);
		if (value && *value)
			w->value = value;
		else if (!word &&
			 (!strcmp(arg, "-f") || !strcmp(arg, "--force")))
			w->is_forced = true;
		else
			break;
	}
	w->names = argv + i;
	w->count = argc - i;
	if (w->count > 0 && w->names[0][0] != '-')
		return 0;
	ctl_complain("%s: can't use '%s'; it takes names of microVMs, --help "
		     "shows how",
		     argv[0], w->count > 0 ? w->names[0] : "");
	return -EINVAL;
}

int ctl_stop(int argc, char **argv)
{
	uint64_t patience_ms = STOP_MS;
	int i, code = CTL_OK;
	struct err e = {0};
	struct words w;

	if (read_words(&w, argc, argv, "-t", "--time"))
		return CTL_USAGE;
	if (w.value && !strcmp(w.value, "0")) {
		patience_ms = 0;
	} else if (w.value && run_options_duration(w.value, &patience_ms, &e)) {
		ctl_complain("stop -t: %s", e.text);
		return CTL_USAGE;
	}
	if (patience_ms > INT32_MAX)
		patience_ms = INT32_MAX;
	for (i = 0; i < w.count; i++) {
		if (!stop_one(w.names[i], patience_ms, &e)) {
			puts(w.names[i]);
			continue;
		}
		ctl_complain("%s", e.text);
		code = CTL_REFUSED;
	}
	return code;
}

/* ---- kill --------------------------------------------------------------- */

static int kill_one(const char *name, int signal, struct err *e)
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

int ctl_kill(int argc, char **argv)
{
	int i, signal = SIGKILL, code = CTL_OK;
	struct err e = {0};
	struct words w;

	if (read_words(&w, argc, argv, "-s", "--signal"))
		return CTL_USAGE;
	if (w.value)
		signal = signals_parse(w.value);
	if (signal < 0) {
		ctl_complain("kill: '%s' is no signal; TERM, SIGTERM or 15 "
			     "would be",
			     w.value);
		return CTL_USAGE;
	}
	for (i = 0; i < w.count; i++) {
		if (!kill_one(w.names[i], signal, &e)) {
			puts(w.names[i]);
			continue;
		}
		ctl_complain("%s", e.text);
		code = CTL_REFUSED;
	}
	return code;
}

/* ---- rm ----------------------------------------------------------------- */

static int remove_one(const char *name, bool is_forced, struct err *e)
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
		rc = vm_remove(&vm, e);
out:
	vm_fini(&vm);
	return rc;
}

int ctl_rm(int argc, char **argv)
{
	int i, code = CTL_OK;
	struct err e = {0};
	struct words w;

	if (read_words(&w, argc, argv, NULL, NULL))
		return CTL_USAGE;
	for (i = 0; i < w.count; i++) {
		if (!remove_one(w.names[i], w.is_forced, &e)) {
			puts(w.names[i]);
			continue;
		}
		ctl_complain("%s", e.text);
		code = CTL_REFUSED;
	}
	return code;
}
