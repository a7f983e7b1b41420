/*
 * The caches that a guest's processor says it has, for the device tree: Linux
 * believes its registers about how many there are, and the tree about their
 * sizes. KVM tells both, so nothing is looked up in the host's /sys, which a
 * jail has not.
 */
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "vmm/arch/aarch64/arm.h"
#include "vmm/arch/aarch64/register.h"

#define CLIDR	     ARM64_SYS_REG(3, 1, 0, 0, 1)
#define ID_AA64MMFR2 ARM64_SYS_REG(3, 0, 0, 7, 2)
#define MMFR2_CCIDX  (0xfULL << 20)

/* Of each level in CLIDR_EL1, three bits. */
enum { TYPE_INSTRUCTIONS = 1, TYPE_BOTH = 3, TYPE_UNIFIED = 4, TYPE_BITS = 3 };

/* CCSIDR_EL1 in the format of 32 bits (Arm ARM, D17.2.26). */
static struct tree_cache parse(uint32_t ccsidr)
{
	const uint32_t line = 1U << ((ccsidr & 7) + 4);
	const uint32_t ways = (ccsidr >> 3 & 0x3ff) + 1;
	const uint32_t sets = (ccsidr >> 13 & 0x7fff) + 1;

	return (struct tree_cache){
		.size = line * ways * sets,
		.line_bytes = line,
		.sets = sets,
	};
}

/* Which one it is: the level, from 0 on, and whether it is for instructions. */
static struct tree_cache read_one(const struct vcpu *vcpu, uint32_t level,
				  bool is_instructions)
{
	uint32_t value = 0;
	const struct kvm_one_reg reg = {
		.id = KVM_REG_ARM64 | KVM_REG_ARM_DEMUX | KVM_REG_SIZE_U32 |
		      KVM_REG_ARM_DEMUX_ID_CCSIDR | level << 1 |
		      is_instructions,
		.addr = (uintptr_t)&value,
	};

	if (ioctl(vcpu->fd, KVM_GET_ONE_REG, &reg))
		return (struct tree_cache){0};
	return parse(value);
}

void caches_read(struct tree_caches *c, const struct vcpu *vcpu)
{
	uint64_t clidr, mmfr2;
	uint32_t level, type;

	*c = (struct tree_caches){0};
	/* With CCIDX the other format needs 64 bits, and KVM tells 32. */
	if (register_get(vcpu, CLIDR, &clidr) ||
	    register_get(vcpu, ID_AA64MMFR2, &mmfr2) || mmfr2 & MMFR2_CCIDX)
		return;
	for (level = 0; level < TREE_LEVELS; level++) {
		type = (uint32_t)(clidr >> level * TYPE_BITS) & 7;
		if (level == 0 &&
		    (type == TYPE_BOTH || type == TYPE_INSTRUCTIONS))
			c->instructions = read_one(vcpu, level, true);
		if (type >= 2 && type <= TYPE_UNIFIED)
			c->levels[level] = read_one(vcpu, level, false);
		if (type == 0)
			break;
	}
}
