/*
 * The life of a microVM. A start makes the machine before anything else,
 * because its vCPU threads set themselves up while this thread opens files and
 * adds devices; what the configuration asks wrongly is found in between, and
 * then the half-made machine is thrown away.
 */
#include "api/controller.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "api/console.h"
#include "devices/block.h"
#include "devices/i8042.h"
#include "devices/power.h"
#include "devices/uart.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"

/* No kernel of ours takes more; the architecture knows its exact limit. */
enum { CMDLINE_MAX = 4096 };

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

void controller_init(struct controller *c, struct loop *loop, const char *id)
{
	memset(c, 0, sizeof(*c));
	c->loop = loop;
	c->id = id;
	config_init(&c->config);
	metrics_init(&c->metrics, loop, controller_collect, c);
}

/* Keeps what is asked of a machine after its end. */
static void forget_machine(struct controller *c)
{
	if (c->machine)
		c->times = *machine_times(c->machine);
	machine_free(c->machine);
	console_restore();
	c->machine = NULL;
	c->keyboard = NULL;
}

void controller_fini(struct controller *c)
{
	metrics_close(&c->metrics);
	forget_machine(c);
	config_fini(&c->config);
}

const char *controller_state_word(const struct controller *c)
{
	static const char *const words[] = {"Not started", "Running", "Paused"};

	return words[c->state];
}

static void machine_ended(void *context, enum machine_end how,
			  const struct err *e)
{
	struct controller *c = context;

	c->end_ns = clock_ns(CLOCK_MONOTONIC);
	c->end = how;
	if (how == MACHINE_FAILED && e)
		c->end_error = *e;
	loop_stop(c->loop);
}

/* The line in the form that clients look for. */
static void machine_booted(void *context)
{
	struct controller *c = context;
	const struct machine_times *t = machine_times(c->machine);
	uint64_t wall_us = (t->booted_ns - t->begin_ns) / 1000;
	uint64_t cpu_us =
		(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - c->start_cpu_ns) / 1000;

	log_info("Guest-boot-time = %6" PRIu64 " us %" PRIu64 " ms, %6" PRIu64
		 " CPU us %" PRIu64 " CPU ms",
		 wall_us, wall_us / 1000, cpu_us, cpu_us / 1000);
}

/* A wish for more memory than there is must fail here, not in the guest. */
static int check_memory(const struct config_machine *m, struct err *e)
{
	struct sysinfo host;
	uint64_t host_mib;

	if (sysinfo(&host))
		return err_errno(e, "can't ask for the host's memory");
	host_mib = ((uint64_t)host.totalram * host.mem_unit) >> 20;
	if (m->mem_size_mib > host_mib)
		return err_set(e, -ENOMEM,
			       "mem_size_mib of %" PRIu64 " is more than the "
			       "%" PRIu64 " MiB of the host",
			       m->mem_size_mib, host_mib);
	return 0;
}

static int make_machine(struct controller *c, struct err *e)
{
	static const enum guest_mem_pages pages[] = {
		[CONFIG_HUGE_NONE] = GUEST_MEM_SMALL,
		[CONFIG_HUGE_2M] = GUEST_MEM_HUGE_2M,
		[CONFIG_HUGE_TRANSPARENT] = GUEST_MEM_TRANSPARENT,
	};
	const struct config_machine *m = &c->config.machine;
	const struct machine_config config = {
		.mem_bytes = m->mem_size_mib << 20,
		.pages = pages[m->huge_pages],
		.vcpus = m->vcpu_count,
		.smt = m->smt,
	};
	const struct machine_hooks hooks = {
		.ended = machine_ended,
		.booted = machine_booted,
		.context = c,
	};

	return machine_new(&c->machine, &config, c->loop, &hooks, e);
}

static int add_drive(struct controller *c, const struct config_drive *drive,
		     struct err *e)
{
	const struct block_config config = {
		.id = drive->drive_id,
		.path = drive->path_on_host,
		.is_read_only = drive->is_read_only,
		.is_writeback = drive->cache_type == CONFIG_CACHE_WRITEBACK,
		.queues = 1,
	};
	struct device *d;
	int rc = block_new(&d, &config, e);

	return rc ? rc : machine_add(c->machine, d, e);
}

/* The root device comes first, so that the guest calls it /dev/vda. */
static int add_drives(struct controller *c, struct err *e)
{
	const struct config_drive *root = config_root(&c->config);
	int rc = root ? add_drive(c, root, e) : 0;
	uint32_t i;

	for (i = 0; i < c->config.drive_count && !rc; i++)
		if (&c->config.drives[i] != root)
			rc = add_drive(c, &c->config.drives[i], e);
	return rc;
}

static int add_platform(struct controller *c, struct err *e)
{
	struct device *d;
	int rc = uart_new(&d, STDOUT_FILENO, STDIN_FILENO, e);

	rc = rc ? rc : machine_add(c->machine, d, e);
	rc = rc ? rc : i8042_new(&d, e);
	rc = rc ? rc : machine_add(c->machine, d, e);
	if (rc)
		return rc;
	c->keyboard = d;
	rc = sleep_new(&d, e);
	rc = rc ? rc : machine_add(c->machine, d, e);
	if (rc || !c->has_boot_timer)
		return rc;
	rc = boot_timer_new(&d, e);
	return rc ? rc : machine_add(c->machine, d, e);
}

static int start_machine(struct controller *c, struct err *e)
{
	const struct config_boot *boot = &c->config.boot;
	CLEAN_FD int kernel_fd = -1;
	CLEAN_FD int initrd_fd = -1;
	char cmdline[CMDLINE_MAX];
	int rc;

	kernel_fd = open(boot->kernel_image_path, O_RDONLY | O_CLOEXEC);
	if (kernel_fd < 0)
		return err_errno(e, "can't open the kernel %s",
				 boot->kernel_image_path);
	if (boot->initrd_path) {
		initrd_fd = open(boot->initrd_path, O_RDONLY | O_CLOEXEC);
		if (initrd_fd < 0)
			return err_errno(e, "can't open the initrd %s",
					 boot->initrd_path);
	}
	rc = config_cmdline(&c->config, cmdline, sizeof(cmdline), e);
	if (!rc)
		rc = add_drives(c, e);
	if (!rc)
		rc = add_platform(c, e);
	if (rc)
		return rc;
	const struct boot_source source = {
		.kernel_fd = kernel_fd,
		.kernel_path = boot->kernel_image_path,
		.initrd_fd = initrd_fd,
		.initrd_path = boot->initrd_path,
		.cmdline = cmdline,
	};
	return machine_start(c->machine, &source, e);
}

int controller_start(struct controller *c, struct err *e)
{
	int rc;

	if (!c->config.boot.kernel_image_path)
		return err_set(e, -EINVAL,
			       "There is no kernel to start: give a "
			       "boot-source first");
	if (c->has_boot_timer)
		c->start_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	rc = check_memory(&c->config.machine, e);
	if (!rc)
		rc = make_machine(c, e);
	if (!rc)
		rc = start_machine(c, e);
	if (rc) {
		forget_machine(c);
		return rc;
	}
	console_take();
	c->state = CONTROLLER_RUNNING;
	return 0;
}

static int check_started(const struct controller *c, struct err *e)
{
	if (c->state != CONTROLLER_NOT_STARTED)
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
	return rc;
}

int controller_resume(struct controller *c, struct err *e)
{
	int rc = check_started(c, e);

	if (!rc && c->state == CONTROLLER_PAUSED) {
		machine_resume(c->machine);
		c->state = CONTROLLER_RUNNING;
	}
	return rc;
}

int controller_ctrl_alt_del(struct controller *c, struct err *e)
{
	int rc = check_started(c, e);

	if (rc)
		return rc;
	if (!c->keyboard)
		return err_set(e, -ENODEV, "This machine has no keyboard.");
	i8042_ctrl_alt_del(c->keyboard);
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
	return rc ? rc : config_set_logger(&c->config, body, e);
}
