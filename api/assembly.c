/*
 * Puts a machine together. The machine is made before anything else, because
 * its vCPU threads set themselves up while this thread opens files and adds
 * devices; what the configuration asks wrongly is found in between, and then
 * the half-made machine is thrown away.
 */
#include "api/assembly.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "devices/block.h"
#include "devices/generation.h"
#include "devices/i8042.h"
#include "devices/net.h"
#include "devices/power.h"
#include "devices/power_key.h"
#include "devices/uart.h"
#include "devices/vsock.h"
#include "vmm/base/fd.h"
#include "vmm/base/passed.h"
#include "vmm/boot/cmdline.h"

/* No kernel of ours takes more; the architecture knows its exact limit. */
enum { CMDLINE_MAX = 4096 };

/* Devices can have more queues; one thread serves them all. */
enum { QUEUES_MAX = 8 };

/* So much has every host of microVMs. */
enum { MEMORY_SURE_MIB = 256 };

/* A wish for more memory than there is must fail here, not in the guest. */
static int check_memory(const struct config_machine *m, struct err *e)
{
	struct sysinfo host;
	uint64_t host_mib;

	if (m->mem_size_mib <= MEMORY_SURE_MIB)
		return 0;
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

int assembly_make(struct machine **out, const struct vm_config *config,
		  const struct assembly_saved *saved, struct loop *loop,
		  const struct machine_hooks *hooks, struct err *e)
{
	static const enum guest_mem_kind pages[] = {
		[CONFIG_HUGE_NONE] = GUEST_MEM_SMALL,
		[CONFIG_HUGE_2M] = GUEST_MEM_HUGE_2M,
		[CONFIG_HUGE_TRANSPARENT] = GUEST_MEM_TRANSPARENT,
	};
	const struct config_machine *m = &config->machine;
	struct machine_config machine = {
		.mem_bytes = m->mem_size_mib << 20,
		.backing = {.kind = pages[m->huge_pages]},
		.vcpus = m->vcpu_count,
		.smt = m->smt,
		.template = m->cpu_template == CONFIG_TEMPLATE_T2
				    ? ARCH_TEMPLATE_T2
				    : ARCH_TEMPLATE_NONE,
		.kvm_fd = config->kvm_fd,
		.virtio_count = config->drive_count + config->net_count +
				!!config->vsock.uds_path,
		.is_tracked = m->track_dirty_pages,
	};
	int rc = check_memory(m, e);

	if (saved) {
		machine.state = saved->state;
		machine.backing = saved->backing;
		machine.clock_realtime = saved->clock_realtime;
	}
	return rc ? rc : machine_new(out, &machine, loop, hooks, e);
}

static struct limiter_bucket bucket(bool is_given,
				    const struct config_bucket *b)
{
	return (struct limiter_bucket){
		.size = b->size,
		.burst = b->one_time_burst,
		.refill_ms = b->refill_time_ms,
		.is_given = is_given,
	};
}

struct limiter_config assembly_limiter(const struct config_limiter *l)
{
	return (struct limiter_config){
		.bytes = bucket(l->has_bandwidth, &l->bandwidth),
		.ops = bucket(l->has_ops, &l->ops),
	};
}

struct block_overlay_config assembly_overlay(const struct config_drive *drive)
{
	return (struct block_overlay_config){
		.is_wanted = drive->has_overlay,
		.dir = drive->overlay.dir_on_host,
		.bytes_max = drive->overlay.size_mib << 20,
	};
}

/* A queue for each vCPU, as far as it helps. */
static unsigned queues_for(const struct vm_config *config)
{
	return config->machine.vcpu_count < QUEUES_MAX
		       ? config->machine.vcpu_count
		       : QUEUES_MAX;
}

static int add_drive(struct machine *m, const struct vm_config *config,
		     uint32_t i, struct assembly *out, struct err *e)
{
	const struct config_drive *drive = &config->drives[i];
	const struct block_config block = {
		.id = drive->drive_id,
		.path = drive->path_on_host,
		.is_read_only = drive->is_read_only,
		.is_writeback = drive->cache_type == CONFIG_CACHE_WRITEBACK,
		.engine = drive->io_engine == CONFIG_ENGINE_ASYNC ? BLOCK_ASYNC
								  : BLOCK_SYNC,
		.queues = queues_for(config),
		.limiter = assembly_limiter(&drive->rate_limiter),
		.overlay = assembly_overlay(drive),
	};
	struct device *d;
	int rc = block_new(&d, &block, e);

	if (rc)
		return rc;
	out->drives[i] = d;
	return machine_add(m, d, e);
}

/* The root device comes first, so that the guest calls it /dev/vda. */
static int add_drives(struct machine *m, const struct vm_config *config,
		      struct assembly *out, struct err *e)
{
	int rc = 0;
	uint32_t i;

	for (i = 0; i < config->drive_count && !rc; i++)
		if (config->drives[i].is_root_device)
			rc = add_drive(m, config, i, out, e);
	for (i = 0; i < config->drive_count && !rc; i++)
		if (!config->drives[i].is_root_device)
			rc = add_drive(m, config, i, out, e);
	return rc;
}

/*
 * A tap that came with us stays open, for another try after a start that
 * failed; the device takes a copy.
 */
static int copy_tap_fd(int fd, int *out, struct err *e)
{
	*out = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (*out < 0 && errno == EBADF)
		return err_set(e, -EBADF,
			       "descriptor %d, for a tap, is not open", fd);
	return *out < 0 ? err_errno(e, "descriptor %d, for a tap", fd) : 0;
}

/* *fd is a tap that came with us, or -1 where the host is to be asked. */
static int find_tap_fd(const struct config_net *net, int *fd, struct err *e)
{
	const int passed = config_tap_fd(net->host_dev_name);

	*fd = -1;
	return passed < 0 ? 0 : copy_tap_fd(passed, fd, e);
}

static int add_net(struct machine *m, const struct vm_config *config,
		   uint32_t i, struct assembly *out, struct err *e)
{
	const bool is_late = out->late.nets & 1U << i;
	const struct config_net *net = &config->nets[i];
	struct net_config n = {
		.id = net->iface_id,
		.tap_name = is_late ? NULL : net->host_dev_name,
		.tap_fd = -1,
		.mtu = net->mtu,
		.queue_pairs = queues_for(config),
		.rx = assembly_limiter(&net->rx_rate_limiter),
		.tx = assembly_limiter(&net->tx_rate_limiter),
	};
	struct device *d;
	int rc = 0;

	if (net->guest_mac) {
		n.has_mac = true;
		rc = config_parse_mac(net->guest_mac, n.mac, e);
	}
	if (!rc && !is_late)
		rc = find_tap_fd(net, &n.tap_fd, e);
	if (rc)
		return rc;
	rc = net_new(&d, &n, e);
	if (rc) {
		fd_close(&n.tap_fd);
		return rc;
	}
	out->nets[i] = d;
	return machine_add(m, d, e);
}

int assembly_vsock(struct device **out, const struct config_vsock *config,
		   int listen_fd, struct err *e)
{
	const struct vsock_config vsock = {
		.id = "vsock",
		.cid = config->guest_cid,
		.uds_path = config->uds_path,
		.listen_fd = listen_fd,
	};

	return vsock_new(out, &vsock, e);
}

static int add_vsock(struct machine *m, const struct vm_config *config,
		     struct device **made, struct assembly *out, struct err *e)
{
	struct config_vsock vsock = config->vsock;
	struct device *d = *made;
	int rc = 0;

	if (!vsock.uds_path)
		return 0;
	*made = NULL;
	if (out->late.vsock)
		vsock.uds_path = NULL;
	if (!d)
		rc = assembly_vsock(&d, &vsock, config->vsock_fd, e);
	if (rc)
		return rc;
	out->vsock = d;
	return machine_add(m, d, e);
}

/*
 * Where the guest's serial output goes, when not to stdout. Opened for both
 * ways, so that a FIFO nobody reads yet can be opened; written without
 * blocking.
 */
static int open_serial(const char *path, struct err *e)
{
	const int flags = O_RDWR | O_APPEND | O_NONBLOCK | O_NOCTTY;
	const int fd = passed_has(path)
			       ? passed_open(path, flags)
			       : openat(AT_FDCWD, path,
					flags | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_errno(e, "can't open the serial_out_path %s", path);
	return fd;
}

static int add_uart(struct machine *m, const struct vm_config *config,
		    struct err *e)
{
	const char *path = config->serial.serial_out_path;
	CLEAN_FD int fd = path ? open_serial(path, e) : -1;
	struct device *d;
	int rc;

	if (path && fd < 0)
		return fd;
	rc = uart_new(&d, path ? fd : STDOUT_FILENO, STDIN_FILENO, e);
	if (rc)
		return rc;
	/* What whoever started us redirected is theirs to look after. */
	if (path)
		uart_bound_output(d);
	return machine_add(m, d, e);
}

/* A device of which there is one where the architecture has it. */
static int add_one(struct machine *m, const struct cmdline *line,
		   enum arch_kind kind,
		   int (*make)(struct device **out, struct err *e),
		   struct device **kept, struct err *e)
{
	struct device *d;
	int rc;

	if (!arch_has(kind, line))
		return 0;
	rc = make(&d, e);
	rc = rc ? rc : machine_add(m, d, e);
	if (!rc && kept)
		*kept = d;
	return rc;
}

static int add_platform(struct machine *m, const struct vm_config *config,
			const char *args, bool has_boot_timer,
			struct assembly *out, struct err *e)
{
	char text[CMDLINE_MAX];
	struct cmdline line;
	int rc = cmdline_init(&line, text, sizeof(text), args, e);

	rc = rc ? rc : add_uart(m, config, e);
	if (!rc)
		rc = add_one(m, &line, ARCH_I8042, i8042_new, &out->keyboard,
			     e);
	if (!rc)
		rc = add_one(m, &line, ARCH_POWER_KEY, power_key_new,
			     &out->power_key, e);
	if (!rc)
		rc = add_one(m, &line, ARCH_SLEEP, sleep_new, NULL, e);
	if (!rc && has_boot_timer)
		rc = add_one(m, &line, ARCH_BOOT_TIMER, boot_timer_new, NULL,
			     e);
	return rc ? rc
		  : add_one(m, &line, ARCH_GENERATION, generation_new,
			    &out->generation, e);
}

static int add_devices(struct machine *m, const struct vm_config *config,
		       const char *args, struct device **vsock,
		       bool has_boot_timer, struct assembly *out, struct err *e)
{
	uint32_t i;
	int rc = add_drives(m, config, out, e);

	for (i = 0; i < config->net_count && !rc; i++)
		rc = add_net(m, config, i, out, e);
	rc = rc ? rc : add_vsock(m, config, vsock, out, e);
	return rc ? rc : add_platform(m, config, args, has_boot_timer, out, e);
}

int assembly_start(struct machine *m, const struct vm_config *config,
		   struct device **vsock, bool has_boot_timer,
		   struct assembly *out, struct err *e)
{
	const struct config_boot *boot = &config->boot;
	CLEAN_FD int kernel_fd = -1;
	CLEAN_FD int initrd_fd = -1;
	char cmdline[CMDLINE_MAX];
	int rc;

	kernel_fd = fd_open(boot->kernel_image_path, O_RDONLY, FD_REGULAR,
			    "kernel", e);
	if (kernel_fd < 0)
		return kernel_fd;
	if (boot->initrd_path)
		initrd_fd = fd_open(boot->initrd_path, O_RDONLY, FD_REGULAR,
				    "initrd", e);
	if (boot->initrd_path && initrd_fd < 0)
		return initrd_fd;
	rc = config_cmdline(config, cmdline, sizeof(cmdline), e);
	if (!rc)
		rc = add_devices(m, config, cmdline, vsock, has_boot_timer, out,
				 e);
	if (rc)
		return rc;
	const struct boot_source source = {
		.kernel_fd = kernel_fd,
		.kernel_path = boot->kernel_image_path,
		.initrd_fd = initrd_fd,
		.initrd_path = boot->initrd_path,
		.cmdline = cmdline,
	};
	return machine_start(m, &source, e);
}

int assembly_load(struct machine *m, const struct vm_config *config,
		  struct device **vsock, bool has_boot_timer,
		  struct assembly *out, struct err *e)
{
	char cmdline[CMDLINE_MAX];
	int rc = config_cmdline(config, cmdline, sizeof(cmdline), e);

	rc = rc ? rc
		: add_devices(m, config, cmdline, vsock, has_boot_timer, out,
			      e);
	return rc ? rc : machine_load(m, e);
}

static int open_late_tap(struct device *d, const struct config_net *net,
			 struct err *e)
{
	int fd, rc = find_tap_fd(net, &fd, e);

	rc = rc ? rc : net_set_tap(d, net->host_dev_name, fd, e);
	if (rc)
		fd_close(&fd);
	return rc;
}

int assembly_open_late(struct assembly *a, const struct vm_config *config,
		       struct err *e)
{
	uint32_t i;
	int rc = 0;

	for (i = 0; i < config->net_count && !rc; i++)
		if (a->late.nets & 1U << i)
			rc = open_late_tap(a->nets[i], &config->nets[i], e);
	if (!rc && a->late.vsock)
		rc = vsock_listen(a->vsock, config->vsock.uds_path,
				  config->vsock_fd, e);
	return rc;
}

int assembly_identify(const struct assembly *a, struct err *e)
{
	return a->generation ? generation_changed(a->generation, e) : 0;
}

int assembly_identify_again(const struct assembly *a, struct err *e)
{
	return a->generation ? generation_again(a->generation, e) : 0;
}
