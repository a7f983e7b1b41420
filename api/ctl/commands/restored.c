/*
 * From a snapshot's folder to a microVM of its own. Nothing of the folder is
 * changed, and nothing of it is trusted: the manifest is judged, the image is
 * the store's, disks that can be written to are copied, and the others are
 * linked, so that the folder may go.
 *
 * Its life begins when the agent has made another machine of it: until then its
 * programs stand still, and a failure, or our death, leaves nothing.
 */
#include "api/ctl/commands/restored.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/base/copy.h"
#include "api/ctl/base/interrupt.h"
#include "api/ctl/base/process.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/run.h"
#include "api/ctl/vm/client.h"
#include "api/ctl/vm/manifest.h"
#include "api/ctl/vm/moment.h"
#include "api/ctl/vm/seal.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"

enum { LOAD_MAX = 64 << 10 };

struct restored {
	struct run run;
	const struct restored_order *order;
	struct manifest manifest;
	struct sealed sealed;
	char *disks[VM_DEVICES_MAX]; /* owned: paths */
	uint64_t monitor_ns, loaded_ns, answered_ns, renewed_ns;
};

/* ---- its disks ---------------------------------------------------------- */

/* What can't be written to need not be copied where it can have two names. */
static int make_disk(const struct restored *r, const struct manifest_drive *d,
		     const char *path, struct err *e)
{
	char name[MANIFEST_NAME_MAX], self[32];
	uint64_t size = 0;
	CLEAN_FD int from = copy_open(r->order->folder_fd,
				      manifest_file(d, name), &size, e);
	CLEAN_FD int to = -1;

	if (from < 0)
		return from;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", from);
	if (d->is_read_only &&
	    !linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW))
		return 0;
	to = copy_make(AT_FDCWD, path, e);
	return to < 0 ? to : copy_file(from, to, size, name, e);
}

static int add_disk(struct restored *r, uint32_t i, struct err *e)
{
	const struct manifest_drive *d =
		(const struct manifest_drive *)r->manifest.drives.items + i;
	struct monitor_plan *m = &r->run.monitor;
	char name[MANIFEST_NAME_MAX], path[PATH_MAX];
	int rc = 0;

	m->drives[i] = (struct monitor_drive){
		.path = r->run.image.path,
		.id = d->id,
		.is_read_only = d->is_read_only,
	};
	m->drive_count = i + 1;
	if (manifest_is_image(d))
		return 0;
	vm_disk_path(&r->run.vm, manifest_file(d, name), path);
	r->disks[i] = strdup(path);
	if (!r->disks[i])
		return err_set(e, -ENOMEM, "no memory for a path");
	m->drives[i].path = r->disks[i];
	rc = make_disk(r, d, path, e);
	/* What is on volumes may be wanted afterwards, but it is a copy. */
	if (!rc && !d->is_read_only && strcmp(d->id, SESSION_UPPER_SERIAL) != 0)
		r->run.session.is_synced = true;
	return rc;
}

static int add_disks(struct run *run, struct err *e)
{
	struct restored *r = container_of(run, struct restored, run);
	uint32_t i;
	int rc = 0;

	for (i = 0; i < r->manifest.drives.count && !rc; i++)
		rc = add_disk(r, i, e);
	return rc;
}

/* What its copies may take of a host's memory, where disks are memory. */
static int sum_disks(struct restored *r, struct err *e)
{
	const struct manifest_drive *list = r->manifest.drives.items;
	char name[MANIFEST_NAME_MAX];
	uint64_t size;
	uint32_t i;

	for (i = 0; i < r->manifest.drives.count; i++) {
		CLEAN_FD int fd = -1;

		if (manifest_is_image(&list[i]) || list[i].is_read_only)
			continue;
		fd = copy_open(r->order->folder_fd,
			       manifest_file(&list[i], name), &size, e);
		if (fd < 0)
			return fd;
		r->run.options.disk_bytes += size;
	}
	return 0;
}

/* ---- what it is loaded of ----------------------------------------------- */

static int open_file(const struct restored *r, const char *name, uint64_t least,
		     uint64_t most, struct err *e)
{
	uint64_t size = 0;
	CLEAN_FD int fd = copy_open(r->order->folder_fd, name, &size, e);

	if (fd < 0)
		return fd;
	if (size < least || size > most)
		return err_set(
			e, -EINVAL,
			"%s has %llu bytes, and is not what " MANIFEST_FILE
			" tells of",
			name, (unsigned long long)size);
	return fd_steal(&fd);
}

static int open_pair(struct restored *r, struct err *e)
{
	const uint64_t memory = r->manifest.memory_mib << 20;
	struct monitor_plan *m = &r->run.monitor;
	const int fd = open_file(r, MANIFEST_MEMORY, memory, memory, e);

	if (fd < 0)
		return fd;
	m->memory_fd = fd;
	m->state_fd = r->sealed.state_fd;
	return 0;
}

/* A network comes back as the same kind, on another tap. */
static int choose_network(struct restored *r, struct err *e)
{
	struct run_options *o = &r->run.options;
	const int saved = r->manifest.network;

	if (!r->order->has_net && saved == MANIFEST_NET_NAT)
		o->net = RUN_NET_NAT;
	if (saved == MANIFEST_NET_NONE && o->net != RUN_NET_NONE)
		return err_set(e, -EINVAL,
			       "it was saved without a network, and its kernel "
			       "has no interface for one");
	if (saved != MANIFEST_NET_NONE && o->net == RUN_NET_NONE)
		return err_set(e, -EINVAL,
			       "it was saved with a network on a tap of yours; "
			       "say by --net tap=NAME,ip=ADDRESS/PREFIX or "
			       "--net nat what it is to have here");
	return 0;
}

/* The command runs: its image's file is all that is needed of the image. */
static int find_image(struct restored *r, struct err *e)
{
	const int rc = image_find(r->manifest.digest, &r->run.image, e);

	if (rc == -ENOENT)
		return err_set(e, rc,
			       "its image %s (%.19s) is not in the store; "
			       "import it first",
			       r->manifest.image, r->manifest.digest);
	if (!rc && strcmp(r->run.image.digest, r->manifest.digest) != 0)
		return err_set(e, -EINVAL, "the store has another image");
	return rc;
}

/* ---- another machine of it ---------------------------------------------- */

static int revive(struct run *run, struct err *e)
{
	struct restored *r = container_of(run, struct restored, run);
	struct session_identity who = {
		.hostname = run->session.hostname,
		.network = run->session.network,
		.mac = run->network.mac,
	};
	char api[VM_PATH_MAX], vsock[VM_PATH_MAX], path[VM_PATH_MAX];
	char *load = NULL;
	int rc = process_read_file(vm_path(&run->vm, MONITOR_LOAD, path),
				   LOAD_MAX, &load, e);

	r->monitor_ns = clock_now_ns();
	rc = rc ? rc : moment_remember(&run->vm, &who, e);
	vm_path(&run->vm, "api.sock", api);
	rc = rc ? rc
		: client_order(api, "PUT", "/snapshot/load", load,
			       CLIENT_USUAL_S, e);
	free(load);
	r->loaded_ns = clock_now_ns();
	if (rc)
		return rc;
	rc = session_renew(vm_path(&run->vm, "vsock.sock", vsock), &who, e);
	r->answered_ns = who.answered_ns;
	r->renewed_ns = clock_now_ns();
	return rc ? err_context(e, "the guest can't be made another machine")
		  : 0;
}

/* ---- all of it ---------------------------------------------------------- */

static const struct run_step steps[] = {
	{run_choose_cell, run_drop_cell},    {run_make_dir, run_remove_dir},
	{run_make_cell, run_drop_cell},	     {add_disks, NULL},
	{run_add_network, run_drop_network}, {run_configure, NULL},
};

static int fill_state(struct restored *r, struct err *e)
{
	const struct manifest *m = &r->manifest;
	struct vm_state *s = &r->run.vm.state;
	const int rc = run_fill_state(&r->run, e);

	s->image = strdup(m->image);
	s->digest = strdup(m->digest);
	s->command = m->command ? strdup(m->command) : NULL;
	s->stop_signal = m->stop_signal ? strdup(m->stop_signal) : NULL;
	return rc;
}

static int plan(struct restored *r, struct err *e)
{
	struct run *run = &r->run;
	struct run_options *o = &run->options;
	int rc;

	o->is_detached = true;
	o->vcpu_count = r->manifest.vcpu_count;
	o->memory_mib = r->manifest.memory_mib;
	run->monitor.files = &run->files;
	run->monitor.vcpu_count = o->vcpu_count;
	run->monitor.memory_mib = o->memory_mib;
	/* The guest goes on asking those servers, and is let through to them.
	 */
	manifest_servers(&r->manifest.dns, o->dns.list);
	o->dns.count = r->manifest.dns.count;
	o->has_console = r->manifest.has_console;
	run->monitor.has_console = o->has_console;
	run->revive = revive;
	rc = choose_network(r, e);
	rc = rc ? rc : open_pair(r, e);
	rc = rc ? rc : sum_disks(r, e);
	rc = rc ? rc : run_open_ports(run, e);
	rc = rc ? rc : fill_state(r, e);
	if (rc)
		return rc;
	run_plan_shim(run);
	run->shim.is_restored = true;
	run->shim.is_kept = !o->is_removed;
	run->shim.drop_fd = r->order->folder_fd;
	return 0;
}

static int prepare(struct restored *r, struct err *e)
{
	int rc = seal_open(r->order->folder_fd, r->order->key, &r->sealed, e);

	rc = rc ? rc : manifest_read(&r->manifest, r->sealed.manifest_fd, e);
	rc = rc ? rc : find_image(r, e);
	rc = rc ? rc : monitor_find(&r->run.files, NULL, e);
	rc = rc ? rc : plan(r, e);
	return rc ? rc
		  : run_take_steps(&r->run, steps,
				   sizeof(steps) / sizeof(steps[0]), e);
}

/* From the folder to the first answer of the guest's, and to its command. */
static void print_timing(const struct restored *r)
{
	const uint64_t now_ns = clock_now_ns();
	const uint64_t begin_ns = r->run.begin_ns;

	if (r->renewed_ns)
		fprintf(stderr,
			"timing: prepare %.1f, load %.1f, answer %.1f, renew "
			"%.1f, start "
			"%.1f, all %.1f ms\n",
			(double)(r->monitor_ns - begin_ns) / 1e6,
			(double)(r->loaded_ns - r->monitor_ns) / 1e6,
			(double)(r->answered_ns - r->loaded_ns) / 1e6,
			(double)(r->renewed_ns - r->answered_ns) / 1e6,
			(double)(now_ns - r->renewed_ns) / 1e6,
			(double)(now_ns - begin_ns) / 1e6);
}

static void fini(struct restored *r)
{
	unsigned i;

	seal_close(&r->sealed);
	fd_close(&r->run.monitor.memory_fd);
	for (i = 0; i < VM_DEVICES_MAX; i++)
		free(r->disks[i]);
	manifest_fini(&r->manifest);
	/* Options are the order's. */
	r->run.options = (struct run_options){0};
	run_fini(&r->run);
}

uint32_t restored_make(const struct restored_order *o)
{
	/* Large, and there is one at a time. */
	static struct restored r;
	struct err e = {0};
	uint32_t code = CTL_FAILED;

	r = (struct restored){.order = o};
	r.run.options = *o->options;
	run_init(&r.run);
	if (prepare(&r, &e) || shim_start(&r.run.shim, &r.run.control, &e)) {
		ctl_complain("%s", e.text);
	} else {
		r.run.made = 0;
		r.run.id = strdup(r.run.vm.state.id);
		/* So that a claim is not held by us when the shim ends. */
		cell_close(&r.run.cell);
		code = run_await_start(&r.run);
		if (o->options->has_timing)
			print_timing(&r);
	}
	fini(&r);
	return code;
}
