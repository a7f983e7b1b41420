/*
 * What KVM keeps of a vCPU and of the VM's clocks, in and out. The order of the
 * calls is theirs who wrote KVM (Documentation/virt/kvm/api.rst): the run state
 * first when saving, for asking settles what INIT and SIPI left pending; CPUID
 * before all, which arch_vcpu_init() has done; the APIC base (SREGS) before the
 * local APIC, that before the deadline of its timer, and what was about to be
 * injected last.
 *
 * TSC. Writing the MSR lets vCPUs drift apart, so where KVM has it (Linux 5.16)
 * the offset to the host's is what is kept: it moves by as much as the host's
 * has since the save, the same for all, and so the guest's goes on where it
 * was. The clocks of the guest don't count the time between.
 *
 * Registers. KVM_RUN takes some along (KVM_CAP_SYNC_REGS), so a vCPU that has
 * run and goes back gets those without calls, each of which has KVM load and
 * put away all of the vCPU. Until it runs they are ours, and who saves it has
 * KVM take them.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86_64/x86.h"

enum { MSRS_MAX = 1024, MSRS_AT_ONCE = 64, XSAVE_BYTES_MAX = 1 << 20 };

/* What of a vCPU KVM_RUN takes along. */
#define SYNCED (KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS)

/* MSRs that are not taken as they come; Intel SDM vol. 4. */
#define MSR_TSC		 0x10U
#define MSR_TSC_DEADLINE 0x6e0U
#define RFLAGS_IF	 (1ULL << 9)
/* Intel SDM vol. 3, 11.11; the delivery mode is the local APIC's own. */
#define MSI_ADDRESS	0xfee00000U
#define MSI_REMOTE_READ (3U << 8)
/* KVM's own (Documentation/virt/kvm/x86/msr.rst). */
#define MSR_KVM_FIRST 0x4b564d00U
#define MSR_KVM_LAST  0x4b564dffU

struct msr_list {
	uint32_t count; /* laid out as struct kvm_msr_list */
	uint32_t indices[MSRS_MAX];
};

union msr_batch {
	struct kvm_msrs head;
	uint8_t room[sizeof(struct kvm_msrs) +
		     MSRS_AT_ONCE * sizeof(struct kvm_msr_entry)];
};

/* Of the save; from a load on it is the difference to the load's. */
void arch_visit_clock(struct arch *a, struct visitor *v)
{
	uint64_t then;

	a->host_tsc = __builtin_ia32_rdtsc();
	then = a->host_tsc;
	visit_u64(v, &then);
	if (v->is_loading)
		a->tsc_shift = then - a->host_tsc;
}

_Static_assert(offsetof(struct kvm_sregs2, flags) ==
		       offsetof(struct kvm_sregs, interrupt_bitmap),
	       "what both structs have must be the same");

void arch_visit_model(struct arch *a, struct visitor *v)
{
	struct cpuid *c = a->cpuid;
	uint32_t i;

	if (v->is_loading) {
		free(a->wanted);
		c = a->wanted = calloc(1, sizeof(*a->wanted));
		if (!c) {
			visit_fail(v, -ENOMEM, "no memory for a CPU model");
			return;
		}
	}
	arch_visit_clock(a, v);
	visit_u32(v, &c->count);
	if (!visit_check(v, c->count <= CPUID_ENTRIES_MAX,
			 "a CPU model of %u entries", c->count)) {
		c->count = 0;
		return;
	}
	for (i = 0; i < c->count; i++) {
		struct kvm_cpuid_entry2 *x = &c->entries[i];

		visit_u32(v, &x->function);
		visit_u32(v, &x->index);
		visit_u32(v, &x->flags);
		visit_u32(v, &x->eax);
		visit_u32(v, &x->ebx);
		visit_u32(v, &x->ecx);
		visit_u32(v, &x->edx);
	}
}

static void visit_clock(struct arch *a, struct visitor *v)
{
	struct kvm_clock_data clock = {0};

	if (!v->is_loading && ioctl(a->vm->fd, KVM_GET_CLOCK, &clock))
		visit_fail(v, -errno, "KVM_GET_CLOCK: %s", strerror(errno));
	if (!(clock.flags & KVM_CLOCK_REALTIME))
		clock.realtime = 0;
	visit_u64(v, (uint64_t *)&clock.clock);
	visit_u64(v, (uint64_t *)&clock.realtime);
	if (!v->is_loading || v->rc)
		return;
	clock.flags = a->topology.clock_realtime && clock.realtime
			      ? KVM_CLOCK_REALTIME
			      : 0;
	if (ioctl(a->vm->fd, KVM_SET_CLOCK, &clock))
		visit_fail(v, -errno, "KVM_SET_CLOCK: %s", strerror(errno));
}

void arch_follow_clock(struct arch *a, bool clock_realtime)
{
	a->topology.clock_realtime = clock_realtime;
}

void arch_visit_platform(struct arch *a, struct visitor *v)
{
	ioapic_visit(&a->ioapic, v);
	visit_clock(a, v);
}

static void set_by_call(const struct vcpu *vcpu, struct visitor *v,
			const void *data, unsigned long call, const char *what)
{
	if (!v->rc && ioctl(vcpu->fd, call, data) < 0)
		visit_fail(v, -errno, "KVM refuses the %s of vCPU %u: %s", what,
			   vcpu->id, strerror(errno));
}

/* One struct of KVM's, by one call each way. */
static void visit_call(struct vcpu *vcpu, struct visitor *v, void *data,
		       size_t size, unsigned long get, unsigned long set,
		       const char *what)
{
	if (!v->is_loading && !v->rc && ioctl(vcpu->fd, get, data) < 0)
		visit_fail(v, -errno, "KVM does not tell the %s of vCPU %u: %s",
			   what, vcpu->id, strerror(errno));
	visit_bytes(v, data, size);
	if (v->is_loading)
		set_by_call(vcpu, v, data, set, what);
}

/* The same for what a vCPU that does not run keeps as it was loaded. */
static void visit_kept(struct vcpu *vcpu, struct visitor *v, void *data,
		       size_t size, unsigned long get, unsigned long set,
		       const char *what)
{
	if (v->is_loading && vcpu->is_loaded)
		visit_bytes(v, data, size);
	else
		visit_call(vcpu, v, data, size, get, set, what);
}

/* As large as the processor's features make it (Linux 5.17). */
static void visit_xsave(const struct arch *a, struct vcpu *vcpu,
			struct visitor *v)
{
	const int cap = ioctl(a->vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
	const bool has_2 = cap > (int)sizeof(struct kvm_xsave);
	const uint32_t own = has_2 ? (uint32_t)cap
				   : (uint32_t)sizeof(struct kvm_xsave);
	uint32_t size = own;
	uint8_t *data;

	visit_u32(v, &size);
	if (!visit_check(v, size <= XSAVE_BYTES_MAX && size <= own,
			 "vCPU %u has %u bytes of XSAVE state, and this host's "
			 "KVM takes %u",
			 vcpu->id, size, own))
		return;
	data = calloc(1, own);
	if (data)
		visit_kept(vcpu, v, data, size,
			   has_2 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE,
			   KVM_SET_XSAVE, "XSAVE state");
	else
		visit_fail(v, -ENOMEM, "no memory for XSAVE state");
	free(data);
}

static bool list_msrs(const struct arch *a, struct msr_list *list,
		      struct visitor *v)
{
	list->count = MSRS_MAX;
	if (!ioctl(a->kvm->fd, KVM_GET_MSR_INDEX_LIST, list))
		return true;
	visit_fail(v, -errno, "KVM_GET_MSR_INDEX_LIST: %s", strerror(errno));
	return false;
}

/*
 * Reads those of the list that this guest has: KVM lists what it knows, and
 * stops at one that the CPU model leaves out.
 */
static uint32_t read_msrs(const struct vcpu *vcpu, const struct msr_list *list,
			  struct kvm_msr_entry *out)
{
	union msr_batch batch;
	uint32_t at = 0, count = 0, i, n;
	int got;

	while (at < list->count) {
		n = list->count - at < MSRS_AT_ONCE ? list->count - at
						    : MSRS_AT_ONCE;
		memset(&batch, 0, sizeof(batch));
		batch.head.nmsrs = n;
		for (i = 0; i < n; i++)
			batch.head.entries[i].index = list->indices[at + i];
		got = ioctl(vcpu->fd, KVM_GET_MSRS, &batch);
		if (got < 0)
			got = 0;
		memcpy(&out[count], batch.head.entries,
		       (size_t)got * sizeof(out[0]));
		count += (uint32_t)got;
		/* The next one is what it stopped at. */
		at += (uint32_t)got + ((uint32_t)got < n);
	}
	return count;
}

/* Where the same KVM wrote it, it stands at or behind hint. */
static bool is_listed(const struct msr_list *list, uint32_t index,
		      uint32_t *hint)
{
	uint32_t i;

	if (index >= MSR_KVM_FIRST && index <= MSR_KVM_LAST)
		return true;
	while (*hint < list->count)
		if (list->indices[(*hint)++] == index)
			return true;
	for (i = 0; i < list->count; i++)
		if (list->indices[i] == index)
			return true;
	return false;
}

/* One that is 0 and that KVM doesn't take is one the guest never had. */
static void write_msrs(const struct vcpu *vcpu,
		       const struct kvm_msr_entry *msrs, uint32_t count,
		       struct visitor *v)
{
	union msr_batch batch;
	uint32_t at = 0, n;
	int set;

	while (at < count && !v->rc) {
		n = count - at < MSRS_AT_ONCE ? count - at : MSRS_AT_ONCE;
		memset(&batch, 0, sizeof(batch));
		batch.head.nmsrs = n;
		memcpy(batch.head.entries, &msrs[at], n * sizeof(msrs[0]));
		set = ioctl(vcpu->fd, KVM_SET_MSRS, &batch);
		if (set < 0)
			set = 0;
		at += (uint32_t)set;
		if ((uint32_t)set == n)
			continue;
		visit_check(v, msrs[at].data == 0,
			    "KVM refuses 0x%llx for MSR 0x%x of vCPU %u; load "
			    "it on a host like the one it was saved on",
			    msrs[at].data, msrs[at].index, vcpu->id);
		at++;
	}
}

static int tsc_offset(const struct vcpu *vcpu, unsigned long call,
		      uint64_t *offset)
{
	const struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uintptr_t)offset,
	};

	return ioctl(vcpu->fd, call, &attr);
}

/*
 * KVM scales where the processor can. What clocks of one make differ by, they
 * differ by anyway (250 parts in a million, as other monitors have it).
 */
static void match_tsc_khz(const struct arch *a, struct vcpu *vcpu,
			  uint32_t wanted, struct visitor *v)
{
	const uint32_t khz = vcpu->clock_khz;
	const int64_t apart = (int64_t)khz - (int64_t)wanted;
	struct err e;

	if (!khz || !wanted ||
	    (apart < 0 ? -apart : apart) * 1000000 / wanted <= 250)
		return;
	if (ioctl(vcpu->fd, KVM_SET_TSC_KHZ, wanted))
		visit_fail(v, -ENOTSUP,
			   "the guest's TSC runs at %u kHz, this host's at %u, "
			   "and this processor doesn't scale it; load it on a "
			   "host of the same speed",
			   wanted, khz);
	else if (cpuid_set(a->cpuid, vcpu, &e))
		visit_fail(v, e.code, "%s", e.text);
	vcpu->is_clock_scaled = true;
}

struct msrs {
	struct kvm_msr_entry entries[MSRS_MAX];
	uint32_t count;
	uint64_t tsc;
	uint64_t deadline;
	bool has_deadline;
};

static void visit_msr_values(const struct msr_list *list, struct msrs *m,
			     struct visitor *v)
{
	uint32_t i, hint = 0;

	visit_u32(v, &m->count);
	if (!visit_check(v, m->count <= MSRS_MAX, "%u MSRs", m->count)) {
		m->count = 0;
		return;
	}
	for (i = 0; i < m->count; i++) {
		uint32_t index = v->is_loading ? 0 : m->entries[i].index;
		uint64_t data = v->is_loading ? 0 : m->entries[i].data;

		visit_u32(v, &index);
		visit_u64(v, &data);
		m->entries[i] =
			(struct kvm_msr_entry){.index = index, .data = data};
		visit_check(v, is_listed(list, m->entries[i].index, &hint),
			    "this host's KVM has no MSR 0x%x, which the guest "
			    "has; load it on a host like the one it was saved "
			    "on",
			    m->entries[i].index);
	}
}

static void take_deadline(struct msrs *m, uint64_t deadline)
{
	m->deadline = deadline;
	m->has_deadline = true;
}

/* Takes the ones with an order of their own out of the rest. */
static void pick_clocks(struct msrs *m)
{
	uint32_t i, kept = 0;

	for (i = 0; i < m->count; i++) {
		if (m->entries[i].index == MSR_TSC)
			m->tsc = m->entries[i].data;
		else if (m->entries[i].index == MSR_TSC_DEADLINE)
			take_deadline(m, m->entries[i].data);
		else
			m->entries[kept++] = m->entries[i];
	}
	m->count = kept;
}

/* TSC first, since others count by it, and the timer's deadline last. */
static void load_msrs(const struct arch *a, struct vcpu *vcpu, struct msrs *m,
		      uint64_t offset, bool has_offset, struct visitor *v)
{
	const struct kvm_msr_entry tsc = {.index = MSR_TSC, .data = m->tsc};

	offset += a->tsc_shift;
	if (!has_offset || tsc_offset(vcpu, KVM_SET_DEVICE_ATTR, &offset))
		write_msrs(vcpu, &tsc, 1, v);
	/*
	 * KVM tells 0 of a deadline that has passed and whose interrupt is not
	 * yet in the local APIC; a timer that was off takes one that fires at
	 * once for a doubled one at worst.
	 */
	if (m->has_deadline)
		m->entries[m->count++] = (struct kvm_msr_entry){
			.index = MSR_TSC_DEADLINE,
			.data = m->deadline ? m->deadline : m->tsc,
		};
	write_msrs(vcpu, m->entries, m->count, v);
}

static void visit_listed(const struct arch *a, struct vcpu *vcpu,
			 struct msr_list *list, struct msrs *m,
			 struct visitor *v)
{
	uint32_t tsc_khz = vcpu->clock_khz;
	uint64_t offset = 0;
	bool has_offset = !v->is_loading && !vcpu->is_clock_scaled &&
			  !tsc_offset(vcpu, KVM_GET_DEVICE_ATTR, &offset);

	visit_u32(v, &tsc_khz);
	visit_bool(v, &has_offset);
	visit_u64(v, &offset);
	if (v->rc || !list_msrs(a, list, v))
		return;
	if (!v->is_loading)
		m->count = read_msrs(vcpu, list, m->entries);
	visit_msr_values(list, m, v);
	if (!v->is_loading || v->rc)
		return;
	pick_clocks(m);
	match_tsc_khz(a, vcpu, tsc_khz, v);
	load_msrs(a, vcpu, m, offset, has_offset && !vcpu->is_clock_scaled, v);
}

static void visit_msrs(const struct arch *a, struct vcpu *vcpu,
		       struct visitor *v)
{
	struct msr_list *list = malloc(sizeof(*list));
	struct msrs *m = malloc(sizeof(*m));

	/* Its entries are many, and few of them are used: not cleared. */
	if (m)
		memset(&m->count, 0, sizeof(*m) - offsetof(struct msrs, count));
	if (list && m)
		visit_listed(a, vcpu, list, m, v);
	else
		visit_fail(v, -ENOMEM, "no memory for MSRs");
	free(m);
	free(list);
}

/*
 * Whether the next KVM_RUN may take registers along. One that waits for an INIT
 * gets others by that, and would have these after. One that has never run has a
 * page in which KVM has written nothing.
 */
static bool takes_along(const struct arch *a, const struct vcpu *vcpu,
			const struct kvm_mp_state *mp)
{
	const int can =
		ioctl(a->vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS);

	return (can & SYNCED) == SYNCED && vcpu->run->apic_base &&
	       mp->mp_state != KVM_MP_STATE_UNINITIALIZED;
}

/*
 * The older struct has no PDPTRs, and what has them goes by calls; so does what
 * turns the local APIC to its other mode, which comes before its registers.
 */
static void load_along(struct vcpu *vcpu, struct kvm_regs *regs,
		       struct visitor *v)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_sregs2 sregs;

	visit_bytes(v, regs, sizeof(*regs));
	visit_bytes(v, &sregs, sizeof(sregs));
	if (v->rc)
		return;
	if (sregs.flags || sregs.apic_base != run->apic_base) {
		set_by_call(vcpu, v, regs, KVM_SET_REGS, "registers");
		set_by_call(vcpu, v, &sregs, KVM_SET_SREGS2,
			    "system registers");
		return;
	}
	run->s.regs.regs = *regs;
	memset(&run->s.regs.sregs, 0, sizeof(run->s.regs.sregs));
	memcpy(&run->s.regs.sregs, &sregs, offsetof(struct kvm_sregs2, flags));
	run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
}

/* It has not run since: KVM gets what it was to take along. */
static void give_along(struct vcpu *vcpu, struct visitor *v)
{
	struct kvm_run *run = vcpu->run;
	struct kvm_sregs2 sregs = {0};

	memcpy(&sregs, &run->s.regs.sregs, offsetof(struct kvm_sregs2, flags));
	set_by_call(vcpu, v, &run->s.regs.regs, KVM_SET_REGS, "registers");
	set_by_call(vcpu, v, &sregs, KVM_SET_SREGS2, "system registers");
	set_by_call(vcpu, v, &run->s.regs.events, KVM_SET_VCPU_EVENTS,
		    "pending events");
	run->kvm_dirty_regs = 0;
}

static void visit_registers(const struct arch *a, struct vcpu *vcpu,
			    const struct kvm_mp_state *mp,
			    struct kvm_regs *regs, struct visitor *v)
{
	struct kvm_sregs2 sregs;

	if (v->is_loading && !vcpu->is_loaded && takes_along(a, vcpu, mp)) {
		load_along(vcpu, regs, v);
		return;
	}
	visit_kept(vcpu, v, regs, sizeof(*regs), KVM_GET_REGS, KVM_SET_REGS,
		   "registers");
	visit_kept(vcpu, v, &sregs, sizeof(sregs), KVM_GET_SREGS2,
		   KVM_SET_SREGS2, "system registers");
}

static void visit_events(struct vcpu *vcpu, struct visitor *v)
{
	struct kvm_vcpu_events events;

	if (!vcpu->run->kvm_dirty_regs) {
		visit_call(vcpu, v, &events, sizeof(events),
			   KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS,
			   "pending events");
		return;
	}
	visit_bytes(v, &vcpu->run->s.regs.events, sizeof(events));
	vcpu->run->kvm_dirty_regs |= KVM_SYNC_X86_EVENTS;
}

/*
 * That another has kicked a vCPU (KVM_HC_KICK_CPU, which locks of Linux wait
 * for), KVM keeps for its next HLT, and tells of it only from there on. Who was
 * saved between the last look at the lock and that HLT, interrupts off, would
 * sleep for ever. So one that may have been is kicked: at worst a HLT ends at
 * once, and whoever waits for a kick looks what it was for. The hypercall sends
 * a remote read, and so does an MSI of that delivery mode. An APIC that is off
 * takes none, and has had none.
 */
static void kick_again(const struct arch *a, const struct vcpu *vcpu,
		       const struct kvm_mp_state *mp,
		       const struct kvm_regs *regs)
{
	const struct kvm_msi kick = {
		.address_lo = MSI_ADDRESS | vcpu->id << 12,
		.data = MSI_REMOTE_READ,
	};

	if (mp->mp_state == KVM_MP_STATE_RUNNABLE &&
	    !(regs->rflags & RFLAGS_IF))
		(void)ioctl(a->vm->fd, KVM_SIGNAL_MSI, &kick);
}

void arch_visit_vcpu(struct arch *a, struct vcpu *vcpu, struct visitor *v)
{
	struct kvm_mp_state mp;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debug;
	struct kvm_lapic_state lapic;
	struct kvm_regs regs;

	if (!v->is_loading && vcpu->run->kvm_dirty_regs)
		give_along(vcpu, v);
	else if (!vcpu->is_loaded)
		vcpu->run->kvm_dirty_regs = 0;
	visit_kept(vcpu, v, &mp, sizeof(mp), KVM_GET_MP_STATE, KVM_SET_MP_STATE,
		   "run state");
	visit_registers(a, vcpu, &mp, &regs, v);
	visit_xsave(a, vcpu, v);
	visit_kept(vcpu, v, &xcrs, sizeof(xcrs), KVM_GET_XCRS, KVM_SET_XCRS,
		   "extended control registers");
	visit_kept(vcpu, v, &debug, sizeof(debug), KVM_GET_DEBUGREGS,
		   KVM_SET_DEBUGREGS, "debug registers");
	visit_call(vcpu, v, &lapic, sizeof(lapic), KVM_GET_LAPIC, KVM_SET_LAPIC,
		   "local APIC");
	visit_msrs(a, vcpu, v);
	visit_events(vcpu, v);
	vcpu->is_loaded = v->is_loading && !v->rc;
	if (vcpu->is_loaded)
		kick_again(a, vcpu, &mp, &regs);
}
