/*
 * mayctl run: from a name of an image to the status of a command. What the
 * guest can boot without is done while it boots: the shim writes states and
 * serves ports, and the terminal is made ready.
 *
 * When the command has ended the guest is not shut down but ended: it has
 * nothing to save. Where it had a disk to write to, that is synced first.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/ctl/base/interrupt.h"
#include "api/ctl/base/signals.h"
#include "api/ctl/base/terminal.h"
#include "api/ctl/commands/ctl.h"
#include "api/ctl/commands/foreground.h"
#include "api/ctl/commands/run.h"
#include "api/ctl/commands/values.h"
#include "api/ctl/image/image.h"
#include "api/ctl/vm/cell.h"
#include "api/ctl/vm/forward.h"
#include "api/ctl/vm/monitor.h"
#include "api/ctl/vm/network.h"
#include "api/ctl/vm/orphan.h"
#include "api/ctl/vm/shim.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"

enum { COMMAND_MAX = 1000, ADOPT_MS = 5000 };

/* ---- what it runs in ---------------------------------------------------- */

/* The words of the command for people, cut where they get long. */
static char *describe_command(const char *const *argv)
{
	char text[COMMAND_MAX] = "";
	size_t len = 0, i;

	for (i = 0; argv[i] && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
					i ? " " : "", argv[i]);
	/* JSON is UTF-8; what a cut or a byte of its own broke is not. */
	for (i = 0; text[i]; i++)
		if ((unsigned char)text[i] >= 127)
			text[i] = '?';
	return strdup(text);
}

static int fill_state(struct run *r, struct err *e)
{
	const struct run_options *o = &r->options;
	struct vm_state *s = &r->vm.state;
	struct vm_port *ports;
	unsigned i;

	s->image = strdup(o->image);
	s->digest = strdup(r->image.digest);
	s->stop_signal = strdup(run_stop_signal(r));
	s->is_kept = !o->is_removed;
	s->is_detached = o->is_detached;
	s->vcpu_count = o->vcpu_count;
	s->memory_mib = o->memory_mib;
	ports = calloc(o->port_count + 1, sizeof(*ports));
	for (i = 0; ports && i < o->port_count; i++) {
		ports[i].address = strdup(o->ports[i].address);
		ports[i].host = o->ports[i].host;
		ports[i].guest = o->ports[i].guest;
	}
	s->ports = (struct field_array){.items = ports, .count = o->port_count};
	if (o->name)
		s->name = strdup(o->name);
	if (!s->image || !s->digest || !ports)
		return err_set(e, -ENOMEM, "no memory for a microVM");
	return 0;
}

static int add_disks(struct run *r, struct err *e)
{
	unsigned i, locks = 0;
	int rc;

	r->monitor.drives[0] = (struct monitor_drive){
		.path = r->image.path,
		.id = SESSION_IMAGE_SERIAL,
		.is_read_only = true,
	};
	r->monitor.drive_count = 1;
	rc = run_disks_add(&r->disks, &r->options, &r->vm, &r->monitor,
			   &r->session, e);
	/* The locks are the microVM's; files and directories have none. */
	for (i = 0; i < r->options.volume_count; i++)
		if (r->disks.volumes[i].lock_fd > 0 && locks < VM_VOLUMES_MAX)
			r->shim.disk_fds[locks++] =
				fd_steal(&r->disks.volumes[i].lock_fd);
	return rc;
}

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

static int add_network(struct run *r, struct err *e)
{
	const struct network_claim claim = {keep_tap, r};
	int rc;

	if (r->options.net == RUN_NET_NONE)
		return 0;
	if (r->options.net == RUN_NET_TAP)
		rc = network_use(&r->network, &r->options.tap, e);
	else
		rc = network_make(&r->network, r->vm.state.id, &claim, e);
	if (!rc && r->network.resolver.is_local && !r->options.dns.count)
		ctl_complain("the guest has no name server: this host's are on "
			     "its own loopback");
	use_resolver(r);
	r->monitor.tap = r->network.tap;
	r->monitor.mac = r->network.mac;
	r->session.network = &r->network.guest;
	return rc;
}

static void drop_network(struct run *r)
{
	if (r->vm.state.tap)
		network_remove(r->vm.state.tap, r->vm.state.id);
}

/* The socket that the agent calls at as soon as it is up. */
static int listen_for_agent(struct run *r, struct err *e)
{
	r->shim.ready_fd = cell_listen(&r->cell, SESSION_READY_SOCKET, e);
	return r->shim.ready_fd < 0 ? r->shim.ready_fd : 0;
}

static int open_ports(struct run *r, struct err *e)
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

static void plan_shim(struct run *r)
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

/* -P: what the image exposes, at ports that are free. */
static int add_exposed(struct run *r, struct err *e)
{
	struct run_options *o = &r->options;
	char *const *ports = r->image.config.exposed_ports;
	unsigned long first, last;
	char *end, text[24];

	for (; o->publishes_all && *ports; ports++) {
		first = last = strtoul(*ports, &end, 10);
		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		if (*end && strcmp(end, "/tcp") != 0)
			continue;
		for (; first && first <= last && last <= UINT16_MAX; first++) {
			if (o->port_count == VM_PORTS_MAX)
				return err_set(e, -E2BIG,
					       "the image exposes more than %d "
					       "ports; say by -p which",
					       VM_PORTS_MAX);
			snprintf(text, sizeof(text), "%lu", first);
			(void)value_port(text, &o->ports[o->port_count++],
					 NULL);
		}
	}
	return 0;
}

/* The first state that is written tells of it. */
static int choose_cell(struct run *r, struct err *e)
{
	int rc = cell_choose(&r->cell, !r->options.has_no_jail, r->files.jailer,
			     e);

	r->vm.state.jail = r->cell.kind;
	r->vm.state.uid = r->cell.claim.uid;
	if (!rc && cell_warning(r->cell.kind))
		ctl_complain("warning: %s", cell_warning(r->cell.kind));
	return rc;
}

static int make_cell(struct run *r, struct err *e)
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

static int make_dir(struct run *r, struct err *e)
{
	int rc = vm_create(&r->vm, e);

	r->session.hostname = r->options.hostname ? r->options.hostname
						  : name_host(r);
	return rc;
}

static void remove_dir(struct run *r)
{
	/* Ours only where it could be made. */
	if (r->vm.owner_fd > 0)
		vm_remove(&r->vm, NULL);
}

/* Nobody else knows of it yet. */
static void drop_cell(struct run *r)
{
	cell_close(&r->cell);
	cell_remove(r->vm.owner_fd > 0 ? r->vm.dir : "", r->cell.claim.uid);
}

static int configure(struct run *r, struct err *e)
{
	return monitor_configure(&r->vm, &r->monitor, e);
}

/*
 * What is made for a microVM, and unmade in the reverse order where a later
 * step fails or a signal comes; each undo accepts what its step left half done.
 * Whatever lies outside its directory is told of in the state before it is
 * made, for who is killed undoes nothing: the next mayctl does (orphan.h).
 */
static const struct {
	int (*make)(struct run *r, struct err *e);
	void (*unmake)(struct run *r);
} steps[] = {
	{choose_cell, drop_cell},    {make_dir, remove_dir},
	{make_cell, drop_cell},	     {add_disks, NULL},
	{add_network, drop_network}, {configure, NULL},
	{listen_for_agent, NULL},
};

enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

static int check_interrupt(struct err *e)
{
	return interrupt_pending() ? err_set(e, -EINTR, "interrupted") : 0;
}

static int prepare_vm(struct run *r, struct err *e)
{
	const struct run_options *o = &r->options;
	int rc = add_exposed(r, e);

	if (!rc)
		rc = open_ports(r, e);
	if (!rc)
		rc = fill_state(r, e);
	if (!rc)
		rc = run_make_session(r, e);
	if (rc)
		return rc;
	r->vm.state.command = describe_command(r->argv);
	plan_shim(r);
	r->monitor.files = &r->files;
	r->monitor.vcpu_count = o->vcpu_count;
	r->monitor.memory_mib = o->memory_mib;
	r->monitor.has_console = o->has_console;
	interrupt_hold();
	/* What the dead have left may have the name. */
	orphan_sweep();
	while (!rc && r->made < STEPS) {
		rc = check_interrupt(e);
		if (!rc)
			rc = steps[r->made++].make(r, e);
	}
	return rc ? rc : check_interrupt(e);
}

/* As with docker: what a registry has is fetched where it is lacking. */
static int find_image(struct run *r, struct err *e)
{
	const struct run_options *o = &r->options;
	const struct image_import how = {.ref = o->image,
					 .is_quiet = o->is_quiet};
	const bool is_remote = !strncmp(o->image, "docker://", 9);

	if (is_remote && o->pull == RUN_PULL_NEVER)
		return err_set(e, -EINVAL,
			       "--pull never needs the name of an image in the "
			       "store; `mayctl image ls` lists them");
	if (is_remote && o->pull == RUN_PULL_ALWAYS)
		return image_import(&how, &r->image, NULL, e);
	return image_find_or_import(&how, &r->image, e);
}

static int prepare(struct run *r, int argc, char **argv, struct err *e)
{
	int rc = run_options_parse(&r->options, argc, argv, e);

	if (rc)
		return rc;
	if (r->options.has_tty && r->options.is_interactive &&
	    !r->options.is_detached && !terminal_is_there())
		return err_set(e, -ENOTTY,
			       "-it needs a terminal; leave -t out where "
			       "stdin or stdout is none");
	rc = run_disks_find(&r->disks, &r->options, e);
	if (!rc)
		rc = find_image(r, e);
	if (rc)
		return rc;
	r->image_ns = clock_now_ns();
	rc = monitor_find(&r->files, r->options.kernel, e);
	return rc ? rc : prepare_vm(r, e);
}

/* ---- running ------------------------------------------------------------ */

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

/* It was killed, and with it the microVM ends; we see to it that it has. */
static void lost_shim(struct run *r)
{
	orphan_find(r->vm.state.name, r->id, ADOPT_MS);
}

/* -d: mayctl is done as soon as the command runs. */
static uint32_t await_start(struct run *r)
{
	struct shim_message m;

	while (!await_word(r, &m)) {
		if (m.word == SHIM_STARTED) {
			puts(r->vm.state.name);
			return 0;
		}
		if (m.word == SHIM_ENDED) {
			if (*m.text)
				ctl_complain("%s", m.text);
			return m.code;
		}
	}
	ctl_complain("the microVM's shim has died, and the microVM with it");
	lost_shim(r);
	return CTL_FAILED;
}

/* µs from one moment to another, 0 where one of them never came. */
static uint64_t phase_us(uint64_t from_ns, uint64_t to_ns)
{
	return from_ns && to_ns > from_ns ? (to_ns - from_ns) / 1000 : 0;
}

/* The guest's own phases are by its clock, which the kernel starts. */
static void print_timing(const struct run *r, const struct foreground *f,
			 uint64_t end_ns)
{
	const uint64_t boot_us = phase_us(f->monitor_ns, f->agent_ns);
	const uint64_t guest_us =
		f->agent_ready_us < boot_us ? f->agent_ready_us : boot_us;
	const uint64_t kernel_us = f->agent_us < guest_us ? f->agent_us
							  : guest_us;
	const struct {
		const char *what;
		uint64_t us;
	} phases[] = {
		{"image", phase_us(r->begin_ns, r->image_ns)},
		{"prepare", phase_us(r->image_ns, f->monitor_ns)},
		{"monitor", boot_us - guest_us},
		{"kernel", kernel_us},
		{"agent", guest_us - kernel_us},
		{"start", phase_us(f->agent_ns, f->started_ns)},
		{"command", phase_us(f->started_ns, f->ended_ns)},
		{"end", phase_us(f->ended_ns, end_ns)},
	};
	unsigned i;

	fprintf(stderr, "timing:");
	for (i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		fprintf(stderr, " %s %.1f,", phases[i].what,
			(double)phases[i].us / 1e3);
	fprintf(stderr, " all %.1f ms\n",
		(double)phase_us(r->begin_ns, end_ns) / 1e3);
}

static uint32_t run_foreground(struct run *r)
{
	struct foreground f = {
		.session = &r->session,
		.ready_fd = r->shim.ready_fd,
		.control = r->control,
	};
	struct shim_message m = {0};
	uint32_t code = foreground_run(&f);

	interrupt_ignore();
	/* The shim ends the monitor and tidies up; then the name is free. */
	if (!f.is_vm_over && !shim_send(r->control, SHIM_OVER, code, NULL))
		while (!shim_receive(r->control, &m) && m.word != SHIM_ENDED)
			;
	if (!f.is_vm_over && m.word != SHIM_ENDED)
		lost_shim(r);
	if (r->options.has_timing)
		print_timing(r, &f, clock_now_ns());
	return code;
}

static void run_fini(struct run *r)
{
	unsigned i;

	interrupt_ignore();
	while (r->made)
		if (steps[--r->made].unmake)
			steps[r->made].unmake(r);
	for (i = 0; i < VM_VOLUMES_MAX; i++)
		fd_close(&r->shim.disk_fds[i]);
	network_fini(&r->network);
	free(r->id);
	for (i = 0; i < VM_PORTS_MAX; i++)
		fd_close(&r->shim.port_fds[i]);
	fd_close(&r->shim.ready_fd);
	fd_close(&r->control);
	run_disks_fini(&r->disks);
	free(r->argv);
	free(r->env);
	vm_fini(&r->vm);
	image_fini(&r->image);
	run_options_fini(&r->options);
}

int ctl_run(int argc, char **argv)
{
	/* Large, and there is one. */
	static struct run r;
	struct err e = {0};
	uint32_t code = CTL_FAILED;
	unsigned i;

	r.begin_ns = clock_now_ns();
	r.vm.owner_fd = -1;
	r.cell.root_fd = r.cell.claim.fd = r.cell.cgroups.clone_fd = -1;
	r.control = r.shim.ready_fd = r.image.fd = -1;
	for (i = 0; i < VM_PORTS_MAX; i++)
		r.shim.port_fds[i] = -1;
	if (prepare(&r, argc, argv, &e) ||
	    shim_start(&r.shim, &r.control, &e)) {
		ctl_complain("%s", e.text);
	} else {
		r.made = 0;
		r.id = strdup(r.vm.state.id);
		/* So that a claim is not held by us when the shim ends. */
		cell_close(&r.cell);
		code = r.options.is_detached ? await_start(&r)
					     : run_foreground(&r);
	}
	run_fini(&r);
	/* Where a signal has come, it is how we end. */
	interrupt_release();
	return (int)code;
}
