/*
 * How mayctl run has a microVM made: a config file in the microVM's directory,
 * a monitor that reads it.
 *
 * The kernel's command line is as short as the boot: no ACPI, no serial port.
 * Each byte of a serial console is an exit, and probing a port that nobody
 * reads costs some too.
 */
#include "api/ctl/vm/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/base/process.h"
#include "vmm/base/fd.h"

#define QUIET_ARGS   "quiet acpi=off reboot=k panic=-1 8250.nr_uarts=0"
#define CONSOLE_ARGS "console=ttyS0 acpi=off reboot=k panic=-1"

/* ---- what is where ------------------------------------------------------ */

static bool try_path(char out[PATH_MAX], const char *dir, const char *file)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", dir, file) >=
	    (int)sizeof(path))
		return false;
	/* Absolute and without links: the monitor runs elsewhere. */
	return !access(path, R_OK) && realpath(path, out);
}

static bool search_path(char out[PATH_MAX])
{
	const char *at = getenv("PATH");
	char dir[PATH_MAX];

	while (at && *at) {
		const size_t len = strcspn(at, ":");

		if (len && len < sizeof(dir)) {
			memcpy(dir, at, len);
			dir[len] = '\0';
			if (try_path(out, dir, "mayfly"))
				return true;
		}
		at += len + (at[len] == ':');
	}
	return false;
}

static int find_program(char out[PATH_MAX], const char *own, struct err *e)
{
	const char *named = getenv("MAYFLY");

	if (named && *named) {
		if (realpath(named, out) && !access(out, X_OK))
			return 0;
		return err_errno(e, "MAYFLY says that the monitor is %s",
				 named);
	}
	if (try_path(out, own, "mayfly") || search_path(out))
		return 0;
	return err_set(e, -ENOENT,
		       "there is no mayfly beside mayctl (%s) nor in PATH; "
		       "install it, or say where it is in MAYFLY",
		       own);
}

/* A file of the guest, where `make` or `make install` have put it. */
static int find_guest_file(char out[PATH_MAX], const char *own,
			   const char *name, struct err *e)
{
	struct utsname host;
	char file[sizeof(host.machine) + 64];
	static const char *const built[] = {"guest", "../guest"};
	static const char *const installed[] = {"../share/mayfly"};
	char dir[PATH_MAX];
	unsigned i;

	uname(&host);
	snprintf(file, sizeof(file), "%s/%s", host.machine, name);
	for (i = 0; i < 2; i++)
		if (snprintf(dir, sizeof(dir), "%s/%s", own, built[i]) <
			    (int)sizeof(dir) &&
		    try_path(out, dir, file))
			return 0;
	if (snprintf(dir, sizeof(dir), "%s/%s", own, installed[0]) <
		    (int)sizeof(dir) &&
	    try_path(out, dir, name))
		return 0;
	if (try_path(out, "/usr/local/share/mayfly", name) ||
	    try_path(out, "/usr/share/mayfly", name))
		return 0;
	return err_set(e, -ENOENT,
		       "there is no %s of the guest beside mayctl (%s) nor in "
		       "/usr/local/share/mayfly; `make guest` builds it, "
		       "`make install` installs it",
		       name, own);
}

int monitor_find(struct monitor_files *f, const char *kernel, struct err *e)
{
	char own[PATH_MAX];
	int rc = process_own_dir(own, sizeof(own), e);

	if (!rc)
		rc = find_program(f->program, own, e);
	if (rc)
		return rc;
	if (!kernel)
		rc = find_guest_file(f->kernel, own, "vmlinux", e);
	else if (!realpath(kernel, f->kernel) || access(f->kernel, R_OK))
		rc = err_errno(e, "can't read the kernel %s", kernel);
	return rc ? rc : find_guest_file(f->initrd, own, "agent.initrd", e);
}

/* ---- the configuration -------------------------------------------------- */

static json_t *make_drives(const struct monitor_plan *plan)
{
	json_t *drives = json_array();
	char id[32];
	unsigned i;

	for (i = 0; i < plan->drive_count; i++) {
		const struct monitor_drive *d = &plan->drives[i];

		snprintf(id, sizeof(id), SESSION_VOLUME_SERIAL, i - 1);
		/* What is flushed has to be on the disk. */
		json_array_append_new(
			drives,
			json_pack("{s:s, s:s, s:b, s:b, s:s}", "drive_id",
				  i ? id : SESSION_IMAGE_SERIAL, "path_on_host",
				  d->path, "is_root_device", 0, "is_read_only",
				  d->is_read_only, "cache_type",
				  d->is_read_only ? "Unsafe" : "Writeback"));
	}
	return drives;
}

static json_t *make_config(const struct vm *vm, const struct monitor_plan *plan)
{
	char socket[VM_PATH_MAX];
	json_t *config;

	config = json_pack(
		"{s:{s:s, s:s, s:s}, s:{s:i, s:I, s:s}, s:o, s:{s:i, s:s}}",
		"boot-source", "kernel_image_path", plan->files->kernel,
		"initrd_path", plan->files->initrd, "boot_args",
		plan->has_console ? CONSOLE_ARGS : QUIET_ARGS, "machine-config",
		"vcpu_count", (int)plan->vcpu_count, "mem_size_mib",
		(json_int_t)plan->memory_mib, "huge_pages", "Transparent",
		"drives", make_drives(plan), "vsock", "guest_cid", 3,
		"uds_path", vm_path(vm, "vsock.sock", socket));
	if (config && plan->tap)
		json_object_set_new(config, "network-interfaces",
				    json_pack("[{s:s, s:s, s:s}]", "iface_id",
					      "eth0", "host_dev_name",
					      plan->tap, "guest_mac",
					      plan->mac));
	return config;
}

int monitor_configure(const struct vm *vm, const struct monitor_plan *plan,
		      struct err *e)
{
	json_t *config = make_config(vm, plan);
	char *text = config ? json_dumps(config, JSON_COMPACT) : NULL;
	char path[VM_PATH_MAX];
	int rc;

	json_decref(config);
	if (!text)
		return err_set(e, -EINVAL,
			       "can't write the microVM's configuration: is "
			       "there a path that is not UTF-8?");
	rc = process_write_file(vm_path(vm, "config.json", path), text, e);
	free(text);
	return rc;
}

/* ---- the process -------------------------------------------------------- */

static int open_log(const char *path, struct err *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	return fd < 0 ? err_errno(e, "can't write %s", path) : fd;
}

static int spawn(const char *program, char *const argv[], const int fds[3],
		 pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	static const int reset[] = {SIGHUP,  SIGINT,  SIGQUIT,
				    SIGPIPE, SIGTERM, SIGCHLD};
	sigset_t none, usual;
	int i, rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	for (i = 0; i < 3; i++)
		posix_spawn_file_actions_adddup2(&actions, fds[i], i);
	/* Whatever mayctl or nohup blocks or ignores is its own affair. */
	sigemptyset(&none);
	sigemptyset(&usual);
	for (i = 0; i < (int)(sizeof(reset) / sizeof(reset[0])); i++)
		sigaddset(&usual, reset[i]);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &usual);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK |
						      POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawn(pid, program, &actions, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return -rc;
}

int monitor_start(const struct vm *vm, const struct monitor_plan *plan,
		  pid_t *pid, struct err *e)
{
	char config[VM_PATH_MAX], api[VM_PATH_MAX];
	CLEAN_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char path[PATH_MAX];
	CLEAN_FD int console = -1;
	CLEAN_FD int log = open_log(vm_path(vm, "monitor.log", path), e);
	char *const argv[] = {(char[]){"mayfly"},
			      (char[]){"--id"},
			      vm->state.name,
			      (char[]){"--api-sock"},
			      api,
			      (char[]){"--config-file"},
			      config,
			      NULL};
	int fds[3] = {null, null, log}, rc;

	if (log < 0)
		return log;
	if (null < 0)
		return err_errno(e, "can't open /dev/null");
	if (plan->has_console) {
		console = open_log(vm_disk_path(vm, "console.log", path), e);
		if (console < 0)
			return console;
		fds[1] = console;
	}
	vm_path(vm, "config.json", config);
	vm_path(vm, "api.sock", api);
	rc = spawn(plan->files->program, argv, fds, pid);
	if (rc)
		return err_set(e, rc, "can't start %s: %s",
			       plan->files->program, strerror(-rc));
	return 0;
}
