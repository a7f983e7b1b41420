/*
 * The ends of a microVM that somebody asks for. The command is told through the
 * agent, and the shim, who hears of its end, has the disks synced and ends the
 * monitor. Where that does not happen the monitor is ended from here, which no
 * guest can refuse, and a sentence says what that may have cost.
 *
 * A guest may claim to be writing for ever. What is believed is what the
 * kernel says of the monitor: that bytes of its went to disks, or that a thread
 * of its waits for one. As long as that is so the power is not cut; `kill` and
 * `rm -f` do that.
 */
#include "api/ctl/vm/end.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/base/process.h"
#include "api/ctl/base/signals.h"
#include "api/ctl/vm/cell.h"
#include "api/ctl/vm/network.h"
#include "api/ctl/vm/orphan.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/fd.h"

enum {
	SHIM_MS = 5000,
	STALL_MS = 15000,  /* without a byte written, nothing is */
	FLUSH_MS = 120000, /* and so long may a disk take for one request */
	ASK_MS = 5000,	   /* without one, nobody may have asked the agent */
	LOOK_MS = 250,
	IO_MAX = 1024
};

/*
 * Of what a monitor writes to anything but a disk, interrupts and a console
 * among it, less within STALL_MS. A disk in memory is not told apart from that
 * by the kernel, but takes more.
 */
#define CHATTER_BYTES (1ULL << 20)

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
	orphan_find(vm->state.name, vm->state.id, SHIM_MS);
	return 0;
}

/* ---- stop --------------------------------------------------------------- */

struct stop {
	struct vm vm;
	int signal; /* 0: the image's */
	char vsock[VM_PATH_MAX];
	int end;	 /* owned; readable when the microVM has ended */
	bool was_killed; /* the command, after its time was over */
};

/* What a process has written; 0 where that is unknown. */
struct written {
	uint64_t all, devices; /* bytes; devices: to those, by way of files */
};

static uint64_t number_after(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static struct written look(const struct vm_process *p)
{
	char path[64], text[IO_MAX];
	CLEAN_FD int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%u/io", p->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return (struct written){
		.all = number_after(text, "wchar: "),
		.devices = number_after(text, "\nwrite_bytes: "),
	};
}

/* proc_pid_stat(5): the state follows the name, which may have anything. */
static bool is_disk_sleep(const char *tasks, const char *thread)
{
	char path[400], text[512];
	CLEAN_FD int fd = -1;
	const char *end;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s/stat", tasks, thread);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	end = strrchr(text, ')');
	return end && !strncmp(end, ") D", 3);
}

/* Whether a thread of it waits for a disk: a flush writes nothing it is told.
 */
static bool is_flushing(const struct vm_process *p)
{
	const struct dirent *entry;
	bool is_found = false;
	char path[64];
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%u/task", p->pid);
	tasks = opendir(path);
	while (tasks && !is_found && (entry = readdir(tasks)))
		is_found = *entry->d_name != '.' &&
			   is_disk_sleep(path, entry->d_name);
	if (tasks)
		closedir(tasks);
	return is_found;
}

/*
 * Waits for the end as long as something is written. Where nothing is, whose
 * task it was to ask for it may be stopped (a foreground mayctl, by Ctrl-Z): so
 * the agent is asked from here, once. 0, or -ETIMEDOUT.
 */
static int wait_written(const struct stop *s)
{
	const struct vm_process *monitor = &s->vm.state.monitor;
	struct written before = look(monitor), now;
	struct session asked = {.fd = -1};
	int idle_ms = 0, flush_ms = 0;
	bool is_asked = false;

	while (process_wait(s->end, LOOK_MS) && idle_ms < STALL_MS) {
		now = look(monitor);
		flush_ms = is_flushing(monitor) ? flush_ms + LOOK_MS : 0;
		if (now.devices != before.devices ||
		    now.all - before.all >= CHATTER_BYTES) {
			before = now;
			idle_ms = flush_ms = 0;
		} else if (!flush_ms || flush_ms > FLUSH_MS) {
			idle_ms += LOOK_MS;
		}
		if (idle_ms >= ASK_MS && !is_asked) {
			is_asked = true;
			(void)session_ask_shutdown(&asked, s->vsock, 0, NULL);
		}
	}
	session_fini(&asked);
	return process_wait(s->end, 0);
}

/*
 * Where the shim is gone, nobody hears of the command's end: the agent is told
 * to end the machine, which it does when all is on the disks.
 */
static int shut_down(struct stop *s, uint64_t patience_ms, struct err *e)
{
	int rc = session_shutdown(s->vsock, (uint32_t)patience_ms, e);

	return rc ? rc : process_wait(s->end, SHIM_MS);
}

/*
 * The end of a command may be quicker than the answer to what ended it: then
 * the connection is gone with the microVM. 0 where that is so.
 */
static int judge_kill(int rc, int end)
{
	const bool is_lost = rc == -ECONNRESET || rc == -EPIPE ||
			     rc == -ECONNREFUSED || rc == -ENOENT;

	return rc && process_wait(end, is_lost ? SHIM_MS : 0) ? rc : 0;
}

/* 0 when it has ended in good order. */
static int end_in_order(struct stop *s, uint64_t patience_ms, struct err *e)
{
	const char *word = s->vm.state.stop_signal;
	int asked = s->signal, rc;

	if (!asked)
		asked = word ? signals_parse(word) : SIGTERM;

	if (!vm_process_is_alive(&s->vm.state.shim))
		return shut_down(s, patience_ms, e);
	rc = session_kill(s->vsock, asked > 0 ? asked : SIGTERM, e);
	/* -ESRCH: it has ended by itself, and is being synced. */
	if (rc && rc != -ESRCH)
		return judge_kill(rc, s->end);
	if (!rc && !process_wait(s->end, (int)patience_ms))
		return 0;
	if (!rc) {
		rc = session_kill(s->vsock, SIGKILL, e);
		if (rc && rc != -ESRCH) {
			rc = judge_kill(rc, s->end);
			s->was_killed = !rc;
			return rc;
		}
		s->was_killed = !rc;
	}
	rc = wait_written(s);
	return rc ? err_set(e, rc,
			    "its disks were not synced, and nothing was "
			    "written for %d s",
			    STALL_MS / 1000)
		  : 0;
}

int end_stop(const char *name, int signal, uint64_t patience_ms, struct err *e)
{
	struct stop s = {.end = -1, .signal = signal};
	int rc = vm_load(&s.vm, name, e), ended = 0;

	if (!rc && vm_status(&s.vm) == VM_RUNNING && patience_ms) {
		vm_path(&s.vm, "vsock.sock", s.vsock);
		s.end = vm_process_open(&s.vm.state.shim);
		if (s.end < 0)
			s.end = vm_process_open(&s.vm.state.monitor);
		if (s.end >= 0)
			ended = end_in_order(&s, patience_ms, e);
	}
	if (!rc)
		rc = end_monitor(&s.vm, ended ? NULL : e);
	if (!rc && ended) {
		err_context(e,
			    "%s: the power was cut, and what was not yet on "
			    "its disks is lost",
			    name);
		rc = ended;
	} else if (!rc && s.was_killed) {
		err_set(e, 0,
			"%s: its command did not end in time and was "
			"killed",
			name);
		rc = END_KILLED;
	}
	fd_close(&s.end);
	vm_fini(&s.vm);
	return rc;
}

/* ---- kill --------------------------------------------------------------- */

int end_kill(const char *name, int signal, struct err *e)
{
	CLEAN_FD int monitor = -1;
	char vsock[VM_PATH_MAX];
	struct vm vm;
	int rc = vm_load(&vm, name, e);

	if (rc) {
		vm_fini(&vm);
		return rc;
	}
	monitor = vm_process_open(&vm.state.monitor);
	if (monitor < 0)
		rc = err_set(e, -ESRCH, "%s does not run", name);
	else
		rc = judge_kill(session_kill(vm_path(&vm, "vsock.sock", vsock),
					     signal, e),
				monitor);
	/* Of all signals, this one does not depend on the guest's goodwill. */
	if (rc && rc != -ESRCH && signal == SIGKILL)
		rc = end_monitor(&vm, e);
	vm_fini(&vm);
	return rc;
}

/* ---- rm ----------------------------------------------------------------- */

/* The directory, and what the state in it tells of. */
static int remove_all(const char *name, const char *id, struct err *e)
{
	struct err why = {0};
	struct vm vm;
	int rc = vm_adopt(&vm, name, SHIM_MS, &why);

	if (rc == -ENOENT && vm.owner_fd <= 0) {
		/* With --rm it has gone by itself. */
		rc = 0;
	} else if (vm.owner_fd <= 0) {
		rc = err_set(e, rc, "%s", why.text);
	} else if (id && vm.state.id && strcmp(id, vm.state.id) != 0) {
		/* So has this one, and another has its name. */
		rc = 0;
	} else {
		/* A state that can't be read is no reason to keep it. */
		vm.state.is_kept = true;
		orphan_end(&vm, NULL);
		rc = vm_remove(&vm, e);
	}
	vm_fini(&vm);
	return rc;
}

int end_remove(const char *name, bool is_forced, struct err *e)
{
	struct vm vm;
	int rc = vm_load(&vm, name, e);
	enum vm_status status;

	if (!vm.dir[0] || access(vm.dir, F_OK))
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
	if (!rc)
		rc = remove_all(name, vm.state.id, e);
	vm_sweep();
out:
	vm_fini(&vm);
	return rc;
}
