/*
 * What KVM keeps of a vCPU and of the VM's counter, in and out
 * (Documentation/virt/kvm/api.rst). A vCPU is its registers by the list that
 * KVM gives of them, which has the timer's, SVE's and what PSCI promised, and
 * its run state, which is PSCI's: on, or off until somebody turns it on.
 *
 * Counter. All vCPUs of a VM have one offset to the host's, so it is the
 * platform's and none of theirs; writing it has the guest's go on where it was.
 * The timers' deadlines are in the guest's time and need nothing.
 *
 * Lengths of SVE's vectors are the model's, for they are chosen before a vCPU
 * is whole; the list has them, and a load may not write them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "vmm/arch/aarch64/arm.h"
#include "vmm/arch/aarch64/register.h"
#include "vmm/arch/host/host.h"

enum { REGISTERS_MAX = 2048, REGISTER_BYTES_MAX = 256 };

#define NS_IN_S 1000000000ULL

/* KVM's number for it is odd by accident, as its documentation says. */
#define COUNTER		 KVM_REG_ARM_TIMER_CNT
#define PHYSICAL_COUNTER KVM_REG_ARM_PTIMER_CNT

struct register_list {
	uint64_t count; /* laid out as struct kvm_reg_list */
	uint64_t ids[REGISTERS_MAX];
};

void arch_visit_clock(struct arch *a, struct visitor *v)
{
	/* The platform's has all of it. */
	(void)a, (void)v;
}

void arch_visit_model(struct arch *a, struct visitor *v)
{
	struct arm_model *m = &a->model;
	unsigned i;

	visit_u32(v, &m->target);
	visit_u32(v, &m->features);
	for (i = 0; i < ARM_SVE_WORDS; i++)
		visit_u64(v, &m->sve_lengths[i]);
	/* Off is what each vCPU's run state says, and no bit of the model's. */
	visit_check(v, !(m->features & 1U << KVM_ARM_VCPU_POWER_OFF),
		    "a CPU model of which all are off");
	if (v->is_loading)
		a->is_loaded = true;
}

void arch_follow_clock(struct arch *a, bool clock_realtime)
{
	a->topology.clock_realtime = clock_realtime;
}

static uint64_t real_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_IN_S + (uint64_t)now.tv_nsec;
}

/* By how much the guest's counter would have gone on in the time between. */
static uint64_t ticks_since(uint64_t then_ns, uint64_t hz)
{
	const uint64_t now_ns = real_ns();
	const uint64_t ns = now_ns > then_ns ? now_ns - then_ns : 0;

	return ns / NS_IN_S * hz + ns % NS_IN_S * hz / NS_IN_S;
}

static void visit_counter(struct arch *a, struct visitor *v)
{
	const uint64_t own_hz = host_counter_hz();
	uint64_t count = 0, hz = own_hz, ns = real_ns();
	int rc = 0;

	if (!v->is_loading)
		rc = register_get(a->vcpus[0], COUNTER, &count);
	visit_u64(v, &count);
	visit_u64(v, &hz);
	visit_u64(v, &ns);
	if (!visit_check(v, hz == own_hz,
			 "the guest's counter runs at %llu Hz and this host's "
			 "at %llu; load it on a host of the same speed",
			 (unsigned long long)hz, (unsigned long long)own_hz))
		return;
	if (v->is_loading && a->topology.clock_realtime)
		count += ticks_since(ns, hz);
	if (v->is_loading && !v->rc)
		rc = register_set(a->vcpus[0], COUNTER, count);
	if (rc)
		visit_fail(v, rc, "KVM refuses the guest's counter: %s",
			   strerror(-rc));
}

void arch_visit_platform(struct arch *a, struct visitor *v)
{
	gic_visit(&a->gic, v);
	visit_counter(a, v);
}

/* ---- vCPUs ----------------------------------------------------------------
 */

static bool list_registers(const struct vcpu *vcpu, struct register_list *list,
			   struct visitor *v)
{
	uint64_t i, kept = 0;

	list->count = REGISTERS_MAX;
	if (ioctl(vcpu->fd, KVM_GET_REG_LIST, list)) {
		visit_fail(v, -errno, "KVM_GET_REG_LIST on vCPU %u: %s",
			   vcpu->id, strerror(errno));
		return false;
	}
	for (i = 0; i < list->count; i++)
		if (list->ids[i] != COUNTER &&
		    list->ids[i] != PHYSICAL_COUNTER &&
		    list->ids[i] != KVM_REG_ARM64_SVE_VLS)
			list->ids[kept++] = list->ids[i];
	list->count = kept;
	return true;
}

static size_t bytes_of(uint64_t id)
{
	return 1U << ((id & KVM_REG_SIZE_MASK) >> KVM_REG_SIZE_SHIFT);
}

static int move(const struct vcpu *vcpu, unsigned long call, uint64_t id,
		void *data)
{
	const struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)data};

	return ioctl(vcpu->fd, call, &reg) ? -errno : 0;
}

/* Where the same KVM wrote it, it stands at or behind hint. */
static bool is_listed(const struct register_list *list, uint64_t id,
		      uint64_t *hint)
{
	uint64_t i;

	while (*hint < list->count)
		if (list->ids[(*hint)++] == id)
			return true;
	for (i = 0; i < list->count; i++)
		if (list->ids[i] == id)
			return true;
	return false;
}

/* One that can't be written, and says what it should, is no failure. */
static void load_register(const struct vcpu *vcpu, uint64_t id, uint8_t *data,
			  size_t len, struct visitor *v)
{
	uint8_t own[REGISTER_BYTES_MAX];
	uint64_t value = 0;
	int rc = v->rc ? 0 : move(vcpu, KVM_SET_ONE_REG, id, data);

	if (!rc ||
	    (!move(vcpu, KVM_GET_ONE_REG, id, own) && !memcmp(own, data, len)))
		return;
	memcpy(&value, data, len < sizeof(value) ? len : sizeof(value));
	visit_fail(v, rc,
		   "KVM refuses 0x%llx for register 0x%llx of vCPU %u (%s); "
		   "load it on a host like the one it was saved on",
		   (unsigned long long)value, (unsigned long long)id, vcpu->id,
		   strerror(-rc));
}

static void visit_register(const struct vcpu *vcpu,
			   const struct register_list *list, uint64_t id,
			   uint64_t *hint, struct visitor *v)
{
	uint8_t data[REGISTER_BYTES_MAX] = {0};
	int rc = 0;

	visit_u64(v, &id);
	if (v->is_loading &&
	    !visit_check(v,
			 bytes_of(id) <= sizeof(data) &&
				 is_listed(list, id, hint),
			 "this host's KVM has no register 0x%llx, which the "
			 "guest has; load it on a host like the one it was "
			 "saved on",
			 (unsigned long long)id))
		return;
	if (!v->is_loading)
		rc = move(vcpu, KVM_GET_ONE_REG, id, data);
	if (rc)
		visit_fail(v, rc, "KVM does not tell register 0x%llx: %s",
			   (unsigned long long)id, strerror(-rc));
	visit_bytes(v, data, bytes_of(id));
	if (v->is_loading)
		load_register(vcpu, id, data, bytes_of(id), v);
}

static void visit_registers(const struct vcpu *vcpu, struct register_list *list,
			    struct visitor *v)
{
	uint64_t hint = 0;
	uint32_t count, i;

	if (!list_registers(vcpu, list, v))
		return;
	count = (uint32_t)list->count;
	visit_u32(v, &count);
	if (!visit_check(v, count <= REGISTERS_MAX, "%u registers", count))
		return;
	for (i = 0; i < count && !v->rc; i++)
		visit_register(vcpu, list, v->is_loading ? 0 : list->ids[i],
			       &hint, v);
}

/* One struct of KVM's, by one call each way. */
static void visit_call(const struct vcpu *vcpu, struct visitor *v, void *data,
		       size_t size, unsigned long get, unsigned long set,
		       const char *what)
{
	if (!v->is_loading && !v->rc && ioctl(vcpu->fd, get, data) < 0)
		visit_fail(v, -errno, "KVM does not tell the %s of vCPU %u: %s",
			   what, vcpu->id, strerror(errno));
	visit_bytes(v, data, size);
	if (v->is_loading && !v->rc && ioctl(vcpu->fd, set, data) < 0)
		visit_fail(v, -errno, "KVM refuses the %s of vCPU %u: %s", what,
			   vcpu->id, strerror(errno));
}

/*
 * Going back: a timer's interrupt that the guest serves just now is one that it
 * never began to serve, and so will not end; and KVM, for whom it stands for
 * one of the host's, leaves it to nobody else (vgic_hw_irq_change_active()). It
 * would be served for ever, and the vCPU's timer be silent. A vCPU that is
 * reset is rid of it (kvm_vgic_reset_mapped_irq()), and all else is loaded
 * after that.
 */
static void forget_timer(struct arch *a, struct vcpu *vcpu, struct visitor *v)
{
	int rc = gic_serves_timer(&a->gic, vcpu->id) ? arm_init_vcpu(a, vcpu)
						     : 0;

	if (rc)
		visit_fail(v, rc, "KVM does not reset vCPU %u: %s", vcpu->id,
			   strerror(-rc));
}

void arch_visit_vcpu(struct arch *a, struct vcpu *vcpu, struct visitor *v)
{
	struct register_list *list = malloc(sizeof(*list));
	struct kvm_mp_state run = {0};
	struct kvm_vcpu_events events = {0};

	if (v->is_loading)
		forget_timer(a, vcpu, v);
	if (list)
		visit_registers(vcpu, list, v);
	else
		visit_fail(v, -ENOMEM, "no memory for registers");
	free(list);
	visit_call(vcpu, v, &events, sizeof(events), KVM_GET_VCPU_EVENTS,
		   KVM_SET_VCPU_EVENTS, "pending events");
	visit_call(vcpu, v, &run, sizeof(run), KVM_GET_MP_STATE,
		   KVM_SET_MP_STATE, "run state");
	vcpu->is_loaded = v->is_loading && !v->rc;
}
