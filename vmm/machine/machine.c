/*
 * Assembling, starting and stopping a machine.
 *
 * vCPU threads and devices never call the loop thread: they leave a bit in
 * `signals` and raise one eventfd, since they may hold a device lock and must
 * not wait. The loop thread then acts on the bits, in one place.
 */
#include "vmm/machine/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "vmm/base/clock.h"
#include "vmm/base/container.h"
#include "vmm/base/fd.h"
#include "vmm/base/log.h"
#include "vmm/machine/forked.h"
#include "vmm/machine/parts.h"
#include "vmm/machine/saved.h"

enum { SIGNAL_FAILED = 31 }; /* above every enum device_signal */

static void machine_signal(struct machine *m, unsigned bit)
{
	atomic_fetch_or(&m->signals, 1U << bit);
	fd_event_raise(m->signal_fd);
}

/* Thread: any; the device's lock may be held. */
static void device_signalled(void *machine, enum device_signal what)
{
	struct machine *m = machine;

	if (what == DEVICE_BOOTED) {
		uint64_t none = 0;

		/* Only the first counts: the guest may say it at any rate. */
		if (!atomic_compare_exchange_strong(&m->booted_ns, &none,
						    clock_now_ns()))
			return;
	}
	machine_signal(m, what);
}

/* Thread: a vCPU's. */
static void vcpu_ended(void *machine, enum vcpu_exit how, const struct err *e)
{
	struct machine *m = machine;

	if (how == VCPU_FAILED) {
		m->failure = e;
		machine_signal(m, SIGNAL_FAILED);
	} else {
		machine_signal(m, how == VCPU_POWEROFF ? DEVICE_POWEROFF
						       : DEVICE_RESET);
	}
}

/* Thread: a vCPU's. */
static int vcpu_confine(void *machine, struct err *e)
{
	const struct machine_hooks *hooks = &((struct machine *)machine)->hooks;

	if (!hooks->confine)
		return 0;
	return hooks->confine(hooks->context, MACHINE_VCPU, e);
}

/* Thread: one that a device made. */
static int worker_confine(void *machine, struct err *e)
{
	const struct machine_hooks *hooks = &((struct machine *)machine)->hooks;

	if (!hooks->confine)
		return 0;
	return hooks->confine(hooks->context, MACHINE_WORKER, e);
}

static void report_end(struct machine *m, enum machine_end how,
		       const struct err *e)
{
	if (m->has_ended)
		return;
	m->has_ended = true;
	cpus_hold(m->cpus);
	m->hooks.ended(m->hooks.context, how, e);
}

static void work_devices(struct machine *m)
{
	unsigned i;

	for (i = 0; i < m->device_count; i++)
		if (m->devices[i]->ops->work)
			m->devices[i]->ops->work(m->devices[i]);
}

static void signals_ready(struct loop_watch *w, uint32_t events)
{
	struct machine *m = container_of(w, struct machine, signal_watch);
	uint32_t bits;

	(void)events;
	fd_event_take(m->signal_fd);
	bits = atomic_exchange(&m->signals, 0);
	if (bits & 1U << DEVICE_WORK)
		work_devices(m);
	if (bits & 1U << DEVICE_BOOTED) {
		m->times.booted_ns = m->booted_ns;
		if (m->hooks.booted)
			m->hooks.booted(m->hooks.context);
	}
	if (bits & 1U << SIGNAL_FAILED)
		report_end(m, MACHINE_FAILED, m->failure);
	else if (bits & 1U << DEVICE_POWEROFF)
		report_end(m, MACHINE_POWEROFF, NULL);
	else if (bits & 1U << DEVICE_RESET)
		report_end(m, MACHINE_RESET, NULL);
}

static int open_signals(struct machine *m, struct err *e)
{
	m->signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->signal_fd < 0)
		return err_errno(e, "eventfd for the machine");
	m->signal_watch.ready = signals_ready;
	return loop_add(m->loop, &m->signal_watch, m->signal_fd, EPOLLIN, e);
}

/*
 * Memory for what guests read of devices all the time; where there can be none
 * they read by exits. Touched by its devices, not here.
 */
static int show_registers(struct machine *m, struct err *e)
{
	const unsigned count = m->config.virtio_count;
	void *pages = NULL;

	m->shown_at = arch_virtio_range(count);
	if (!arch_shows_registers || !count ||
	    posix_memalign(&pages, GUEST_PAGE, m->shown_at.size))
		return 0;
	memset(pages, 0, m->shown_at.size);
	m->shown = pages;
	if (!vm_show(&m->vm, m->shown_at.gpa, pages, m->shown_at.size)) {
		free(pages);
		m->shown = NULL;
		return 0;
	}
	m->host.sink_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return m->host.sink_fd < 0 ? err_errno(e, "eventfd") : 0;
}

/* From nothing to a VM with memory; the vCPU threads run beside it. */
static int machine_open(struct machine *m, struct err *e)
{
	const struct arch_topology topology = {
		.vcpus = m->config.vcpus,
		.smt = m->config.smt,
		.template = m->config.template,
		.clock_realtime = m->config.clock_realtime};
	struct guest_range ranges[GUEST_MEM_REGIONS_MAX];
	struct cpus_config cpus = {
		.count = m->config.vcpus,
		.mmio = &m->mmio,
		.pio = &m->pio,
		.ended = vcpu_ended,
		.confine = vcpu_confine,
		.load = m->state ? saved_load_vcpu : NULL,
		.context = m,
	};
	unsigned long type;
	unsigned count;
	int rc;

	rc = m->config.kvm_fd ? kvm_adopt(&m->kvm, m->config.kvm_fd, e)
			      : kvm_open(&m->kvm, e);
	if (!rc)
		rc = arch_new(&m->arch, &m->kvm, &topology, e);
	if (rc)
		return rc;
	cpus.arch = m->arch;
	if (m->state)
		rc = saved_load_model(m, e);
	if (rc)
		return rc;
	rc = cpus_new(&m->cpus, &cpus, e);
	if (!rc)
		rc = open_signals(m, e);
	if (!rc)
		rc = arch_vm_type(&m->kvm, m->config.mem_bytes, &type, e);
	if (!rc)
		rc = vm_open(&m->vm, &m->kvm, type, e);
	if (!rc)
		rc = arch_attach(m->arch, &m->vm, &m->mmio, &m->pio, e);
	if (rc)
		return rc;
	count = arch_ranges(m->config.mem_bytes, ranges);
	rc = guest_mem_open(&m->mem, ranges, count, &m->config.backing, e);
	if (!rc && m->hooks.mapped)
		rc = m->hooks.mapped(m->hooks.context, &m->mem, e);
	if (!rc)
		rc = vm_map(&m->vm, &m->mem, m->config.is_tracked, e);
	rc = rc ? rc : show_registers(m, e);
	if (!rc && m->config.is_tracked)
		rc = saved_track(m, e);
	return rc ? rc : cpus_use_vm(m->cpus, &m->vm, e);
}

int machine_new(struct machine **out, const struct machine_config *config,
		struct loop *loop, const struct machine_hooks *hooks,
		struct err *e)
{
	struct machine *m = calloc(1, sizeof(*m));
	int rc;

	if (!m)
		return err_set(e, -ENOMEM, "no memory for a machine");
	m->times.begin_ns = clock_now_ns();
	m->config = *config;
	m->state = config->state;
	m->hooks = *hooks;
	m->loop = loop;
	m->signal_watch.fd = -1;
	m->host = (struct device_host){
		.loop = loop,
		.vm = &m->vm,
		.mem = &m->mem,
		.signal = device_signalled,
		.confine = worker_confine,
		.machine = m,
	};
	rc = machine_open(m, e);
	if (rc) {
		machine_free(m);
		return rc;
	}
	*out = m;
	return 0;
}

/*
 * Stops the devices. Those whose disk does not answer are left behind, for the
 * end of the process, with the guest's memory, where the answer may still go.
 * True where there are none.
 */
static bool stop_devices(struct machine *m)
{
	bool are_quiet = true;
	unsigned i;

	for (i = m->device_count; i-- > 0;) {
		struct device *d = m->devices[i];

		if (!d->ops->stop || d->ops->stop(d))
			continue;
		log_warn("%s %s: something is in flight that does not end; it "
			 "ends with the process",
			 machine_kind_of(d), d->id ? d->id : "");
		m->devices[i] = NULL;
		are_quiet = false;
	}
	return are_quiet;
}

void machine_free(struct machine *m)
{
	bool are_quiet;
	unsigned i;

	if (!m)
		return;
	cpus_free(m->cpus);
	loop_delete(m->loop, &m->signal_watch);
	are_quiet = stop_devices(m);
	for (i = m->device_count; i-- > 0;)
		if (m->devices[i])
			m->devices[i]->ops->free(m->devices[i]);
	arch_free(m->arch);
	vm_close(&m->vm);
	if (!are_quiet)
		return;
	free(m->written);
	free(m->fresh);
	free(m->since_mark);
	forked_free(m);
	guest_mem_close(&m->mem);
	kvm_close(&m->kvm);
	fd_close(&m->signal_fd);
	fd_close(&m->host.sink_fd);
	free(m->shown);
	free(m);
}

static void device_read(void *owner, uint64_t offset, void *data, uint32_t len)
{
	struct device *d = owner;

	d->ops->read(d, offset, data, len);
}

static void device_write(void *owner, uint64_t offset, const void *data,
			 uint32_t len)
{
	struct device *d = owner;

	d->ops->write(d, offset, data, len);
}

static bool device_quick(void *owner, uint64_t offset, void *data, uint32_t len,
			 bool is_write)
{
	struct device *d = owner;

	return d->ops->quick(d, offset, data, len, is_write);
}

static bool device_settle(void *owner)
{
	struct device *d = owner;

	return d->ops->settle(d);
}

static uint8_t *shown_of(const struct machine *m, const struct arch_slot *slot)
{
	const uint64_t at = slot->base - m->shown_at.gpa;

	if (!m->shown || slot->kind != ARCH_VIRTIO_MMIO ||
	    at + slot->size > m->shown_at.size)
		return NULL;
	return m->shown + at;
}

static int place_device(struct machine *m, struct device *d, struct err *e)
{
	int rc = arch_place(m->arch, d->ops->kind, &d->slot, e);

	if (!rc)
		d->shown = shown_of(m, &d->slot);
	/* A place in memory has no registers. */
	if (rc || !(d->ops->read || d->ops->write))
		return rc;
	const struct bus_range range = {
		.base = d->slot.base,
		.size = d->slot.size,
		.read = d->ops->read ? device_read : NULL,
		.write = d->ops->write ? device_write : NULL,
		.quick = d->ops->quick ? device_quick : NULL,
		.settle = d->ops->settle ? device_settle : NULL,
		.owner = d,
		.lock = &d->lock,
	};
	return bus_add(d->slot.is_pio ? &m->pio : &m->mmio, &range, e);
}

int machine_add(struct machine *m, struct device *d, struct err *e)
{
	int rc;

	mutex_init(&d->lock);
	d->host = &m->host;
	rc = place_device(m, d, e);
	if (rc) {
		d->ops->free(d);
		return rc;
	}
	m->devices[m->device_count++] = d;
	return 0;
}

static int start_devices(struct machine *m, struct err *e)
{
	unsigned i;
	int rc;

	for (i = 0; i < m->device_count; i++) {
		struct device *d = m->devices[i];

		rc = d->ops->start ? d->ops->start(d, e) : 0;
		if (rc)
			return err_context(e, "%s %s", machine_kind_of(d),
					   d->id ? d->id : "");
	}
	return 0;
}

/* What devices need of vCPUs, where they need it. */
static int await_vcpus(struct machine *m, struct err *e)
{
	int rc;

	if (!arch_waits_for_vcpus)
		return 0;
	rc = cpus_wait(m->cpus, e);
	return rc ? rc : arch_vcpus_ready(m->arch, &m->mem, e);
}

/* The last before the guest runs. */
static int close_in(struct machine *m, struct err *e)
{
	if (!m->hooks.confine)
		return 0;
	return m->hooks.confine(m->hooks.context, MACHINE_LOOP, e);
}

int machine_start(struct machine *m, const struct boot_source *source,
		  struct err *e)
{
	struct boot_entry entry;
	int rc;

	rc = arch_load(m->arch, &m->mem, source, &entry, e);
	rc = rc ? rc : await_vcpus(m, e);
	rc = rc ? rc : start_devices(m, e);
	m->times.loaded_ns = clock_now_ns();
	/* Not the other way round: who fails to start may try again. */
	rc = rc ? rc : cpus_wait(m->cpus, e);
	rc = rc ? rc : close_in(m, e);
	if (rc)
		return rc;
	/* Before: a guest may be up before we come back. */
	m->times.run_ns = clock_now_ns();
	cpus_start(m->cpus, &entry);
	return 0;
}

int machine_load(struct machine *m, struct err *e)
{
	int rc = saved_check(m, e);

	rc = rc ? rc : await_vcpus(m, e);
	rc = rc ? rc : start_devices(m, e);
	rc = rc ? rc : saved_load(m, e);
	m->times.loaded_ns = clock_now_ns();
	/* While vCPUs load: one that fails to ends us, which filters allow. */
	rc = rc ? rc : close_in(m, e);
	rc = rc ? rc : cpus_wait(m->cpus, e);
	m->state = NULL;
	if (!rc)
		cpus_start_held(m->cpus);
	return rc;
}

void machine_pause(struct machine *m)
{
	cpus_hold(m->cpus);
}

void machine_resume(struct machine *m)
{
	machine_unquiet(m);
	if (!m->times.run_ns)
		m->times.run_ns = clock_now_ns();
	cpus_release(m->cpus);
}

const struct machine_times *machine_times(const struct machine *m)
{
	return &m->times;
}

uint64_t machine_exits(const struct machine *m)
{
	return cpus_exits(m->cpus);
}

void machine_count(struct machine *m, struct machine_counters *c)
{
	unsigned i;

	c->begin(c, "vcpu", "");
	cpus_count(m->cpus, &c->counters);
	for (i = 0; i < m->device_count; i++) {
		struct device *d = m->devices[i];

		if (!d->ops->count)
			continue;
		c->begin(c, machine_kind_of(d), d->id ? d->id : "");
		d->ops->count(d, &c->counters);
	}
}
