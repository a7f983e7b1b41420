/*
 * x86_64 behind arch.h: where memory and devices go, and which parts of this
 * folder make a VM and its vCPUs.
 */
#include "vmm/arch/x86_64/x86.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/x86_64/entry.h"
#include "vmm/arch/x86_64/features.h"
#include "vmm/arch/x86_64/layout.h"

const char arch_name[] = "x86_64";
const bool arch_waits_for_vcpus = false;
/* KVM has a guest's accesses to memory go through caches, whatever it says. */
const bool arch_shows_registers = true;

/* The wire's default, in the wire's words. */
const char arch_boot_args[] =
	"reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux "
	"i8042.dumbkbd swiotlb=noforce";

#define MSR_MISC_ENABLE	   0x1a0U
#define MISC_FAST_STRINGS  1ULL
#define MSR_MTRR_DEF_TYPE  0x2ffU
#define MTRR_ON_WRITE_BACK 0x806ULL

unsigned arch_ranges(uint64_t mem_bytes,
		     struct guest_range out[GUEST_MEM_REGIONS_MAX])
{
	out[0] = (struct guest_range){.gpa = 0, .size = mem_bytes};
	if (mem_bytes <= LAYOUT_HOLE)
		return 1;
	out[0].size = LAYOUT_HOLE;
	out[1] = (struct guest_range){.gpa = LAYOUT_HOLE_END,
				      .size = mem_bytes - LAYOUT_HOLE};
	return 2;
}

int arch_vm_type(const struct kvm *kvm, uint64_t mem_bytes, unsigned long *type,
		 struct err *e)
{
	(void)kvm, (void)mem_bytes, (void)e;
	*type = 0;
	return 0;
}

bool arch_has(enum arch_kind kind, const struct cmdline *line)
{
	/* It is told by ACPI, so that it is there where ACPI is. */
	if (kind == ARCH_GENERATION)
		return !cmdline_has(line, "acpi=off");
	return kind != ARCH_POWER_KEY; /* there is a keyboard */
}

int arch_new(struct arch **out, const struct kvm *kvm,
	     const struct arch_topology *topology, struct err *e)
{
	struct arch *a = calloc(1, sizeof(*a));

	if (!a)
		return err_set(e, -ENOMEM, "no memory for the platform");
	a->cpuid = calloc(1, offsetof(struct cpuid, entries));
	if (!a->cpuid) {
		free(a);
		return err_set(e, -ENOMEM, "no memory for the platform");
	}
	a->kvm = kvm;
	a->topology = *topology;
	*out = a;
	return 0;
}

int arch_attach(struct arch *a, struct vm *vm, struct bus *mmio,
		struct bus *pio, struct err *e)
{
	a->vm = vm;
	(void)pio; /* the ports of x86 belong to devices alone */
	/*
	 * CPUID alone does not hide it: AMD's first counters have no bit there.
	 * Linux before 5.18 has no such switch.
	 */
	(void)vm_enable(vm, KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE,
			"a switch for the PMU", NULL);
	/* Old Intel CPUs run real mode in a task that KVM keeps there. */
	if (ioctl(vm->fd, KVM_SET_TSS_ADDR, LAYOUT_TSS))
		return err_errno(e, "KVM_SET_TSS_ADDR");
	return ioapic_open(&a->ioapic, vm, mmio, e);
}

void arch_free(struct arch *a)
{
	if (!a)
		return;
	free(a->wanted);
	free(a->cpuid);
	free(a);
}

static unsigned count_kind(const struct arch *a, enum arch_kind kind)
{
	unsigned i, count = 0;

	for (i = 0; i < a->slot_count; i++)
		count += a->slots[i].kind == kind;
	return count;
}

int arch_place(struct arch *a, enum arch_kind kind, struct arch_slot *out,
	       struct err *e)
{
	static const struct arch_slot fixed[] = {
		{ARCH_UART, true, true, LAYOUT_COM1, 8, LAYOUT_GSI_COM1},
		{ARCH_I8042, true, true, LAYOUT_I8042, 5, LAYOUT_GSI_I8042},
		{ARCH_SLEEP, true, false, LAYOUT_SLEEP, 2, 0},
		{ARCH_BOOT_TIMER, false, false, LAYOUT_BOOT_TIMER,
		 LAYOUT_SLOT_SIZE, 0},
		{ARCH_GENERATION, false, true, LAYOUT_GENERATION,
		 LAYOUT_VMCLOCK + LAYOUT_SLOT_SIZE - LAYOUT_GENERATION,
		 LAYOUT_GSI_EVENT},
	};
	const unsigned used = count_kind(a, kind);
	unsigned i;

	if (a->slot_count == ARCH_SLOTS_MAX)
		return err_set(e, -ENOSPC, "no place for more than %d devices",
			       ARCH_SLOTS_MAX);
	if (kind == ARCH_VIRTIO_MMIO) {
		if (used >= LAYOUT_PINS - LAYOUT_GSI_FIRST)
			return err_set(e, -ENOSPC,
				       "no interrupt left: a machine has at "
				       "most %u virtio devices",
				       LAYOUT_PINS - LAYOUT_GSI_FIRST);
		*out = (struct arch_slot){
			.kind = kind,
			.has_irq = true,
			.base = LAYOUT_VIRTIO + used * LAYOUT_SLOT_SIZE,
			.size = LAYOUT_SLOT_SIZE,
			.gsi = LAYOUT_GSI_FIRST + used,
		};
		a->slots[a->slot_count++] = *out;
		return 0;
	}
	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		if (fixed[i].kind != kind || used)
			continue;
		*out = a->slots[a->slot_count++] = fixed[i];
		return 0;
	}
	return err_set(e, -ENODEV, "%s has no place for %s device of kind %d",
		       arch_name, used ? "a second" : "a", (int)kind);
}

struct guest_range arch_virtio_range(unsigned count)
{
	return (struct guest_range){
		.gpa = LAYOUT_VIRTIO,
		.size = count * LAYOUT_SLOT_SIZE,
	};
}

int arch_prepare_cpus(struct arch *a, struct err *e)
{
	/* Most of it is room for what this processor has not. */
	struct cpuid has, *fits;
	int rc = cpuid_prepare(&has, a->kvm, &a->topology, e);

	if (!rc && a->wanted)
		rc = features_check(a->wanted, &has, e);
	if (!rc && a->wanted)
		memcpy(&has, a->wanted, cpuid_bytes(a->wanted));
	free(a->wanted);
	a->wanted = NULL;
	if (rc)
		return rc;
	fits = malloc(cpuid_bytes(&has));
	if (!fits)
		return err_set(e, -ENOMEM, "no memory for a CPU model");
	memcpy(fits, &has, cpuid_bytes(&has));
	free(a->cpuid);
	a->cpuid = fits;
	return 0;
}

/* What firmware would have left behind. */
static int msrs_set(const struct vcpu *vcpu, struct err *e)
{
	/*
	 * Without MTRRs that are on, Linux turns PAT off. Without fast strings
	 * it drops rep movsb.
	 */
	static const struct kvm_msr_entry values[] = {
		{.index = MSR_MTRR_DEF_TYPE, .data = MTRR_ON_WRITE_BACK},
		{.index = MSR_MISC_ENABLE, .data = MISC_FAST_STRINGS},
	};
	enum { COUNT = sizeof(values) / sizeof(values[0]) };
	union {
		struct kvm_msrs head;
		uint8_t room[sizeof(struct kvm_msrs) + sizeof(values)];
	} msrs = {.head.nmsrs = COUNT};
	int set;

	memcpy(msrs.head.entries, values, sizeof(values));
	set = ioctl(vcpu->fd, KVM_SET_MSRS, &msrs);
	if (set < 0)
		return err_errno(e, "KVM_SET_MSRS on vCPU %u", vcpu->id);
	/* It stops at the first it does not take, and no errno says why. */
	if (set < COUNT)
		return err_set(e, -EINVAL,
			       "KVM refused 0x%llx for MSR 0x%x of vCPU %u",
			       values[set].data, values[set].index, vcpu->id);
	return 0;
}

static uint64_t where_of(const struct vcpu *vcpu)
{
	struct kvm_regs regs = {0};

	(void)ioctl(vcpu->fd, KVM_GET_REGS, &regs);
	return regs.rip;
}

int arch_vcpu_init(struct arch *a, struct vcpu *vcpu, struct err *e)
{
	int rc = cpuid_set(a->cpuid, vcpu, e);

	vcpu->where = where_of;
	return rc ? rc : msrs_set(vcpu, e);
}

int arch_vcpus_ready(struct arch *a, const struct guest_mem *mem, struct err *e)
{
	(void)a, (void)mem, (void)e;
	return 0;
}

void arch_vcpu_note_pause(struct vcpu *vcpu)
{
	/* EINVAL: this guest uses no clock of KVM's, and so can't be told. */
	(void)ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0);
}

int arch_vcpu_enter(struct arch *a, struct vcpu *vcpu,
		    const struct boot_entry *entry, struct err *e)
{
	(void)a;
	return entry_set_registers(vcpu, entry, e);
}
