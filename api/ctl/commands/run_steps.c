/*
 * What `mayctl run` and `mayctl restore` have in common: what is made for a
 * microVM and unmade again, and waiting for its shim.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/ctl/base/interrupt.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/run.h"
#include "api/ctl/vm/orphan.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"

enum { ADOPT_MS = 5000 };

/* ---- its network -------------------------------------------------------- */

static int keep_tap(void *context, const char *tap, struct err *e)
{
	struct run *r = context;

	free(r->vm.state.tap);
	r->vm.state.tap = strdup(tap);
	if (!r->vm.state.tap)
		return err_set(e, -ENOMEM, "no memory for a name");
	return vm_save(&r->vm, e);
}

/* The host's, as lists that nobody changes, where no option says another. */
static void use_resolver(struct run *r)
{
	const struct resolver *host = &r->network.resolver;
	const struct run_options *o = &r->options;

	if (!o->dns.count)
		r->session.dns = (const char *const *)host->servers;
	if (!o->search.count)
		r->session.search = (const char *const *)host->search;
	if (!o->dns_options.count)
		r->session.dns_options = (const char *const *)host->options;
}

/* Names that nobody resolves are found out late, and look like a fault of the
 * network's. */
static void warn_of_no_server(const struct run *r)
{
	const struct resolver *host = &r->network.resolver;

	/* Without a gateway the guest finds all of it by itself. */
	if (r->options.dns.count || host->servers ||
	    !r->network.guest.gateway[0])
		return;
	ctl_complain("the guest has no name server: this host %s; --dns "
		     "ADDRESS gives it one",
		     host->is_local ? "has its own on its loopback alone"
				    : "has none that the guest could reach");
}

int run_add_network(struct run *r, struct err *e)
{
	const struct network_claim claim = {keep_tap, r};
	int rc;

	if (r->options.net == RUN_NET_NONE)
		return 0;
	if (r->options.net == RUN_NET_TAP)
		rc = network_use(&r->network, &r->options.tap, e);
	else
		rc = network_make(&r->network, r->vm.state.id,
				  r->options.dns.count ? r->options.dns.list
						       : NULL,
				  &claim, e);
	if (!rc)
		warn_of_no_server(r);
	use_resolver(r);
	r->monitor.tap = r->network.tap;
	r->monitor.mac = r->network.mac;
	r->session.network = &r->network.guest;
	return rc;
}

void run_drop_network(struct run *r)
{
	if (r->vm.state.tap)
		network_remove(r->vm.state.tap, r->vm.state.id);
}

void run_plan_shim(struct run *r)
{
	r->shim.vm = &r->vm;
	r->shim.monitor = &r->monitor;
	r->shim.session = &r->session;
	r->shim.is_detached = r->options.is_detached;
	r->shim.timeout_ms = r->options.timeout_ms;
	r->shim.start_ms = r->options.start_timeout_ms;
	r->shim.ports = r->options.ports;
	r->shim.port_count = r->options.port_count;
}

/* The microVM's name, in which a dot would begin a domain. */
static const char *name_host(struct run *r)
{
	char *at = r->hostname;

	snprintf(at, sizeof(r->hostname), "%s", r->vm.state.name);
	while ((at = strpbrk(at, "._")))
		*at = '-';
	return r->hostname;
}

int run_open_ports(struct run *r, struct err *e)
{
	unsigned i;

	for (i = 0; i < r->options.port_count; i++) {
		int fd = forward_listen(&r->options.ports[i], e);

		if (fd < 0)
			return fd;
		r->shim.port_fds[i] = fd;
	}
	return 0;
}

int run_fill_state(struct run *r, struct err *e)
{
	const struct run_options *o = &r->options;
	struct vm_state *s = &r->vm.state;
	struct vm_port *ports = calloc(o->port_count + 1, sizeof(*ports));
	unsigned i;

	s->is_detached = o->is_detached;
	s->has_console = o->has_console;
	s->vcpu_count = o->vcpu_count;
	s->memory_mib = o->memory_mib;
	for (i = 0; ports && i < o->port_count; i++) {
		ports[i].address = strdup(o->ports[i].address);
		ports[i].host = o->ports[i].host;
		ports[i].guest = o->ports[i].guest;
	}
	s->ports = (struct field_array){.items = ports, .count = o->port_count};
	if (o->name)
		s->name = strdup(o->name);
	if (!ports || (o->name && !s->name))
		return err_set(e, -ENOMEM, "no memory for a microVM");
	return vm_set_servers(&s->dns, o->dns.list, e);
}

/* The first state that is written tells of it. */
int run_choose_cell(struct run *r, struct err *e)
{
	int rc = cell_choose(&r->cell, !r->options.has_no_jail, r->files.jailer,
			     e);

	r->vm.state.jail = r->cell.kind;
	r->vm.state.uid = r->cell.claim.uid;
	if (!rc && cell_warning(r->cell.kind))
		ctl_complain("warning: %s", cell_warning(r->cell.kind));
	return rc;
}

int run_make_cell(struct run *r, struct err *e)
{
	const uint64_t disks =
		run_disks_memory(&r->disks, &r->options, r->vm.state.disk_dir);
	const struct cgroups_limits limits = {
		.vcpu_count = r->options.vcpu_count,
		.memory_mib = r->options.memory_mib + (disks >> 20),
	};
	char id[VM_ID_SIZE];
	int rc = cell_make(&r->cell, r->vm.dir, r->files.program,
			   vm_monitor_id(r->vm.state.name, id), &limits, e);

	r->vm.state.limits = strdup(r->cell.cgroups.limits);
	r->monitor.cell = &r->cell;
	return rc;
}

int run_make_dir(struct run *r, struct err *e)
{
	int rc = vm_create(&r->vm, e);

	r->session.hostname = r->options.hostname ? r->options.hostname
						  : name_host(r);
	return rc;
}

void run_remove_dir(struct run *r)
{
	/* Ours only where it could be made. */
	if (r->vm.owner_fd > 0)
		vm_remove(&r->vm, NULL);
}

/* Nobody else knows of it yet. */
void run_drop_cell(struct run *r)
{
	cell_close(&r->cell);
	cell_remove(r->vm.owner_fd > 0 ? r->vm.dir : "", r->cell.claim.uid);
}

int run_configure(struct run *r, struct err *e)
{
	return monitor_configure(&r->vm, &r->monitor, e);
}

static int check_interrupt(struct err *e)
{
	return interrupt_pending() ? err_set(e, -EINTR, "interrupted") : 0;
}

int run_take_steps(struct run *r, const struct run_step *steps, unsigned count,
		   struct err *e)
{
	int rc = 0;

	r->steps = steps;
	interrupt_hold();
	/* What the dead have left may have the name. */
	orphan_sweep();
	while (!rc && r->made < count) {
		rc = check_interrupt(e);
		if (!rc)
			rc = steps[r->made++].make(r, e);
	}
	return rc ? rc : check_interrupt(e);
}

/* ---- its shim ----------------------------------------------------------- */

/* The shim's next word; a signal that comes first ends the microVM. */
static int await_word(struct run *r, struct shim_message *m)
{
	CLEAN_FD int signals = interrupt_open();
	struct pollfd p[] = {{.fd = r->control, .events = POLLIN},
			     {.fd = signals, .events = POLLIN}};

	while (poll(p, 2, -1) < 0 && errno == EINTR)
		;
	if (p[1].revents & POLLIN) {
		(void)shim_send(r->control, SHIM_OVER,
				128 + (uint32_t)interrupt_pending(),
				"interrupted");
		interrupt_ignore();
	}
	return shim_receive(r->control, m);
}

void run_lost_shim(struct run *r)
{
	orphan_find(r->vm.state.name, r->id, ADOPT_MS);
}

/* What has no life of its own yet gets one, or is ended; false: it has. */
static bool revive(struct run *r)
{
	struct err e = {0};

	if (!r->revive(r, &e))
		return shim_send(r->control, SHIM_RENEWED, 0, NULL) != 0;
	ctl_complain("%s", e.text);
	(void)shim_send(r->control, SHIM_OVER, CTL_FAILED, e.text);
	return true;
}

uint32_t run_await_start(struct run *r)
{
	bool is_told = false;
	struct shim_message m;

	while (!await_word(r, &m)) {
		if (m.word == SHIM_MONITOR && r->revive)
			is_told = revive(r);
		if (m.word == SHIM_TAKEN)
			r->is_answered = true;
		if (m.word == SHIM_STARTED) {
			puts(r->vm.state.name);
			return 0;
		}
		if (m.word == SHIM_ENDED && r->shim.is_warm &&
		    !r->is_answered && m.code == CTL_FAILED) {
			run_give_warm_up(r, m.text);
			return m.code;
		}
		if (m.word == SHIM_ENDED) {
			if (*m.text && !is_told)
				ctl_complain("%s", m.text);
			return m.code;
		}
	}
	ctl_complain("the microVM's shim has died, and the microVM with it");
	run_lost_shim(r);
	return CTL_FAILED;
}

/* ---- begin and end ------------------------------------------------------ */

void run_init(struct run *r)
{
	unsigned i;

	r->begin_ns = clock_now_ns();
	r->vm.owner_fd = -1;
	r->cell.root_fd = r->cell.claim.fd = r->cell.cgroups.clone_fd = -1;
	r->control = r->shim.ready_fd = r->image.fd = -1;
	r->warm_pipe = -1;
	for (i = 0; i < VM_PORTS_MAX; i++)
		r->shim.port_fds[i] = -1;
}

void run_fini(struct run *r)
{
	unsigned i;

	interrupt_ignore();
	while (r->made)
		if (r->steps[--r->made].unmake)
			r->steps[r->made].unmake(r);
	for (i = 0; i < VM_VOLUMES_MAX; i++)
		fd_close(&r->shim.disk_fds[i]);
	network_fini(&r->network);
	free(r->id);
	for (i = 0; i < VM_PORTS_MAX; i++)
		fd_close(&r->shim.port_fds[i]);
	fd_close(&r->shim.ready_fd);
	fd_close(&r->control);
	run_release_warm(r);
	warm_fini(&r->warm);
	run_disks_fini(&r->disks);
	free(r->argv);
	free(r->env);
	vm_fini(&r->vm);
	image_fini(&r->image);
	run_options_fini(&r->options);
}
