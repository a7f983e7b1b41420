/*
 * aarch64 behind arch.h: where memory and devices go, and which parts of this
 * folder make a VM and its vCPUs.
 */
#include "vmm/arch/aarch64/arm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/arch/aarch64/register.h"

const char arch_name[] = "aarch64";
const bool arch_waits_for_vcpus = true;
/*
 * A guest's mapping as a device's goes past the caches that we write to, but on
 * processors with FEAT_S2FWB, and nothing tells us whether this is one: it
 * would read a status of long ago.
 */
const bool arch_shows_registers = false;

/* The wire's default, in the wire's words, less those for a PC's keyboard. */
const char arch_boot_args[] =
	"reboot=k panic=1 nomodule 8250.nr_uarts=0 swiotlb=noforce";

/* What KVM's type 0 gives a guest, and the least it can be asked for. */
enum { ADDRESS_BITS = 40, ADDRESS_BITS_MIN = 32 };

/* Of the machine's registers, by their offset in struct kvm_regs. */
#define CORE(field)                                            \
	(KVM_REG_ARM64 | KVM_REG_ARM_CORE | KVM_REG_SIZE_U64 | \
	 (offsetof(struct kvm_regs, field) / sizeof(uint32_t)))

#define HAS(model, feature) ((model)->features >> (feature) & 1U)

unsigned arch_ranges(uint64_t mem_bytes,
		     struct guest_range out[GUEST_MEM_REGIONS_MAX])
{
	out[0] = (struct guest_range){.gpa = LAYOUT_RAM, .size = mem_bytes};
	return 1;
}

int arch_vm_type(const struct kvm *kvm, uint64_t mem_bytes, unsigned long *type,
		 struct err *e)
{
	const int cap =
		ioctl(kvm->fd, KVM_CHECK_EXTENSION, KVM_CAP_ARM_VM_IPA_SIZE);
	const unsigned most = cap > 0 ? (unsigned)cap : ADDRESS_BITS;
	unsigned bits = ADDRESS_BITS_MIN;

	while (bits < 64 && LAYOUT_RAM + mem_bytes > 1ULL << bits)
		bits++;
	if (bits > most)
		return err_set(e, -ENOMEM,
			       "this host's processor gives guests %u bits of "
			       "address, and so much memory takes %u; give the "
			       "machine less",
			       most, bits);
	if (bits < ADDRESS_BITS)
		bits = most < ADDRESS_BITS ? most : ADDRESS_BITS;
	*type = bits == ADDRESS_BITS ? 0 : KVM_VM_TYPE_ARM_IPA_SIZE(bits);
	return 0;
}

bool arch_has(enum arch_kind kind, const struct cmdline *line)
{
	(void)line; /* the tree tells all there is */
	return kind != ARCH_I8042 && kind != ARCH_SLEEP;
}

int arch_new(struct arch **out, const struct kvm *kvm,
	     const struct arch_topology *topology, struct err *e)
{
	struct arch *a = calloc(1, sizeof(*a));

	if (!a)
		return err_set(e, -ENOMEM, "no memory for the platform");
	a->kvm = kvm;
	a->topology = *topology;
	*out = a;
	return 0;
}

void arch_free(struct arch *a)
{
	if (!a)
		return;
	if (a->gic.fd > 0)
		gic_close(&a->gic);
	free(a);
}

/* What asks for a vCPU's features needs a VM: see arch_attach(). */
int arch_prepare_cpus(struct arch *a, struct err *e)
{
	(void)a, (void)e;
	return 0;
}

static bool has_cap(const struct vm *vm, int cap)
{
	return ioctl(vm->fd, KVM_CHECK_EXTENSION, cap) > 0;
}

/* All that this host has, but the PMU, which no guest of ours sees. */
static int ask_model(const struct vm *vm, struct arm_model *m, struct err *e)
{
	struct kvm_vcpu_init init = {0};

	if (ioctl(vm->fd, KVM_ARM_PREFERRED_TARGET, &init))
		return err_errno(e, "KVM_ARM_PREFERRED_TARGET");
	m->target = init.target;
	m->features = 1U << KVM_ARM_VCPU_PSCI_0_2;
	if (has_cap(vm, KVM_CAP_ARM_SVE))
		m->features |= 1U << KVM_ARM_VCPU_SVE;
	if (has_cap(vm, KVM_CAP_ARM_PTRAUTH_ADDRESS) &&
	    has_cap(vm, KVM_CAP_ARM_PTRAUTH_GENERIC))
		m->features |= 1U << KVM_ARM_VCPU_PTRAUTH_ADDRESS |
			       1U << KVM_ARM_VCPU_PTRAUTH_GENERIC;
	return 0;
}

static int check_model(const struct arm_model *wanted,
		       const struct arm_model *has, struct err *e)
{
	if (wanted->features & ~has->features)
		return err_set(e, -ENOTSUP,
			       "the guest's processor has %s, and this host's "
			       "KVM gives it none; load it on a host like the "
			       "one it was saved on",
			       HAS(wanted, KVM_ARM_VCPU_SVE) >
					       HAS(has, KVM_ARM_VCPU_SVE)
				       ? "SVE"
				       : "pointer authentication");
	if (wanted->target != has->target)
		return err_set(e, -ENOTSUP,
			       "the guest's processor is of KVM's target %u, "
			       "this host's of %u",
			       wanted->target, has->target);
	return 0;
}

int arch_attach(struct arch *a, struct vm *vm, struct bus *mmio,
		struct bus *pio, struct err *e)
{
	struct arm_model has = {0};
	int rc;

	(void)mmio, (void)pio; /* all that we emulate is devices */
	a->vm = vm;
	vm->line_of_gsi_0 = KVM_ARM_IRQ_TYPE_SPI << KVM_ARM_IRQ_TYPE_SHIFT |
			    LAYOUT_INTID_SPI;
	rc = ask_model(vm, &has, e);
	if (!rc && a->is_loaded)
		rc = check_model(&a->model, &has, e);
	if (rc)
		return rc;
	if (!a->is_loaded)
		a->model = has;
	return gic_open(&a->gic, vm, a->topology.vcpus, e);
}

static int place(struct arch *a, const struct arch_slot *slot,
		 struct arch_slot *out)
{
	*out = a->slots[a->slot_count++] = *slot;
	return 0;
}

int arch_place(struct arch *a, enum arch_kind kind, struct arch_slot *out,
	       struct err *e)
{
	static const struct arch_slot fixed[] = {
		{ARCH_UART, false, true, LAYOUT_UART, 8, LAYOUT_GSI_UART},
		{ARCH_POWER_KEY, false, true, LAYOUT_POWER_KEY,
		 LAYOUT_SLOT_SIZE, LAYOUT_GSI_POWER_KEY},
		{ARCH_BOOT_TIMER, false, false, LAYOUT_BOOT_TIMER,
		 LAYOUT_SLOT_SIZE, 0},
		{ARCH_GENERATION, false, true, LAYOUT_GENERATION,
		 LAYOUT_VMCLOCK + LAYOUT_SLOT_SIZE - LAYOUT_GENERATION,
		 LAYOUT_GSI_GENERATION},
	};
	unsigned i, used = 0;

	if (a->slot_count == ARCH_SLOTS_MAX)
		return err_set(e, -ENOSPC, "no place for more than %d devices",
			       ARCH_SLOTS_MAX);
	for (i = 0; i < a->slot_count; i++)
		used += a->slots[i].kind == kind;
	if (kind == ARCH_VIRTIO_MMIO) {
		const struct arch_slot virtio = {
			.kind = kind,
			.has_irq = true,
			.base = LAYOUT_VIRTIO + used * LAYOUT_SLOT_SIZE,
			.size = LAYOUT_SLOT_SIZE,
			.gsi = LAYOUT_GSI_FIRST + used,
		};

		return place(a, &virtio, out);
	}
	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]) && !used; i++)
		if (fixed[i].kind == kind)
			return place(a, &fixed[i], out);
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

static uint64_t where_of(const struct vcpu *vcpu)
{
	uint64_t pc = 0;

	(void)register_get(vcpu, CORE(regs.pc), &pc);
	return pc;
}

/*
 * SVE's lengths are chosen before it is finished: those of the state that is
 * loaded, or else what KVM offers.
 */
static int finish_sve(const struct arch *a, const struct vcpu *vcpu,
		      struct err *e)
{
	const struct kvm_one_reg lengths = {
		.id = KVM_REG_ARM64_SVE_VLS,
		.addr = (uintptr_t)a->model.sve_lengths,
	};
	int feature = KVM_ARM_VCPU_SVE;

	if (a->is_loaded && ioctl(vcpu->fd, KVM_SET_ONE_REG, &lengths))
		return err_errno(e,
				 "this host's SVE has not all lengths of "
				 "vectors that the guest's has; load it on a "
				 "host like the one it was saved on");
	if (ioctl(vcpu->fd, KVM_ARM_VCPU_FINALIZE, &feature))
		return err_errno(e, "KVM_ARM_VCPU_FINALIZE on vCPU %u",
				 vcpu->id);
	return 0;
}

int arm_init_vcpu(const struct arch *a, const struct vcpu *vcpu)
{
	struct kvm_vcpu_init init = {
		.target = a->model.target,
		.features = {a->model.features},
	};

	/* All but the boot vCPU wait until the guest turns them on. */
	if (vcpu->id)
		init.features[0] |= 1U << KVM_ARM_VCPU_POWER_OFF;
	return ioctl(vcpu->fd, KVM_ARM_VCPU_INIT, &init) ? -errno : 0;
}

int arch_vcpu_init(struct arch *a, struct vcpu *vcpu, struct err *e)
{
	const int rc = arm_init_vcpu(a, vcpu);

	if (rc)
		return err_set(e, rc, "KVM_ARM_VCPU_INIT on vCPU %u: %s",
			       vcpu->id, strerror(-rc));
	vcpu->where = where_of;
	a->vcpus[vcpu->id] = vcpu;
	return HAS(&a->model, KVM_ARM_VCPU_SVE) ? finish_sve(a, vcpu, e) : 0;
}

static int read_lengths(struct arch *a, struct err *e)
{
	const struct kvm_one_reg lengths = {
		.id = KVM_REG_ARM64_SVE_VLS,
		.addr = (uintptr_t)a->model.sve_lengths,
	};

	if (HAS(&a->model, KVM_ARM_VCPU_SVE) &&
	    ioctl(a->vcpus[0]->fd, KVM_GET_ONE_REG, &lengths))
		return err_errno(e, "KVM does not tell SVE's lengths");
	return 0;
}

static int write_tree(struct arch *a, const struct guest_mem *mem,
		      struct err *e)
{
	void *out = guest_mem_at(mem, LAYOUT_TREE, LAYOUT_TREE_SIZE);
	int rc;

	if (!out)
		return err_set(e, -EFAULT, "no memory for the device tree");
	caches_read(&a->plan.caches, a->vcpus[0]);
	rc = tree_write(&a->plan, out, LAYOUT_TREE_SIZE, e);
	/* What the guest alone should know of its randomness. */
	memset(a->plan.rng_seed, 0, sizeof(a->plan.rng_seed));
	a->plan.kaslr_seed = 0;
	return rc < 0 ? rc : 0;
}

int arch_vcpus_ready(struct arch *a, const struct guest_mem *mem, struct err *e)
{
	int rc = gic_start(&a->gic, e);

	rc = rc ? rc : read_lengths(a, e);
	return rc || !a->has_plan ? rc : write_tree(a, mem, e);
}

void arch_vcpu_note_pause(struct vcpu *vcpu)
{
	(void)vcpu; /* nothing of KVM's here takes a pause for a hang */
}

/* booting.rst: x0 is the tree, all else is as reset leaves it. */
int arch_vcpu_enter(struct arch *a, struct vcpu *vcpu,
		    const struct boot_entry *entry, struct err *e)
{
	int rc = register_set(vcpu, CORE(regs.regs[0]), entry->argument);

	(void)a;
	rc = rc ? rc : register_set(vcpu, CORE(regs.pc), entry->entry);
	return rc ? err_set(e, rc, "KVM refuses the kernel's entry: %s",
			    strerror(-rc))
		  : 0;
}
