/* Registers of vCPUs, one at a time. */
#include "vmm/arch/aarch64/register.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

int register_get(const struct vcpu *vcpu, uint64_t id, uint64_t *value)
{
	const struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};

	return ioctl(vcpu->fd, KVM_GET_ONE_REG, &reg) ? -errno : 0;
}

int register_set(const struct vcpu *vcpu, uint64_t id, uint64_t value)
{
	const struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)&value};

	return ioctl(vcpu->fd, KVM_SET_ONE_REG, &reg) ? -errno : 0;
}
