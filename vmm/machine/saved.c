/*
 * Saving a machine and loading one.
 *
 * The state is sections (vmm/state): the CPU model, the platform, each vCPU,
 * each device. What they are is the configuration's business, which comes back
 * with the snapshot; here is only what the guest could tell.
 *
 * To save, vCPUs are out of the guest, then devices are held until nothing is
 * in flight: from there on memory, rings and registers agree. To load, all is
 * made as for a boot, devices are started, then everything is told what it was.
 * vCPUs load themselves in their own threads, before they put their filters on,
 * beside this thread's work on devices; to save, this thread asks KVM for each,
 * so that the threads that run the guest need no rules for it.
 */
#include "vmm/machine/saved.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/base/clock.h"
#include "vmm/machine/parts.h"

/* What a drive gets to end what it has in flight. */
#define QUIET_NS 10000000000ULL

static void vcpu_name(uint32_t id, char out[STATE_NAME_MAX])
{
	snprintf(out, STATE_NAME_MAX, "vcpu %u", id);
}

/* Ends a walk that loads the section called name. */
static int finish(struct visitor *v, const char *name, struct err *e)
{
	int rc = visitor_end(v);

	return rc ? err_context(e, "the state's section '%s'", name) : 0;
}

/* ---- what is in flight ----------------------------------------------------
 */

/* One that has something in flight; NULL where none has. */
static const struct device *hold_devices(struct machine *m)
{
	const struct device *busy = NULL;
	unsigned i;

	for (i = 0; i < m->device_count; i++) {
		struct device *d = m->devices[i];

		if (d->ops->hold && !d->ops->hold(d))
			busy = d;
	}
	return busy;
}

static void release_devices(struct machine *m)
{
	unsigned i;

	for (i = 0; i < m->device_count; i++)
		if (m->devices[i]->ops->release)
			m->devices[i]->ops->release(m->devices[i]);
}

int machine_quiet(struct machine *m, struct err *e)
{
	const uint64_t end = clock_now_ns() + QUIET_NS;
	const struct device *busy;

	if (m->is_quiet)
		return 0;
	while ((busy = hold_devices(m))) {
		if (clock_now_ns() > end) {
			release_devices(m);
			return err_set(e, -EBUSY,
				       "the %s %s has something in flight that "
				       "does not end; try again when the host "
				       "has answered it",
				       machine_kind_of(busy),
				       busy->id ? busy->id : "");
		}
		clock_rest();
	}
	m->is_quiet = true;
	return 0;
}

void machine_unquiet(struct machine *m)
{
	if (!m->is_quiet)
		return;
	m->is_quiet = false;
	release_devices(m);
}

/* ---- saving ---------------------------------------------------------------
 */

static void visit_device(struct device *d, struct visitor *v)
{
	uint64_t base = d->slot.base;
	uint32_t gsi = d->slot.gsi;

	/* The guest's drivers know it by them. */
	visit_u64(v, &base);
	visit_u32(v, &gsi);
	if (!visit_check(v, base == d->slot.base && gsi == d->slot.gsi,
			 "the device was at 0x%llx with interrupt %u, and here "
			 "would be at 0x%llx with %u",
			 (unsigned long long)base, gsi,
			 (unsigned long long)d->slot.base, d->slot.gsi))
		return;
	d->ops->visit(d, v);
}

/* Its section's name: "drive rootfs". */
static void device_name(const struct device *d, char out[STATE_NAME_MAX])
{
	snprintf(out, STATE_NAME_MAX, "%s%s%s", machine_kind_of(d),
		 d->id ? " " : "", d->id ? d->id : "");
}

static int save_devices(struct machine *m, struct state *s, struct err *e)
{
	char name[STATE_NAME_MAX];
	struct visitor v;
	unsigned i;
	int rc = 0;

	for (i = 0; i < m->device_count && !rc; i++) {
		struct device *d = m->devices[i];

		if (!d->ops->visit)
			continue;
		device_name(d, name);
		visitor_save(&v, d->ops->state, e);
		visit_device(d, &v);
		rc = state_add(s, name, &v, e);
	}
	return rc;
}

static int save_vcpus(struct machine *m, struct state *s, struct err *e)
{
	char name[STATE_NAME_MAX];
	struct visitor v;
	uint32_t i;
	int rc = 0;

	for (i = 0; i < m->config.vcpus && !rc; i++) {
		vcpu_name(i, name);
		visitor_save(&v, ARCH_STATE_VCPU, e);
		arch_visit_vcpu(m->arch, cpus_held(m->cpus, i), &v);
		rc = state_add(s, name, &v, e);
	}
	return rc;
}

int machine_save(struct machine *m, struct state *s, struct err *e)
{
	const bool was_quiet = m->is_quiet;
	struct visitor v;
	int rc = machine_quiet(m, e);

	if (rc)
		return rc;
	visitor_save(&v, ARCH_STATE_MODEL, e);
	arch_visit_model(m->arch, &v);
	rc = state_add(s, "model", &v, e);
	rc = rc ? rc : save_vcpus(m, s, e);
	if (!rc) {
		visitor_save(&v, ARCH_STATE_PLATFORM, e);
		arch_visit_platform(m->arch, &v);
		rc = state_add(s, "platform", &v, e);
	}
	rc = rc ? rc : save_devices(m, s, e);
	if (!was_quiet)
		machine_unquiet(m);
	return rc;
}

/* ---- loading --------------------------------------------------------------
 */

int saved_load_model(struct machine *m, struct err *e)
{
	struct visitor v;
	int rc = state_section(m->state, "model", ARCH_STATE_MODEL, &v, e);

	if (rc)
		return rc;
	arch_visit_model(m->arch, &v);
	return finish(&v, "model", e);
}

int saved_load_clock(struct machine *m, struct err *e)
{
	struct visitor v;
	int rc = state_section(m->state, "model", ARCH_STATE_MODEL, &v, e);

	if (rc)
		return rc;
	/* The rest was judged when it was loaded, or is what was marked. */
	arch_visit_clock(m->arch, &v);
	return v.rc;
}

int saved_load_vcpu(void *machine, struct vcpu *vcpu, struct err *e)
{
	struct machine *m = machine;
	char name[STATE_NAME_MAX];
	struct visitor v;
	int rc;

	vcpu_name(vcpu->id, name);
	rc = state_section(m->state, name, ARCH_STATE_VCPU, &v, e);
	if (rc)
		return rc;
	arch_visit_vcpu(m->arch, vcpu, &v);
	return finish(&v, name, e);
}

static int load_device(struct machine *m, struct device *d, struct err *e)
{
	char name[STATE_NAME_MAX];
	struct visitor v;
	int rc;

	device_name(d, name);
	rc = state_section(m->state, name, d->ops->state, &v, e);
	if (rc)
		return rc;
	visit_device(d, &v);
	return finish(&v, name, e);
}

static bool is_known(const struct machine *m, const char *name)
{
	char known[STATE_NAME_MAX];
	uint32_t i;

	/* Those up to the model are whose who made this machine of them. */
	if (!strcmp(name, "config") || !strcmp(name, "overlays") ||
	    !strcmp(name, "overlays of a fork") || !strcmp(name, "model") ||
	    !strcmp(name, "platform"))
		return true;
	for (i = 0; i < m->config.vcpus; i++) {
		vcpu_name(i, known);
		if (!strcmp(name, known))
			return true;
	}
	for (i = 0; i < m->device_count; i++) {
		device_name(m->devices[i], known);
		if (m->devices[i]->ops->visit && !strcmp(name, known))
			return true;
	}
	return false;
}

int saved_check(const struct machine *m, struct err *e)
{
	const char *name;
	unsigned i;

	for (i = 0; (name = state_name(m->state, i)); i++)
		if (!is_known(m, name))
			return err_set(e, -ENOTSUP,
				       "the state's section '%s' is of "
				       "something that this microVM has not; "
				       "load it with the version that saved "
				       "it, or a later one",
				       name);
	return 0;
}

/* What drivers that are up want of KVM. Nothing is in flight: it ends. */
static void settle(struct device *d)
{
	while (d->ops->settle && !d->ops->settle(d))
		clock_rest();
}

static void settle_devices(struct machine *m)
{
	unsigned i;

	for (i = 0; i < m->device_count; i++)
		settle(m->devices[i]);
}

int saved_load_platform(struct machine *m, struct err *e)
{
	struct visitor v;
	int rc =
		state_section(m->state, "platform", ARCH_STATE_PLATFORM, &v, e);

	if (rc)
		return rc;
	arch_visit_platform(m->arch, &v);
	return finish(&v, "platform", e);
}

int saved_load(struct machine *m, struct err *e)
{
	unsigned i;
	int rc = machine_quiet(m, e);

	for (i = 0; i < m->device_count && !rc; i++)
		if (m->devices[i]->ops->visit)
			rc = load_device(m, m->devices[i], e);
	if (rc)
		return rc;
	settle_devices(m);
	return saved_load_platform(m, e);
}

int machine_reload(struct machine *m, struct device *d, struct err *e)
{
	int rc;

	m->state = m->marked;
	rc = load_device(m, d, e);
	m->state = NULL;
	if (!rc)
		settle(d);
	return rc;
}

/* ---- memory ---------------------------------------------------------------
 */

int saved_track(struct machine *m, struct err *e)
{
	const uint64_t words = guest_mem_words(&m->mem);

	m->written = calloc(words, sizeof(m->written[0]));
	if (!m->fresh)
		m->fresh = calloc(words, sizeof(m->fresh[0]));
	if (!m->written || !m->fresh || guest_mem_track(&m->mem, true))
		return err_set(e, -ENOMEM, "no memory for a log of pages");
	m->is_tracked = true;
	return 0;
}

/* Takes a word of a set into all that want it. */
static void take_word(struct machine *m, uint64_t i, uint64_t bits)
{
	m->written[i] |= bits;
	if (m->since_mark)
		m->since_mark[i] |= bits;
	if (m->since_copy)
		m->since_copy[i] |= bits;
}

int saved_gather_guest(struct machine *m, struct err *e)
{
	const uint64_t words = guest_mem_words(&m->mem);
	uint64_t *fresh = m->fresh;
	uint64_t i;
	int rc;

	memset(fresh, 0, words * sizeof(*fresh));
	rc = vm_take_written(&m->vm, &m->mem, fresh, e);
	/* Also where it fails: KVM has forgotten what it told. */
	for (i = 0; i < words; i++)
		if (fresh[i])
			take_word(m, i, fresh[i]);
	return rc;
}

int saved_gather(struct machine *m, struct err *e)
{
	const uint64_t words = guest_mem_words(&m->mem);
	uint64_t i;
	int rc = saved_gather_guest(m, e);

	for (i = 0; i < words; i++)
		if (m->mem.written[i])
			take_word(m, i,
				  __atomic_exchange_n(&m->mem.written[i], 0,
						      __ATOMIC_RELAXED));
	return rc;
}

static int write_diff(struct machine *m, int fd, uint64_t offset,
		      struct image_figures *figures, struct err *e)
{
	uint64_t *touched;
	int rc;

	if (m->is_tracked)
		return image_write_pages(&m->mem, m->written, fd, offset,
					 figures, e);
	touched = calloc(guest_mem_words(&m->mem), sizeof(*touched));
	if (!touched)
		return err_set(e, -ENOMEM, "no memory for a log of pages");
	rc = image_touched(&m->mem, touched, e);
	if (!rc)
		rc = image_write_pages(&m->mem, touched, fd, offset, figures,
				       e);
	free(touched);
	return rc;
}

int machine_write_image(struct machine *m, enum machine_image kind, int fd,
			uint64_t offset, struct image_figures *figures,
			struct err *e)
{
	int rc = m->is_tracked ? saved_gather(m, e) : 0;

	if (rc)
		return rc;
	if (kind == MACHINE_IMAGE_DIFF)
		return write_diff(m, fd, offset, figures, e);
	return image_write(&m->mem, fd, offset, figures, e);
}

void machine_image_kept(struct machine *m)
{
	if (m->is_tracked)
		memset(m->written, 0,
		       guest_mem_words(&m->mem) * sizeof(m->written[0]));
}

uint64_t machine_memory(const struct machine *m)
{
	return m->mem.size;
}
