#include "api/ctl/containerd/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/base/process.h"
#include "api/ctl/vm/orphan.h"
#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"

enum { VCPUS_MAX = 32, GUEST_OWN_MIB = 64 };

static void wait_for(pid_t *pid)
{
	while (*pid > 0 && waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
		;
	*pid = 0;
}

/* ---- its monitor -------------------------------------------------------- */

static void monitor_ready(struct loop_watch *w, uint32_t events)
{
	struct machine *m = container_of(w, struct machine, monitor);

	(void)events;
	loop_delete(m->loop, w);
	m->lost(m);
}

/* It is our child until machine_end() has waited for it, so the id is its. */
static void deadline_fire(struct loop_timer *t)
{
	struct machine *m = container_of(t, struct machine, deadline);

	if (m->pid > 0)
		kill(m->pid, SIGKILL);
}

void machine_kill(struct machine *m, uint64_t in_ns)
{
	if (!m->is_made || m->deadline.due_ns)
		return;
	m->deadline.fire = deadline_fire;
	loop_arm(m->loop, &m->deadline, clock_now_ns() + in_ns);
}

static int start(struct machine *m, struct err *e)
{
	struct vm_state *state = &m->vm.state;
	int rc;

	m->plan.drives[0] = (struct monitor_drive){
		.path = m->image,
		.id = SESSION_IMAGE_SERIAL,
		.is_read_only = true,
	};
	m->plan.drive_count = 1;
	rc = monitor_configure(&m->vm, &m->plan, e);
	if (rc)
		return rc;
	rc = m->ready_fd = cell_listen(&m->cell, SESSION_READY_SOCKET, e);
	if (rc < 0)
		return rc;
	/* The monitor looks after nothing. */
	(void)fcntl(m->vm.owner_fd, F_SETFD, FD_CLOEXEC);
	rc = monitor_start(&m->vm, &m->plan, &m->pid, e);
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

/* ---- its root file system ----------------------------------------------- */

/* The packer's sentence, or nothing, and then its end. */
static void packer_ready(struct loop_watch *w, uint32_t events)
{
	struct machine *m = container_of(w, struct machine, packer);
	const size_t len = strlen(m->why.text);
	ssize_t n;

	(void)events;
	n = read(m->packer_fd, m->why.text + len,
		 sizeof(m->why.text) - 1 - len);
	if (n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN)))
		return;
	loop_delete(m->loop, w);
	fd_close(&m->packer_fd);
	wait_for(&m->packer_pid);
	if (m->why.text[0])
		m->why.code = -EIO;
	else
		(void)start(m, &m->why);
	m->made(m, &m->why);
}

/* ---- begin and end ------------------------------------------------------ */

static int make(struct machine *m, const struct host *h, struct err *e)
{
	struct vm_state *state = &m->vm.state;
	const struct cgroups_limits limits = {
		.vcpu_count = m->vcpus,
		.memory_mib = m->memory_mib,
	};
	char id[VM_ID_SIZE];
	int rc;

	state->name = strdup(h->vm_name);
	state->image = strdup(h->group);
	state->command = strdup(h->id);
	state->is_detached = true;
	state->vcpu_count = m->vcpus;
	state->memory_mib = m->memory_mib;
	rc = cell_choose(&m->cell, m->config->has_jail, m->files.jailer, e);
	if (rc)
		return rc;
	state->jail = m->cell.kind;
	state->uid = m->cell.claim.uid;
	m->is_made = true;
	rc = vm_create(&m->vm, e);
	if (!rc)
		rc = cell_make(&m->cell, m->vm.dir, m->files.program,
			       vm_monitor_id(state->name, id), &limits, e);
	state->limits = strdup(m->cell.cgroups.limits);
	return rc ? rc : vm_save(&m->vm, e);
}

void machine_size(struct machine *m, const struct resources *r)
{
	const uint64_t host_cpus = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
	const uint64_t host_mib = (uint64_t)sysconf(_SC_PHYS_PAGES) *
					  (uint64_t)sysconf(_SC_PAGESIZE) >>
				  20;
	uint64_t cpus = r->cpus;
	uint64_t mib = r->memory_bytes >> 20;

	if (cpus > host_cpus)
		cpus = host_cpus;
	if (cpus > VCPUS_MAX)
		cpus = VCPUS_MAX;
	/* The kernel and the agent need some as well. */
	mib = mib ? mib + GUEST_OWN_MIB : 0;
	if (mib > host_mib)
		mib = host_mib;
	m->vcpus = m->config->vcpus;
	m->memory_mib = m->config->memory_mib;
	if (cpus > m->vcpus)
		m->vcpus = (uint32_t)cpus;
	if (mib > m->memory_mib)
		m->memory_mib = mib;
}

int machine_begin(struct machine *m, const struct host *h,
		  const struct rootfs *r, struct err *e)
{
	int rc;

	m->cell.root_fd = m->cell.claim.fd = m->cell.cgroups.clone_fd = -1;
	m->vm.owner_fd = m->packer_fd = m->monitor_fd = m->ready_fd = -1;
	m->packer = (struct loop_watch){.fd = -1, .ready = packer_ready};
	m->monitor = (struct loop_watch){.fd = -1, .ready = monitor_ready};
	m->why = (struct err){0};
	/* What a shim before us has left may have the name. */
	orphan_sweep();
	rc = monitor_find(&m->files, m->config->kernel, e);
	if (!rc)
		rc = make(m, h, e);
	if (rc)
		return rc;
	m->plan.files = &m->files;
	m->plan.cell = &m->cell;
	m->plan.vcpu_count = m->vcpus;
	m->plan.memory_mib = m->memory_mib;
	vm_disk_path(&m->vm, "image.erofs", m->image);
	vm_path(&m->vm, "vsock.sock", m->vsock);
	rc = rootfs_pack(r, m->image, &m->packer_pid, &m->packer_fd, e);
	return rc ? rc
		  : loop_add(m->loop, &m->packer, m->packer_fd, EPOLLIN, e);
}

void machine_end(struct machine *m)
{
	if (!m->is_made)
		return;
	m->is_made = false;
	loop_delete(m->loop, &m->packer);
	loop_delete(m->loop, &m->monitor);
	loop_disarm(m->loop, &m->deadline);
	if (m->packer_pid > 0)
		kill(m->packer_pid, SIGKILL);
	if (m->pid > 0)
		kill(m->pid, SIGKILL);
	wait_for(&m->packer_pid);
	wait_for(&m->pid);
	fd_close(&m->packer_fd);
	fd_close(&m->monitor_fd);
	fd_close(&m->ready_fd);
	cell_close(&m->cell);
	cell_remove(m->vm.owner_fd > 0 ? m->vm.dir : "", m->cell.claim.uid);
	if (m->vm.owner_fd > 0)
		vm_remove(&m->vm, NULL);
	vm_disown(&m->vm);
	vm_fini(&m->vm);
}
