/*
 * How mayctl run has a microVM made: a configuration, and a monitor in a cell
 * that is handed it and all that it names.
 *
 * The kernel's command line is as short as the boot: no ACPI, no serial port.
 * Each byte of a serial console is an exit, and probing a port that nobody
 * reads costs some too.
 */
#include "api/ctl/vm/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/base/process.h"
#include "api/ctl/vm/client.h"
#include "api/ctl/vm/handed.h"
#include "api/ctl/vm/monitor_log.h"
#include "vmm/arch/host/host.h"
#include "vmm/base/fd.h"

/* In the monitor's directory, which only it knows by name. */
#define VSOCK_IN_JAIL "vsock.sock"

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

int monitor_find_program(char out[PATH_MAX], struct err *e)
{
	const char *named = getenv("MAYFLY");
	char own[PATH_MAX];
	int rc = process_own_dir(own, sizeof(own), e);

	if (rc)
		return rc;

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

int monitor_find_file(char out[PATH_MAX], const char *name, struct err *e)
{
	struct utsname host;
	char file[sizeof(host.machine) + 64];
	static const char *const built[] = {"guest", "../guest", "../../guest"};
	static const char *const installed[] = {"../share/mayfly"};
	char own[PATH_MAX], dir[PATH_MAX];
	unsigned i;
	int rc = process_own_dir(own, sizeof(own), e);

	if (rc)
		return rc;
	uname(&host);
	snprintf(file, sizeof(file), "%s/%s", host.machine, name);
	for (i = 0; i < sizeof(built) / sizeof(built[0]); i++)
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
		       "there is no %s beside mayctl (%s) nor in "
		       "/usr/local/share/mayfly; `make guest` builds it, "
		       "`make install` installs it",
		       name, own);
}

void monitor_find_jailer(char out[PATH_MAX], const char *program)
{
	char dir[PATH_MAX], *slash;

	snprintf(dir, sizeof(dir), "%s", program);
	slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
	if (try_path(out, dir, "mayfly-jailer") ||
	    (!process_own_dir(dir, sizeof(dir), NULL) &&
	     try_path(out, dir, "mayfly-jailer")))
		return;
	*out = '\0';
}

int monitor_find(struct monitor_files *f, const char *kernel, struct err *e)
{
	int rc = monitor_find_program(f->program, e);

	if (rc)
		return rc;
	monitor_find_jailer(f->jailer, f->program);
	if (!kernel)
		rc = monitor_find_file(f->kernel, HOST_KERNEL, e);
	else if (!realpath(kernel, f->kernel) || access(f->kernel, R_OK))
		rc = err_errno(e, "can't read the kernel %s", kernel);
	return rc ? rc : monitor_find_file(f->initrd, "agent.initrd", e);
}

/* ---- the configuration -------------------------------------------------- */

/* What the configuration calls its files. */
struct names {
	const char *kernel;
	const char *initrd;
	const char *drives[MONITOR_DRIVES_MAX];
	const char *tap;
	const char *vsock;
	const char *console;
};

const char *monitor_drive_id(const struct monitor_plan *plan, unsigned i,
			     char id[MONITOR_ID_SIZE])
{
	snprintf(id, MONITOR_ID_SIZE, SESSION_VOLUME_SERIAL, i - 1);
	if (plan->drives[i].id)
		snprintf(id, MONITOR_ID_SIZE, "%s", plan->drives[i].id);
	return id;
}

static json_t *make_drives(const struct monitor_plan *plan,
			   const struct names *names)
{
	json_t *drives = json_array();
	char id[MONITOR_ID_SIZE];
	unsigned i;

	for (i = 0; i < plan->drive_count; i++) {
		const struct monitor_drive *d = &plan->drives[i];

		monitor_drive_id(plan, i, id);
		/* What is flushed has to be on the disk. */
		json_array_append_new(
			drives,
			json_pack("{s:s, s:s, s:b, s:b, s:s}", "drive_id", id,
				  "path_on_host", names->drives[i],
				  "is_root_device", 0, "is_read_only",
				  d->is_read_only, "cache_type",
				  d->is_read_only ? "Unsafe" : "Writeback"));
	}
	return drives;
}

static char *make_config(const struct monitor_plan *plan,
			 const struct names *names, struct err *e)
{
	json_t *config;
	char *text;

	config = json_pack(
		"{s:{s:s, s:s, s:s}, s:{s:i, s:I, s:s}, s:o, s:{s:i, s:s}}",
		"boot-source", "kernel_image_path", names->kernel,
		"initrd_path", names->initrd, "boot_args",
		plan->has_console ? CONSOLE_ARGS : QUIET_ARGS, "machine-config",
		"vcpu_count", (int)plan->vcpu_count, "mem_size_mib",
		(json_int_t)plan->memory_mib, "huge_pages", "Transparent",
		"drives", make_drives(plan, names), "vsock", "guest_cid", 3,
		"uds_path", names->vsock);
	if (config && plan->tap)
		json_object_set_new(config, "network-interfaces",
				    json_pack("[{s:s, s:s, s:s}]", "iface_id",
					      "eth0", "host_dev_name",
					      names->tap, "guest_mac",
					      plan->mac));
	if (config && plan->has_console)
		json_object_set_new(
			config, "serial",
			json_pack("{s:s}", "serial_out_path", names->console));
	text = config ? json_dumps(config, JSON_COMPACT) : NULL;
	json_decref(config);
	if (!text)
		err_set(e, -EINVAL,
			"can't write the microVM's configuration: is there a "
			"path that is not UTF-8?");
	return text;
}

int monitor_configure(const struct vm *vm, const struct monitor_plan *plan,
		      struct err *e)
{
	struct names names = {
		.kernel = plan->files->kernel,
		.initrd = plan->files->initrd,
		.tap = plan->tap,
	};
	char path[VM_PATH_MAX], vsock[VM_PATH_MAX], console[PATH_MAX], *text;
	unsigned i;
	int rc;

	names.vsock = vm_path(vm, "vsock.sock", vsock);
	names.console = vm_disk_path(vm, "console.log", console);
	for (i = 0; i < plan->drive_count; i++)
		names.drives[i] = plan->drives[i].path;
	text = make_config(plan, &names, e);
	if (!text)
		return e->code;
	rc = process_write_file(vm_path(vm, "config.json", path), text, e);
	free(text);
	return rc;
}

/* ---- what it is handed --------------------------------------------------- */

struct hands {
	struct handed handed;
	struct handed_name kernel, initrd, tap, config, console;
	struct handed_name drives[MONITOR_DRIVES_MAX];
	int kvm, api, vsock; /* handed's */
	char *load;	     /* owned: the request */
};

static int hand_drive(struct handed *to, const struct monitor_drive *d,
		      struct handed_name *name, struct err *e)
{
	if (d->fd > 0)
		return handed_copy(to, d->fd, d->path, name, e);
	return handed_open(to, d->path, d->is_read_only ? O_RDONLY : O_RDWR,
			   FD_REGULAR_OR_BLOCK, "disk", name, e);
}

static int open_files(struct hands *h, const struct monitor_plan *plan,
		      struct err *e)
{
	struct handed *to = &h->handed;
	unsigned i;
	int rc = 0;

	/* What is loaded has its kernel in its memory. */
	if (!plan->state_fd)
		rc = handed_open(to, plan->files->kernel, O_RDONLY, FD_REGULAR,
				 "kernel", &h->kernel, e);
	if (rc >= 0 && !plan->state_fd)
		rc = handed_open(to, plan->files->initrd, O_RDONLY, FD_REGULAR,
				 "initrd", &h->initrd, e);
	for (i = 0; i < plan->drive_count && rc >= 0; i++)
		rc = hand_drive(to, &plan->drives[i], &h->drives[i], e);
	for (i = 0; i < plan->drive_count && rc >= 0; i++)
		if (plan->drives[i].name)
			*plan->drives[i].name = h->drives[i];
	if (rc >= 0 && plan->tap_fd)
		rc = handed_take_tap(to, fd_steal(plan->tap_fd), &h->tap, e);
	else if (rc >= 0 && plan->tap)
		rc = handed_open_tap(to, plan->tap, &h->tap, e);
	if (rc >= 0)
		rc = h->kvm = handed_open_kvm(to, e);
	return rc < 0 ? rc : 0;
}

static int add_socket(struct hands *h, const struct vm *vm, const char *name,
		      int *out, struct err *e)
{
	CLEAN_FD int dir = open(vm->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return err_errno(e, "can't open %s", vm->dir);
	*out = cell_listen_at(dir, name, e);
	return *out < 0 ? *out : handed_add(&h->handed, *out, false, e);
}

static int add_config(struct hands *h, const struct monitor_plan *plan,
		      struct err *e)
{
	struct names names = {
		.kernel = h->kernel.text,
		.initrd = h->initrd.text,
		.tap = h->tap.text,
		.vsock = VSOCK_IN_JAIL,
		.console = h->console.text,
	};
	unsigned i;
	char *text;
	int rc;

	for (i = 0; i < plan->drive_count; i++)
		names.drives[i] = h->drives[i].text;
	text = make_config(plan, &names, e);
	if (!text)
		return e->code;
	rc = handed_write(&h->handed, text, &h->config, e);
	free(text);
	return rc < 0 ? rc : 0;
}

/* ---- what it is loaded of -------------------------------------------------
 */

/*
 * Every device is given what it is to have here: nothing of the configuration
 * that was saved is opened. A vsock device is not named, for the socket is ours
 * already, and its name in the jail is always the same.
 */
static json_t *make_load(const struct hands *h, const struct monitor_plan *plan,
			 const struct handed_name *state,
			 const struct handed_name *memory)
{
	json_t *drives = json_array(), *nets = json_array();
	char id[MONITOR_ID_SIZE];
	unsigned i;

	for (i = 0; i < plan->drive_count; i++)
		json_array_append_new(
			drives, json_pack("{s:s, s:s}", "drive_id",
					  monitor_drive_id(plan, i, id),
					  "path_on_host", h->drives[i].text));
	json_t *serial = json_object();

	if (plan->has_console)
		json_object_set_new(serial, "serial_out_path",
				    json_string(h->console.text));
	if (plan->tap)
		json_array_append_new(nets, json_pack("{s:s, s:s}", "iface_id",
						      "eth0", "host_dev_name",
						      h->tap.text));
	return json_pack("{s:s, s:{s:s, s:s}, s:b, s:o, s:o, s:{s:s}, s:o}",
			 "snapshot_path", state->text, "mem_backend",
			 "backend_type", "File", "backend_path", memory->text,
			 "resume_vm", 1, "drive_overrides", drives,
			 "network_overrides", nets, "vsock_override",
			 "uds_path", VSOCK_IN_JAIL, "serial_override", serial);
}

static int add_saved(struct hands *h, const struct vm *vm,
		     const struct monitor_plan *plan, struct err *e)
{
	struct handed_name state, memory;
	json_t *json;
	int rc = handed_copy(&h->handed, plan->state_fd, "state", &state, e);

	if (rc >= 0)
		rc = handed_copy(&h->handed, plan->memory_fd, "memory", &memory,
				 e);
	if (rc < 0)
		return rc;
	json = make_load(h, plan, &state, &memory);
	if (!plan->order_fd)
		return vm_write_json(vm, MONITOR_LOAD, json, e);
	h->load = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	return h->load ? 0 : err_set(e, -ENOMEM, "no memory for a request");
}

/*
 * The kernel's messages, which the monitor bounds in a file that it is told of
 * as its serial port's, and not in what its standard output leads to.
 */
static int add_console(struct hands *h, const struct vm *vm,
		       const struct monitor_plan *plan, struct err *e)
{
	char path[PATH_MAX];
	CLEAN_FD int fd = -1;
	int rc;

	if (!plan->has_console)
		return 0;
	fd = open(vm_disk_path(vm, "console.log", path),
		  O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(e, "can't write %s", path);
	rc = handed_copy(&h->handed, fd, "console.log", &h->console, e);
	return rc < 0 ? rc : 0;
}

static int hand_over(struct hands *h, const struct vm *vm,
		     const struct monitor_plan *plan, struct err *e)
{
	int rc = open_files(h, plan, e);

	if (!rc)
		rc = add_socket(h, vm, "api.sock", &h->api, e);
	if (!rc)
		rc = add_socket(h, vm, "vsock.sock", &h->vsock, e);
	if (!rc)
		rc = add_console(h, vm, plan, e);
	if (rc)
		return rc;
	return plan->state_fd > 0 ? add_saved(h, vm, plan, e)
				  : add_config(h, plan, e);
}

/* ---- the process -------------------------------------------------------- */

static int open_log(const char *path, struct err *e)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	return fd < 0 ? err_errno(e, "can't write %s", path) : fd;
}

static int start(const struct vm *vm, const struct monitor_plan *plan,
		 const struct hands *h, const int standard[3], pid_t *pid,
		 struct err *e)
{
	char kvm[16], api[16], vsock[16], files[HANDED_LIST], id[VM_ID_SIZE];
	const char *const args[] = {
		"--kvm-fd",
		kvm,
		"--api-fd",
		api,
		"--vsock-fd",
		vsock,
		"--file-fds",
		files,
		plan->state_fd > 0 ? NULL : "--config-file",
		h->config.text,
		NULL,
	};
	char path[VM_PATH_MAX];
	CLEAN_FD int record = open(vm_path(vm, "monitor.pid", path),
				   O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
				   0600);
	const struct cell_monitor monitor = {
		.program = plan->files->program,
		.jailer = plan->files->jailer,
		.id = id,
		.args = args,
		.standard = {standard[0], standard[1], standard[2]},
		.fds = h->handed.fds,
		.fd_count = h->handed.count,
		.record_fd = record,
		.is_bound = plan->is_bound,
	};

	if (record < 0)
		return err_errno(e, "can't write %s", path);
	snprintf(kvm, sizeof(kvm), "%d", h->kvm);
	snprintf(api, sizeof(api), "%d", h->api);
	snprintf(vsock, sizeof(vsock), "%d", h->vsock);
	handed_list(&h->handed, files);
	vm_monitor_id(vm->state.name, id);
	return cell_start(plan->cell, &monitor, pid, e);
}

/* Before it listens: the order waits for it. */
static int order(const struct vm *vm, const struct monitor_plan *plan,
		 const struct hands *h, struct err *e)
{
	char api[VM_PATH_MAX];

	if (!h->load)
		return 0;
	*plan->order_fd = client_begin(vm_path(vm, "api.sock", api), "PUT",
				       "/snapshot/load", h->load, e);
	return *plan->order_fd < 0 ? *plan->order_fd : 0;
}

int monitor_start(const struct vm *vm, const struct monitor_plan *plan,
		  pid_t *pid, struct err *e)
{
	CLEAN_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char path[PATH_MAX];
	CLEAN_FD int own = -1;
	struct hands hands = {0};
	int fds[3] = {null, null, plan->log_fd}, rc;

	if (!plan->log_fd) {
		fds[2] = own = open_log(vm_path(vm, MONITOR_LOG_FILE, path), e);
		if (own < 0)
			return own;
	}
	if (null < 0)
		return err_errno(e, "can't open /dev/null");
	rc = hand_over(&hands, vm, plan, e);
	rc = rc ? rc : order(vm, plan, &hands, e);
	if (!rc)
		rc = start(vm, plan, &hands, fds, pid, e);
	free(hands.load);
	handed_close(&hands.handed);
	/* What of it the monitor needs, its process has. */
	cell_close(plan->cell);
	return rc;
}
