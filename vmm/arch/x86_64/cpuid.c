/*
 * The CPU model: KVM's supported set, corrected. KVM reports what it can
 * virtualise; it does not know how many vCPUs we make, how they share cores,
 * or which of its features need more of us than a bit.
 *
 * Leaf numbers and fields: Intel SDM vol. 2, CPUID; AMD APM vol. 3, E.4;
 * Documentation/virt/kvm/x86/cpuid.rst.
 */
#include "vmm/arch/x86_64/cpuid.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86_64/template.h"

enum {
	LEAF_FEATURES = 0x1,
	LEAF_CACHES = 0x4,
	LEAF_POWER = 0x6,
	LEAF_MORE = 0x7,
	LEAF_PERFMON = 0xa,
	LEAF_TOPOLOGY = 0xb,
	LEAF_TRACE = 0x14,
	LEAF_LBR = 0x1c,
	LEAF_TOPOLOGY_V2 = 0x1f,
	LEAF_PERFMON_V2 = 0x23,
};

#define LEAF_KVM	  0x40000000U
#define LEAF_TIMING	  0x40000010U
#define LEAF_AMD_FEATURES 0x80000001U
#define LEAF_AMD_SIZES	  0x80000008U
#define LEAF_AMD_SVM	  0x8000000aU
#define LEAF_AMD_CACHES	  0x8000001dU
#define LEAF_AMD_TOPOLOGY 0x8000001eU
#define LEAF_AMD_IBS	  0x8000001bU
#define LEAF_AMD_PERFMON  0x80000022U

#define ECX_VMX		   (1U << 5)
#define ECX_TSC_DEADLINE   (1U << 24)
#define ECX_HYPERVISOR	   (1U << 31)
#define EDX_HTT		   (1U << 28)
#define EAX_ARAT	   (1U << 2)
#define AMD_ECX_SVM	   (1U << 2)
#define AMD_ECX_CMP_LEGACY (1U << 1)

/*
 * The PMU and what belongs to it: DTES64, DS_CPL, PDCM and DS; Intel PT; arch
 * LBRs; the architectural leaf's second form. AMD: IBS, and the counters of
 * core, northbridge and last-level cache.
 */
#define ECX_PMU		  (1U << 2 | 1U << 4 | 1U << 15)
#define EDX_PMU		  (1U << 21)
#define MORE_EBX_PT	  (1U << 25)
#define MORE_EDX_LBR	  (1U << 19)
#define MORE1_EAX_PERFMON (1U << 8)
#define AMD_ECX_PMU	  (1U << 10 | 1U << 23 | 1U << 24 | 1U << 28)

/* KVM's local APIC timer counts at 1 GHz. */
enum { APIC_BUS_KHZ = 1000000 };

static uint32_t bits_for(uint32_t count)
{
	uint32_t bits = 0;

	while (1U << bits < count)
		bits++;
	return bits;
}

static uint32_t threads_per_core(const struct arch_topology *t)
{
	return t->smt && t->vcpus > 1 ? 2 : 1;
}

static struct kvm_cpuid_entry2 *cpuid_add(struct cpuid *c, uint32_t function,
					  uint32_t index, uint32_t flags)
{
	struct kvm_cpuid_entry2 *x;

	if (c->count == CPUID_ENTRIES_MAX)
		return NULL;
	x = &c->entries[c->count++];
	memset(x, 0, sizeof(*x));
	x->function = function;
	x->index = index;
	x->flags = flags;
	return x;
}

/* Caches of level 1 and 2 belong to a core, the last level to all of them. */
static uint32_t cache_sharing(uint32_t eax, const struct arch_topology *t)
{
	uint32_t level = eax >> 5 & 7;
	uint32_t sharers = level >= 3 ? t->vcpus : threads_per_core(t);

	return (eax & ~(0xfffU << 14)) | (sharers - 1) << 14;
}

static void correct_features(struct kvm_cpuid_entry2 *x,
			     const struct arch_topology *t)
{
	/*
	 * No nested guests: they widen the attack surface, and no snapshot
	 * could carry them.
	 */
	x->ecx &= ~(ECX_VMX | ECX_PMU);
	x->edx &= ~EDX_PMU;
	/* KVM's local APIC has the deadline timer but leaves the bit to us. */
	x->ecx |= ECX_HYPERVISOR | ECX_TSC_DEADLINE;
	x->ebx = (x->ebx & 0x0000ffffU) | (1U << bits_for(t->vcpus)) << 16;
	x->edx = t->vcpus > 1 ? x->edx | EDX_HTT : x->edx & ~EDX_HTT;
}

static void correct_amd(struct kvm_cpuid_entry2 *x,
			const struct arch_topology *t)
{
	switch (x->function) {
	case LEAF_AMD_FEATURES:
		x->ecx &= ~(AMD_ECX_SVM | AMD_ECX_PMU);
		if (t->vcpus == 1)
			x->ecx &= ~AMD_ECX_CMP_LEGACY;
		break;
	case LEAF_AMD_SIZES:
		x->ecx = bits_for(t->vcpus) << 12 | (t->vcpus - 1);
		break;
	case LEAF_AMD_CACHES:
		if (x->eax & 0x1f)
			x->eax = cache_sharing(x->eax, t);
		break;
	case LEAF_AMD_SVM:
	case LEAF_AMD_IBS:
	case LEAF_AMD_PERFMON:
		x->eax = x->ebx = x->ecx = x->edx = 0;
		break;
	default:
		break;
	}
}

static void correct(struct kvm_cpuid_entry2 *x, const struct arch_topology *t)
{
	switch (x->function) {
	case LEAF_FEATURES:
		correct_features(x, t);
		break;
	case LEAF_CACHES:
		if (x->eax & 0x1f)
			x->eax = (cache_sharing(x->eax, t) & 0x03ffffffU) |
				 (t->vcpus / threads_per_core(t) - 1) << 26;
		break;
	case LEAF_POWER:
		/* The APIC timer never stops; no turbo, no energy hints. */
		x->eax &= EAX_ARAT;
		x->ebx = x->ecx = x->edx = 0;
		break;
	case LEAF_MORE:
		if (x->index == 0) {
			x->ebx &= ~MORE_EBX_PT;
			x->edx &= ~MORE_EDX_LBR;
		} else if (x->index == 1) {
			x->eax &= ~MORE1_EAX_PERFMON;
		}
		break;
	case LEAF_PERFMON:
	case LEAF_TRACE:
	case LEAF_LBR:
	case LEAF_PERFMON_V2:
		/* No virtual PMU: nobody measures in here, and probing costs.
		 */
		x->eax = x->ebx = x->ecx = x->edx = 0;
		break;
	case LEAF_KVM:
		if (x->eax < LEAF_TIMING)
			x->eax = LEAF_TIMING;
		break;
	default:
		correct_amd(x, t);
	}
}

/* Extended topology: x2APIC id in edx, shifts and counts of two levels. */
static int add_topology(struct cpuid *c, uint32_t leaf,
			const struct arch_topology *t)
{
	const uint32_t threads = threads_per_core(t);
	struct kvm_cpuid_entry2 *x;
	uint32_t level;

	for (level = 0; level < 3; level++) {
		x = cpuid_add(c, leaf, level, KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
		if (!x)
			return -E2BIG;
		x->ecx = level; /* bits 8 to 15: the kind of level */
		if (level == 0) {
			x->eax = bits_for(threads);
			x->ebx = threads;
			x->ecx |= 1U << 8;
		} else if (level == 1) {
			x->eax = bits_for(t->vcpus);
			x->ebx = t->vcpus;
			x->ecx |= 2U << 8;
		}
	}
	return 0;
}

static bool is_rebuilt(uint32_t function)
{
	return function == LEAF_TOPOLOGY || function == LEAF_TOPOLOGY_V2 ||
	       function == LEAF_TIMING;
}

int cpuid_prepare(struct cpuid *c, const struct kvm *kvm,
		  const struct arch_topology *topology, struct err *e)
{
	bool has_v2;
	uint32_t i, kept = 0;
	int rc;

	/* _Static_assert below: the head of *c is a struct kvm_cpuid2. */
	c->count = CPUID_ENTRIES_MAX;
	if (ioctl(kvm->fd, KVM_GET_SUPPORTED_CPUID, c))
		return err_errno(e, "KVM_GET_SUPPORTED_CPUID");
	has_v2 = c->entries[0].eax >= LEAF_TOPOLOGY_V2;
	for (i = 0; i < c->count; i++) {
		if (is_rebuilt(c->entries[i].function))
			continue;
		correct(&c->entries[i], topology);
		template_apply(&c->entries[i], topology->template);
		c->entries[kept++] = c->entries[i];
	}
	c->count = kept;
	rc = add_topology(c, LEAF_TOPOLOGY, topology);
	if (!rc && has_v2)
		rc = add_topology(c, LEAF_TOPOLOGY_V2, topology);
	if (rc || !cpuid_add(c, LEAF_TIMING, 0, 0))
		return err_set(e, -E2BIG, "KVM's CPUID table is too long");
	return 0;
}

static void personalise(struct kvm_cpuid_entry2 *x, uint32_t id,
			uint32_t threads, uint32_t tsc_khz)
{
	switch (x->function) {
	case LEAF_FEATURES:
		x->ebx = (x->ebx & 0x00ffffffU) | id << 24;
		break;
	case LEAF_TOPOLOGY:
	case LEAF_TOPOLOGY_V2:
		x->edx = id;
		break;
	case LEAF_TIMING:
		x->eax = tsc_khz;
		x->ebx = APIC_BUS_KHZ;
		break;
	case LEAF_AMD_TOPOLOGY:
		x->eax = id;
		x->ebx = (threads - 1) << 8 | id / threads;
		x->ecx = 0;
		break;
	default:
		break;
	}
}

_Static_assert(offsetof(struct cpuid, entries) ==
		       offsetof(struct kvm_cpuid2, entries),
	       "struct cpuid must be passed as struct kvm_cpuid2");

int cpuid_set(const struct cpuid *c, struct vcpu *vcpu, struct err *e)
{
	/* Not on the stack, whose pages would stay the process's for good. */
	struct cpuid *own = malloc(cpuid_bytes(c));
	uint32_t i, threads = 1;
	int tsc_khz, rc = 0;

	if (!own)
		return err_set(e, -ENOMEM, "no memory for a CPU model");
	memcpy(own, c, cpuid_bytes(c));
	tsc_khz = ioctl(vcpu->fd, KVM_GET_TSC_KHZ, 0);
	vcpu->clock_khz = tsc_khz > 0 ? (uint32_t)tsc_khz : 0;
	for (i = 0; i < own->count; i++)
		if (own->entries[i].function == LEAF_TOPOLOGY &&
		    own->entries[i].index == 0)
			threads = own->entries[i].ebx;
	for (i = 0; i < own->count; i++)
		personalise(&own->entries[i], vcpu->id, threads,
			    vcpu->clock_khz);
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, own))
		rc = err_errno(e, "KVM_SET_CPUID2 on vCPU %u", vcpu->id);
	free(own);
	return rc;
}
