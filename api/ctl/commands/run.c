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

enum { COMMAND_MAX = 1000 };

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
	struct vm_state *s = &r->vm.state;
	const int rc = run_fill_state(r, e);

	s->image = strdup(r->options.image);
	s->digest = strdup(r->image.digest);
	s->stop_signal = strdup(run_stop_signal(r));
	s->is_kept = !r->options.is_removed;
	if (!rc && (!s->image || !s->digest))
		return err_set(e, -ENOMEM, "no memory for a microVM");
	return rc;
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

/* The socket that the agent calls at as soon as it is up. */
static int listen_for_agent(struct run *r, struct err *e)
{
	/* Of what goes on it has called already. */
	if (r->shim.is_warm)
		return 0;
	r->shim.ready_fd = cell_listen(&r->cell, SESSION_READY_SOCKET, e);
	return r->shim.ready_fd < 0 ? r->shim.ready_fd : 0;
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

static const struct run_step steps[] = {
	{run_choose_cell, run_drop_cell},
	{run_make_dir, run_remove_dir},
	{run_make_cell, run_drop_cell},
	{add_disks, NULL},
	{run_add_network, run_drop_network},
	{run_choose_warm, NULL},
	{run_configure, NULL},
	{listen_for_agent, NULL},
};

static int prepare_vm(struct run *r, struct err *e)
{
	const struct run_options *o = &r->options;
	int rc = add_exposed(r, e);

	if (!rc)
		rc = run_open_ports(r, e);
	if (!rc)
		rc = fill_state(r, e);
	if (!rc)
		rc = run_make_session(r, e);
	if (rc)
		return rc;
	r->vm.state.command = describe_command(r->argv);
	run_plan_shim(r);
	r->monitor.files = &r->files;
	r->monitor.vcpu_count = o->vcpu_count;
	r->monitor.memory_mib = o->memory_mib;
	r->monitor.has_console = o->has_console;
	return run_take_steps(r, steps, sizeof(steps) / sizeof(steps[0]), e);
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
	const bool is_warm = r->shim.is_warm;
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
		{is_warm ? "load" : "monitor",
		 is_warm ? boot_us : boot_us - guest_us},
		{"kernel", kernel_us},
		{"agent", guest_us - kernel_us},
		{"start", phase_us(f->agent_ns, f->started_ns)},
		{"command", phase_us(f->started_ns, f->ended_ns)},
		{"end", phase_us(f->ended_ns, end_ns)},
	};
	unsigned i;

	fprintf(stderr, "timing:");
	for (i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		/* The clock of what is loaded tells of another start. */
		if (is_warm && (i == 3 || i == 4))
			continue;
		fprintf(stderr, " %s %.1f,", phases[i].what,
			(double)phases[i].us / 1e3);
	}
	fprintf(stderr, " all %.1f ms\n",
		(double)phase_us(r->begin_ns, end_ns) / 1e3);
}

static uint32_t run_foreground(struct run *r)
{
	char vsock[VM_PATH_MAX];
	struct foreground f = {
		.session = &r->session,
		.ready_fd = r->shim.ready_fd,
		.control = r->control,
		.dialed = r->shim.is_warm ? vm_path(&r->vm, "vsock.sock", vsock)
					  : NULL,
	};
	struct shim_message m = {0};
	uint32_t code = foreground_run(&f);

	run_release_warm(r);
	interrupt_ignore();
	/* The shim ends the monitor and tidies up; then the name is free. */
	if (!f.is_vm_over && !shim_send(r->control, SHIM_OVER, code, NULL))
		while (!shim_receive(r->control, &m) && m.word != SHIM_ENDED)
			;
	if (!f.is_vm_over && m.word != SHIM_ENDED)
		run_lost_shim(r);
	if (*f.why)
		run_give_warm_up(r, f.why);
	else if (r->options.has_timing)
		print_timing(r, &f, clock_now_ns());
	return code;
}

static uint32_t run_once(struct run *r, int argc, char **argv)
{
	struct err e = {0};
	uint32_t code = CTL_FAILED;

	run_init(r);
	if (prepare(r, argc, argv, &e) ||
	    shim_start(&r->shim, &r->control, &e)) {
		ctl_complain("%s", e.text);
		*r->broken = '\0';
	} else {
		r->made = 0;
		r->id = strdup(r->vm.state.id);
		/* So that a claim is not held by us when the shim ends. */
		cell_close(&r->cell);
		*r->broken = '\0';
		run_begin_warm(r);
		code = r->options.is_detached ? run_await_start(r)
					      : run_foreground(r);
	}
	run_fini(r);
	return code;
}

int ctl_run(int argc, char **argv)
{
	/* Large, and there is one. */
	static struct run r;
	char broken[sizeof(r.broken)];
	uint32_t code = run_once(&r, argc, argv);

	/* Nothing has been read or written for it yet. */
	if (*r.broken) {
		memcpy(broken, r.broken, sizeof(broken));
		r = (struct run){0};
		memcpy(r.broken, broken, sizeof(broken));
		code = run_once(&r, argc, argv);
	}
	/* Where a signal has come, it is how we end. */
	interrupt_release();
	return (int)code;
}
