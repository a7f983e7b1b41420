/* The life of a microVM, and what is asked of it at run time. */
#include "api/controller.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "api/console.h"
#include "api/options.h"
#include "api/pager.h"
#include "api/timeline.h"
#include "api/working_set.h"
#include "devices/block.h"
#include "devices/i8042.h"
#include "devices/net.h"
#include "devices/power_key.h"
#include "vmm/base/clock.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"
#include "vmm/base/spare.h"
#include "vmm/base/version.h"
#include "vmm/kvm/kvm.h"

#define REST_NS 5000000ULL

void controller_init(struct controller *c, struct loop *loop, const char *id,
		     metrics_collect *collect)
{
	c->loop = loop;
	c->id = id;
	config_default(&c->config);
	metrics_init(&c->metrics, loop, collect, c);
}

/* Keeps what is asked of a machine after its end. */
static void forget_machine(struct controller *c)
{
	if (c->machine)
		c->times = *machine_times(c->machine);
	working_set_free(c->working);
	c->working = NULL;
	machine_free(c->machine);
	state_free(c->kept);
	c->kept = NULL;
	console_restore();
	c->machine = NULL;
	c->devices = (struct assembly){0};
}

static void forget_vsock(struct controller *c)
{
	if (c->vsock)
		c->vsock->ops->free(c->vsock);
	c->vsock = NULL;
}

void controller_fini(struct controller *c)
{
	working_set_end(c->working);
	metrics_close(&c->metrics);
	if (c->loop)
		loop_disarm(c->loop, &c->rest);
	forget_machine(c);
	forget_vsock(c);
	config_fini(&c->config);
}

const char *controller_state_word(const struct controller *c)
{
	static const char *const words[] = {
		[CONTROLLER_NOT_STARTED] = "Not started",
		[CONTROLLER_PREPARED] = "Not started",
		[CONTROLLER_RUNNING] = "Running",
		[CONTROLLER_PAUSED] = "Paused",
	};

	return words[c->state];
}

static void machine_ended(void *context, enum machine_end how,
			  const struct err *e)
{
	struct controller *c = context;

	c->end_ns = clock_now_ns();
	c->end = how;
	if (how != MACHINE_FAILED)
		log_info("the guest %s", how == MACHINE_RESET
						 ? "was reset"
						 : "turned itself off");
	/* Where it is KVM that failed, the host may be why. */
	if (how == MACHINE_FAILED && e)
		err_set(&c->end_error, e->code, "%s%s", e->text,
			strncmp(e->text, "KVM ", 4) ? "" : kvm_host_advice());
	loop_stop(c->loop);
}

/* The line in the form that clients look for. */
static void machine_booted(void *context)
{
	struct controller *c = context;
	const struct machine_times *t = machine_times(c->machine);
	uint64_t wall_us = (t->booted_ns - t->begin_ns) / 1000;
	uint64_t cpu_us = (clock_cpu_ns() - c->start_cpu_ns) / 1000;

	log_info("Guest-boot-time = %6" PRIu64 " us %" PRIu64 " ms, %6" PRIu64
		 " CPU us %" PRIu64 " CPU ms",
		 wall_us, wall_us / 1000, cpu_us, cpu_us / 1000);
}

static int machine_confine(void *context, enum machine_thread which,
			   struct err *e)
{
	const struct controller *c = context;

	static const enum filter_kind kinds[] = {
		[MACHINE_VCPU] = FILTER_VCPU,
		[MACHINE_LOOP] = FILTER_LOOP,
		[MACHINE_WORKER] = FILTER_WORKER,
	};
	enum filter_kind kind = kinds[which];

	/* Until then it is confined to what a start needs. */
	if (kind == FILTER_LOOP && c->is_open)
		return 0;
	if (kind == FILTER_LOOP && c->has_api)
		kind = FILTER_STATE;
	return confine_thread(c->confine, kind, e);
}

/* A machine that did not start has taken the socket along: it stands again. */
static void restore_vsock(struct controller *c)
{
	struct err e;

	if (assembly_vsock(&c->vsock, &c->config.vsock, c->config.vsock_fd, &e))
		log_warn("%s", e.text);
}

static int memory_mapped(void *context, const struct guest_mem *mem,
			 struct err *e)
{
	const struct controller *c = context;

	return c->handler ? pager_open(mem, c->handler, c->signal_fd,
				       c->confine, e)
			  : working_set_mapped(c->working, mem, e);
}

/* From the configuration, and from saved where it is not NULL, to a machine. */
static int make_machine(struct controller *c,
			const struct assembly_saved *saved, struct err *e)
{
	const struct machine_hooks hooks = {
		.confine = machine_confine,
		.ended = machine_ended,
		.booted = machine_booted,
		.mapped = c->handler || c->working ? memory_mapped : NULL,
		.context = c,
	};
	int rc = assembly_make(&c->machine, &c->config, saved, c->loop, &hooks,
			       e);

	console_take();
	if (rc)
		return rc;
	return saved ? assembly_load(c->machine, &c->config, &c->vsock,
				     c->has_boot_timer, &c->devices, e)
		     : assembly_start(c->machine, &c->config, &c->vsock,
				      c->has_boot_timer, &c->devices, e);
}

/* Once, when the guest runs. */
static void tell_phases(struct controller *c)
{
	if (c->tells_phases)
		timeline_log(machine_times(c->machine), c->metrics.start_ns);
	c->tells_phases = false;
}

int controller_start(struct controller *c, struct err *e)
{
	const bool had_vsock = c->vsock;
	int rc;

	if (!c->config.boot.kernel_image_path)
		return err_set(e, -EINVAL,
			       "There is no kernel to start: give a "
			       "boot-source first");
	if (c->has_boot_timer)
		c->start_cpu_ns = clock_cpu_ns();
	rc = make_machine(c, NULL, e);
	if (rc) {
		forget_machine(c);
		if (had_vsock && !c->vsock)
			restore_vsock(c);
		return rc;
	}
	c->state = CONTROLLER_RUNNING;
	tell_phases(c);
	return 0;
}

int controller_load(struct controller *c, const struct assembly_saved *saved,
		    struct err *e)
{
	int rc;

	c->handler = saved->handler;
	c->devices.late = saved->late;
	c->is_open = saved->late.nets || saved->late.vsock;
	rc = make_machine(c, saved, e);
	c->handler = NULL;
	if (!rc && !saved->is_prepared)
		rc = assembly_identify(&c->devices, e);
	if (rc)
		forget_machine(c);
	else
		c->state = saved->is_prepared ? CONTROLLER_PREPARED
					      : CONTROLLER_PAUSED;
	return rc;
}

/* A drive that is another, and taps, which hold what is for nobody. */
static int reload_devices(struct controller *c, uint32_t drives, struct err *e)
{
	uint32_t i;
	int rc = 0;

	for (i = 0; i < c->config.drive_count && !rc; i++) {
		if (!(drives & 1U << i))
			continue;
		rc = block_set_path(c->devices.drives[i],
				    c->config.drives[i].path_on_host, e);
		rc = rc ? rc
			: machine_reload(c->machine, c->devices.drives[i], e);
	}
	for (i = 0; i < c->config.net_count && !rc; i++)
		rc = machine_reload(c->machine, c->devices.nets[i], e);
	return rc;
}

int controller_finish(struct controller *c,
		      const struct controller_finish *finish, struct err *e)
{
	const bool was_open = c->is_open;
	int rc = assembly_open_late(&c->devices, &c->config, e);

	rc = rc ? rc : reload_devices(c, finish->drives, e);
	rc = rc ? rc : machine_renew(c->machine, finish->clock_realtime, e);
	rc = rc ? rc : assembly_identify(&c->devices, e);
	c->is_open = false;
	if (!rc && was_open)
		rc = machine_confine(c, MACHINE_LOOP, e);
	if (!rc)
		c->state = CONTROLLER_PAUSED;
	return rc;
}

static void rest_fired(struct loop_timer *t)
{
	(void)t;
	spare_heap();
	spare_stack();
}

void controller_rest(struct controller *c)
{
	c->rest.fire = rest_fired;
	loop_arm(c->loop, &c->rest, clock_now_ns() + REST_NS);
}

void controller_fail(struct controller *c, const struct err *e)
{
	c->end_ns = clock_now_ns();
	c->end = MACHINE_FAILED;
	c->end_error = *e;
	loop_stop(c->loop);
}

static int check_started(const struct controller *c, struct err *e)
{
	if (c->state >= CONTROLLER_RUNNING)
		return 0;
	return err_set(e, -EPERM,
		       "The requested operation is not supported before "
		       "starting the microVM.");
}

int controller_pause(struct controller *c, struct err *e)
{
	int rc = check_started(c, e);

	if (!rc && c->state == CONTROLLER_RUNNING) {
		machine_pause(c->machine);
		c->state = CONTROLLER_PAUSED;
	}
	working_set_end(c->working);
	return rc;
}

int controller_resume(struct controller *c, struct err *e)
{
	int rc = check_started(c, e);

	if (!rc && c->state == CONTROLLER_PAUSED) {
		machine_resume(c->machine);
		working_set_resumed(c->working);
		c->state = CONTROLLER_RUNNING;
		tell_phases(c);
	}
	return rc;
}

int controller_ctrl_alt_del(struct controller *c, struct err *e)
{
	int rc = check_started(c, e);

	if (rc)
		return rc;
	if (c->devices.keyboard)
		i8042_ctrl_alt_del(c->devices.keyboard);
	else if (c->devices.power_key)
		power_key_press(c->devices.power_key);
	else
		return err_set(e, -ENODEV, "This machine has no keyboard.");
	return 0;
}

int controller_patch_drive(struct controller *c,
			   struct config_drive_patch *body, struct err *e)
{
	int i = config_find_drive(&c->config, body->drive_id, e);
	struct limiter_config limiter;
	int rc;

	if (i < 0)
		return i;
	if (!body->path_on_host && !body->has_rate_limiter)
		return err_set(e, -EINVAL,
			       "A PATCH of the drive %s needs a path_on_host "
			       "or a rate_limiter; the path it has already has "
			       "the file looked at again.",
			       body->drive_id);
	/* The path first, for it may fail; then nothing has changed. */
	if (body->path_on_host) {
		rc = block_set_path(c->devices.drives[i], body->path_on_host,
				    e);
		if (rc)
			return rc;
	}
	if (body->has_rate_limiter) {
		limiter = assembly_limiter(&body->rate_limiter);
		block_set_limiter(c->devices.drives[i], &limiter);
	}
	config_patch_drive(&c->config.drives[i], body);
	return 0;
}

int controller_patch_net(struct controller *c,
			 const struct config_net_patch *body, struct err *e)
{
	int i = config_find_net(&c->config, body->iface_id, e);
	struct limiter_config rx, tx;

	if (i < 0)
		return i;
	rx = assembly_limiter(&body->rx_rate_limiter);
	tx = assembly_limiter(&body->tx_rate_limiter);
	net_set_limiters(c->devices.nets[i], &rx, &tx);
	config_patch_net(&c->config.nets[i], body);
	return 0;
}

int controller_set_vsock(struct controller *c, struct config_vsock *body,
			 struct err *e)
{
	struct device *made;
	int rc = config_check_vsock(body, e);

	if (rc)
		return rc;
	/* The same name is free only once the old one has let go of it. */
	if (c->vsock && !strcmp(body->uds_path, c->config.vsock.uds_path))
		forget_vsock(c);
	rc = assembly_vsock(&made, body, c->config.vsock_fd, e);
	if (rc)
		return rc;
	forget_vsock(c);
	c->vsock = made;
	config_set_vsock(&c->config, body);
	return 0;
}

int controller_flush_metrics(struct controller *c, struct err *e)
{
	int rc = check_started(c, e);

	if (rc)
		return rc;
	/* A reader's slowness is no fault of who asks; it is counted. */
	if (metrics_flush(&c->metrics) == -ENOENT)
		log_warn("FlushMetrics: there is no metrics file to write to");
	return 0;
}

int controller_set_metrics(struct controller *c, struct config_metrics *body,
			   struct err *e)
{
	int rc = config_check_metrics(body, e);

	if (!rc)
		rc = metrics_open(&c->metrics, body->metrics_path, e);
	if (!rc)
		config_set_metrics(&c->config, body);
	return rc;
}

/* What level a log without one has: more where somebody asked for a log. */
static enum log_level default_level(const struct controller *c, bool has_file)
{
	return has_file || c->has_boot_timer ? LOG_INFO : LOG_WARN;
}

static int open_log(const struct controller *c, const struct config_logger *l,
		    const char *path, struct err *e)
{
	struct log_config config = {
		.path = path,
		.module = l->module,
		.level = default_level(c, l->log_path),
		.show_level = l->has_show_level ? l->show_level : true,
		.show_origin = l->show_log_origin,
	};

	if (l->level && log_level_parse(l->level, &config.level))
		return err_set(e, -EINVAL, "unknown log level '%s'", l->level);
	return log_configure(&config, e);
}

int controller_apply_logger(struct controller *c, struct err *e)
{
	return open_log(c, &c->config.logger, c->config.logger.log_path, e);
}

/*
 * Clients look for it at the head of a log that they asked for, whatever the
 * level. That nobody reads a FIFO yet, or a disk is full, is no failure.
 */
static void write_head(const char *path)
{
	static const char head[] = "Running Firecracker v" WIRE_VERSION
				   " (mayfly v" MAYFLY_VERSION ")\n";
	CLEAN_FD int fd =
		openat(AT_FDCWD, path,
		       O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	if (fd >= 0 && write(fd, head, sizeof(head) - 1) < 0)
		log_debug("no head for the log %s", path);
}

int controller_set_logger(struct controller *c, struct config_logger *body,
			  struct err *e)
{
	struct config_logger merged = c->config.logger;
	int rc = config_check_logger(body, e);

	if (rc)
		return rc;
	/* A shallow copy, for a look at the result before anything moves. */
	if (body->log_path)
		merged.log_path = body->log_path;
	if (body->level)
		merged.level = body->level;
	if (body->module)
		merged.module = body->module;
	if (body->has_show_level) {
		merged.show_level = body->show_level;
		merged.has_show_level = true;
	}
	if (body->has_show_log_origin)
		merged.show_log_origin = body->show_log_origin;
	rc = open_log(c, &merged, body->log_path, e);
	if (!rc && body->log_path)
		write_head(body->log_path);
	return rc ? rc : config_set_logger(&c->config, body, e);
}
