#include "api/ctl/containerd/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/base/process.h"
#include "api/ctl/vm/client.h"
#include "api/ctl/vm/orphan.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"

enum { GUEST_OWN_MIB = 64 };

/* ---- its monitor -------------------------------------------------------- */

static void monitor_ready(struct loop_watch *w, uint32_t events)
{
	struct machine *m = container_of(w, struct machine, monitor);
	char path[VM_PATH_MAX], why[256];

	(void)events;
	loop_delete(m->loop, w);
	(void)monitor_log_drain(&m->log);
	monitor_log_said(vm_path(&m->vm, MONITOR_LOG_FILE, path), why,
			 sizeof(why));
	m->lost(m, why);
}

static void words_ready(struct loop_watch *w, uint32_t events)
{
	struct machine *m = container_of(w, struct machine, words);

	(void)events;
	if (monitor_log_drain(&m->log) == -EPIPE)
		loop_delete(m->loop, w);
}

/* With its end of the log; ours is watched. */
static int start_monitor(struct machine *m, struct err *e)
{
	char path[VM_PATH_MAX];
	int rc = monitor_log_open(&m->log,
				  vm_path(&m->vm, MONITOR_LOG_FILE, path), e);

	m->plan.log_fd = m->log.write_fd;
	if (!rc)
		rc = monitor_start(&m->vm, &m->plan, &m->pid, e);
	fd_close(&m->log.write_fd);
	return rc ? rc
		  : loop_add(m->loop, &m->words, m->log.pipe_fd, EPOLLIN, e);
}

/* It is our child until machine_end() has waited for it, so the id is its. */
void machine_kill(struct machine *m)
{
	if (m->pid > 0)
		kill(m->pid, SIGKILL);
}

/* Whatever the port was that somebody dialled, the guest's it is. */
static int forward_loopback(struct machine *m, struct err *e)
{
	const struct forward_rule any = {.guest = 0};

	return m->net.loopback.listen_fd < 0
		       ? 0
		       : forward_start(&m->forward, m->loop, m->vsock, &any,
				       &m->net.loopback.listen_fd, 1, e);
}

static void plan_drives(struct machine *m)
{
	for (unsigned i = 0; i < m->disk_count; i++)
		m->plan.drives[i] = (struct monitor_drive){
			.path = m->disks[i].path,
			.name = &m->disks[i].name,
			.id = m->disks[i].serial,
			.is_read_only = true,
			.fd = m->disks[i].fd,
		};
	m->plan.drive_count = m->disk_count;
}

static int start(struct machine *m, struct err *e)
{
	struct vm_state *state = &m->vm.state;
	int rc = monitor_configure(&m->vm, &m->plan, e);

	if (rc)
		return rc;
	rc = m->ready_fd = cell_listen(&m->cell, SESSION_READY_SOCKET, e);
	if (rc < 0)
		return rc;
	/* The monitor looks after nothing. */
	(void)fcntl(m->vm.owner_fd, F_SETFD, FD_CLOEXEC);
	rc = start_monitor(m, e);
	if (rc)
		return rc;
	rc = m->monitor_fd = process_open(m->pid);
	if (rc < 0)
		return err_set(e, rc, "pidfd_open: %s", strerror(-rc));
	state->shim = vm_process_of(getpid());
	state->monitor = vm_process_of(m->pid);
	state->stage = VM_STARTED;
	rc = vm_save(&m->vm, e);
	return rc ? rc
		  : loop_add(m->loop, &m->monitor, m->monitor_fd, EPOLLIN, e);
}

/* For the second monitor, if the first one's guest at rest is of no use. */
static int keep_tap(struct machine *m, struct err *e)
{
	if (m->net.tap_fd < 0)
		return 0;
	m->kept_tap_fd = fcntl(m->net.tap_fd, F_DUPFD_CLOEXEC, 0);
	return m->kept_tap_fd < 0 ? err_errno(e, "can't keep the tap") : 0;
}

int machine_start(struct machine *m, struct err *e)
{
	int rc;

	plan_drives(m);
	m->is_warm = m->wishes.is_warm &&
		     warming_choose(&m->warming, &m->plan, m->id);
	rc = m->is_warm ? keep_tap(m, e) : 0;
	if (!rc)
		rc = start(m, e);
	if (rc && m->is_warm)
		rc = machine_boot_instead(m, e->text, e);
	return rc ? rc : forward_loopback(m, e);
}

void machine_settle(struct machine *m)
{
	m->is_warm = false;
	fd_close(&m->kept_tap_fd);
	warming_settle(&m->warming, &m->plan, m->config->has_jail);
}

/* ---- its disks ---------------------------------------------------------- */

static void name_disks(struct machine *m, bool is_pod)
{
	m->disk_count = is_pod ? MACHINE_DISKS : 1;
	for (unsigned i = 0; i < m->disk_count; i++) {
		struct machine_disk *d = &m->disks[i];

		*d = (struct machine_disk){.fd = -1};
		snprintf(d->serial, sizeof(d->serial),
			 i ? "slot%u" : SESSION_IMAGE_SERIAL, i);
	}
}

static int make_disks(struct machine *m, struct err *e)
{
	for (unsigned i = 0; i < m->disk_count; i++) {
		struct machine_disk *d = &m->disks[i];
		char file[24];
		int fd, rc;

		snprintf(file, sizeof(file), "%s.erofs", d->serial);
		vm_disk_path(&m->vm, file, d->path);
		fd = open(d->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			  0600);
		rc = fd < 0 || ftruncate(fd, SESSION_SPARE_BYTES)
			     ? err_errno(e, "can't make %s", d->path)
			     : 0;
		fd_close(&fd);
		if (rc)
			return rc;
	}
	return 0;
}

void machine_lend(struct machine *m, const char *path, int fd)
{
	snprintf(m->disks[0].path, sizeof(m->disks[0].path), "%s", path);
	m->disks[0].fd = fd;
}

int machine_take_disk(struct machine *m, struct err *e)
{
	for (unsigned i = 0; i < m->disk_count; i++)
		if (!m->disks[i].is_taken) {
			m->disks[i].is_taken = true;
			return (int)i;
		}
	return err_set(e, -ENOSPC,
		       "the microVM has room for %u containers, and has them",
		       m->disk_count);
}

int machine_fill(struct machine *m, unsigned disk, struct err *e)
{
	const struct machine_disk *d = &m->disks[disk];
	char socket[VM_PATH_MAX], path[64], *body;
	json_t *json = json_pack("{s:s, s:s}", "drive_id", d->serial,
				 "path_on_host", d->name.text);
	int rc;

	body = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (!body)
		return err_set(e, -ENOMEM, "no memory for a request");
	snprintf(path, sizeof(path), "/drives/%s", d->serial);
	rc = client_order(vm_path(&m->vm, "api.sock", socket), "PATCH", path,
			  body, CLIENT_USUAL_S, e);
	free(body);
	return rc;
}

void machine_give_disk(struct machine *m, unsigned disk)
{
	struct machine_disk *d = &m->disks[disk];
	struct err e = {0};

	/* What can't be taken back is used no more. */
	if (truncate(d->path, 0) || truncate(d->path, SESSION_SPARE_BYTES) ||
	    (m->pid > 0 && machine_fill(m, disk, &e)))
		return;
	d->is_taken = false;
}

/* ---- begin and end ------------------------------------------------------ */

/* Claims what its jail needs; the state that is written next tells of it. */
static int choose_cell(struct machine *m, struct err *e)
{
	int rc = cell_choose(&m->cell, m->config->has_jail, m->files.jailer, e);

	m->vm.state.jail = m->cell.kind;
	m->vm.state.uid = m->cell.claim.uid;
	return rc;
}

static int make_cell(struct machine *m, struct err *e)
{
	const struct cgroups_limits limits = {
		.vcpu_count = m->vcpus,
		.memory_mib = m->memory_mib,
	};
	struct vm_state *state = &m->vm.state;
	char id[VM_ID_SIZE];
	int rc = cell_make(&m->cell, m->vm.dir, m->files.program,
			   vm_monitor_id(state->name, id), &limits, e);

	free(state->limits);
	state->limits = strdup(m->cell.cgroups.limits);
	return rc ? rc : vm_save(&m->vm, e);
}

static int make(struct machine *m, const struct host *h, struct err *e)
{
	struct vm_state *state = &m->vm.state;
	int rc;

	state->name = strdup(h->vm_name);
	state->image = strdup(h->group);
	state->command = strdup(h->id);
	state->is_detached = true;
	state->vcpu_count = m->vcpus;
	state->memory_mib = m->memory_mib;
	rc = choose_cell(m, e);
	if (rc)
		return rc;
	m->is_made = true;
	rc = vm_create(&m->vm, e);
	return rc ? rc : make_cell(m, e);
}

void machine_size(struct machine *m, const struct resources *r)
{
	const uint64_t host_mib = host_memory_mib();
	uint64_t cpus = r->cpus;
	uint64_t mib = r->memory_bytes >> 20;

	if (cpus > host_cpus())
		cpus = host_cpus();
	if (cpus > HOST_VCPUS_MAX)
		cpus = HOST_VCPUS_MAX;
	/* The kernel and the agent need some as well. */
	mib = mib ? mib + GUEST_OWN_MIB : 0;
	if (mib > host_mib)
		mib = host_mib;
	m->vcpus = m->wishes.vcpus;
	m->memory_mib = m->wishes.memory_mib;
	if (cpus > m->vcpus)
		m->vcpus = (uint32_t)cpus;
	if (mib > m->memory_mib)
		m->memory_mib = mib;
}

/* Before there is a state that says so: what is made goes with us. */
static int make_network(struct machine *m, const char *netns, struct err *e)
{
	int rc = netns ? netns_open(&m->net, netns, e) : 0;

	if (rc || m->net.tap_fd < 0)
		return rc;
	m->plan.tap = m->net.name;
	m->plan.tap_fd = &m->net.tap_fd;
	m->plan.mac = m->net.mac;
	return 0;
}

static const char *kernel_of(const struct machine *m)
{
	return *m->wishes.kernel ? m->wishes.kernel : NULL;
}

static void plan_size(struct machine *m)
{
	m->plan.files = &m->files;
	m->plan.vcpu_count = m->vcpus;
	m->plan.memory_mib = m->memory_mib;
}

int machine_make(struct machine *m, const struct host *h, bool is_pod,
		 const char *netns, struct err *e)
{
	int rc;

	m->id = h->id;
	m->warming.order_fd = m->kept_tap_fd = -1;
	m->cell.root_fd = m->cell.claim.fd = m->cell.cgroups.clone_fd = -1;
	m->net.tap_fd = -1;
	m->net.loopback = (struct loopback){-1, -1};
	m->vm.owner_fd = m->monitor_fd = m->ready_fd = -1;
	m->monitor = (struct loop_watch){.fd = -1, .ready = monitor_ready};
	m->words = (struct loop_watch){.fd = -1, .ready = words_ready};
	m->log = (struct monitor_log){-1, -1, -1};
	/* What a shim before us has left may have the name. */
	orphan_sweep();
	rc = monitor_find(&m->files, kernel_of(m), e);
	if (!rc)
		rc = make(m, h, e);
	if (rc)
		return rc;
	m->plan.cell = &m->cell;
	plan_size(m);
	vm_path(&m->vm, "vsock.sock", m->vsock);
	rc = make_network(m, netns, e);
	if (rc)
		return rc;
	name_disks(m, is_pod);
	return make_disks(m, e);
}

static void end_monitor(struct machine *m)
{
	loop_delete(m->loop, &m->monitor);
	loop_delete(m->loop, &m->words);
	machine_kill(m);
	while (m->pid > 0 && waitpid(m->pid, NULL, 0) < 0 && errno == EINTR)
		;
	m->pid = 0;
	fd_close(&m->monitor_fd);
	fd_close(&m->ready_fd);
	monitor_log_close(&m->log);
	cell_close(&m->cell);
	cell_remove(m->vm.owner_fd > 0 ? m->vm.dir : "", m->cell.claim.uid);
}

int machine_boot_instead(struct machine *m, const char *why, struct err *e)
{
	static const char *const sockets[] = {"api.sock", "vsock.sock",
					      SESSION_READY_SOCKET};
	char path[VM_PATH_MAX], text[sizeof(e->text)];
	int rc;

	/* It may be e's. */
	snprintf(text, sizeof(text), "%s", why);
	*e = (struct err){0};
	m->is_warm = false;
	end_monitor(m);
	warming_give_up(&m->warming, &m->plan, m->id, text);
	/* Where there is no jail the last one is here, too. */
	for (unsigned i = 0; i < 3; i++)
		unlink(vm_path(&m->vm, sockets[i], path));
	if (m->kept_tap_fd >= 0) {
		fd_close(&m->net.tap_fd);
		m->net.tap_fd = fd_steal(&m->kept_tap_fd);
	}
	rc = choose_cell(m, e);
	if (!rc)
		rc = make_cell(m, e);
	return rc ? rc : start(m, e);
}

int machine_make_warm(const struct host_config *c, struct err *e)
{
	static const struct resources nothing;
	static const struct spec bare;
	static struct machine m;
	int rc = wishes_read(&m.wishes, c, &bare, e);

	m.config = c;
	machine_size(&m, &nothing);
	if (!rc)
		rc = monitor_find(&m.files, kernel_of(&m), e);
	if (rc)
		return rc;
	plan_size(&m);
	m.plan.tap = "";
	name_disks(&m, true);
	plan_drives(&m);
	return warming_make(&m.plan, c->has_jail, e);
}

void machine_end(struct machine *m)
{
	if (!m->is_made)
		return;
	m->is_made = false;
	forward_stop(&m->forward);
	end_monitor(m);
	fd_close(&m->disks[0].fd);
	fd_close(&m->kept_tap_fd);
	warming_fini(&m->warming);
	netns_close(&m->net);
	if (m->vm.owner_fd > 0)
		vm_remove(&m->vm, NULL);
	vm_disown(&m->vm);
	vm_fini(&m->vm);
}
