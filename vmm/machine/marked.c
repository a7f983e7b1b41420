/*
 * Back to a moment, in place: the machine that was loaded goes back to its
 * load, one that was marked to its mark. Nothing is made anew, so that it takes
 * as long as what changed: pages are copied back, then devices, interrupt
 * controller and vCPUs are told what they were, as by a load.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/machine/parts.h"
#include "vmm/machine/saved.h"
#include "vmm/mem/image.h"
#include "vmm/mem/mark.h"

static size_t bytes_of(const struct machine *m)
{
	return guest_mem_words(&m->mem) * sizeof(uint64_t);
}

/*
 * From here on pages that are written are known. Where nobody has noted them so
 * far, the next diff has all that may have been: so this comes before what they
 * are is forgotten.
 */
static int track(struct machine *m, struct err *e)
{
	int rc;

	if (m->is_tracked)
		return saved_gather(m, e);
	rc = vm_log_writes(&m->vm, &m->mem, true, e);
	rc = rc ? rc : saved_track(m, e);
	return rc ? rc : image_touched(&m->mem, m->written, e);
}

static uint64_t *new_log(const struct machine *m, struct err *e)
{
	uint64_t *log = calloc(1, bytes_of(m));

	if (!log)
		err_set(e, -ENOMEM, "no memory for a log of pages");
	return log;
}

int machine_mark(struct machine *m, const struct state *s, struct err *e)
{
	uint64_t *log = new_log(m, e);
	int rc = log ? track(m, e) : -ENOMEM;

	rc = rc ? rc : mark_set(&m->mem, e);
	if (rc) {
		free(log);
		return rc;
	}
	free(m->since_mark);
	m->since_mark = log;
	m->marked = s;
	return 0;
}

void machine_mark_loaded(struct machine *m, const struct state *s)
{
	m->marked = s;
}

static int reset_memory(struct machine *m, struct err *e)
{
	size_t i;
	int rc;

	/* A first reset of one that was loaded: all may have been written. */
	if (!m->since_mark) {
		rc = track(m, e);
		if (rc)
			return rc;
		m->since_mark = new_log(m, e);
		return m->since_mark ? mark_reset_all(&m->mem, e) : -ENOMEM;
	}
	rc = saved_gather(m, e);
	rc = rc ? rc : mark_reset(&m->mem, m->since_mark, e);
	if (rc)
		return rc;
	/* What goes back is written once more, for the next diff. */
	for (i = 0; i < guest_mem_words(&m->mem); i++)
		m->written[i] |= m->since_mark[i];
	memset(m->since_mark, 0, bytes_of(m));
	return 0;
}

static int reset_vcpus(struct machine *m, struct err *e)
{
	uint32_t i;
	int rc = 0;

	for (i = 0; i < m->config.vcpus && !rc; i++) {
		struct vcpu *vcpu = cpus_held(m->cpus, i);

		/* What its last write began has been forgotten. */
		vcpu->unsettled = NULL;
		rc = saved_load_vcpu(m, vcpu, e);
	}
	return rc;
}

int machine_renew(struct machine *m, bool clock_realtime, struct err *e)
{
	int rc;

	arch_follow_clock(m->arch, clock_realtime);
	m->state = m->marked;
	rc = saved_load_clock(m, e);
	rc = rc ? rc : saved_load_platform(m, e);
	rc = rc ? rc : reset_vcpus(m, e);
	m->state = NULL;
	return rc;
}

int machine_reset(struct machine *m, struct err *e)
{
	int rc;

	if (!m->marked)
		return err_set(e, -EPERM,
			       "there is nothing to reset to: this microVM was "
			       "neither loaded from a file nor marked");
	if (m->mem.kind != GUEST_MEM_FILE)
		return err_set(e, -EOPNOTSUPP,
			       "a handler has this microVM's memory; mark it "
			       "to reset it");
	rc = machine_quiet(m, e);
	if (rc)
		return rc;
	m->state = m->marked;
	rc = saved_load_clock(m, e);
	rc = rc ? rc : reset_memory(m, e);
	rc = rc ? rc : saved_load(m, e);
	rc = rc ? rc : reset_vcpus(m, e);
	m->state = NULL;
	if (!rc)
		return 0;
	/* It is neither here nor there: no code of KVM's is a refusal. */
	if (e)
		e->code = -EIO;
	return -EIO;
}
