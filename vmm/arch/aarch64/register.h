#pragma once

#include <stdint.h>

#include "vmm/kvm/vcpu.h"

/*
 * One register of a vCPU, of 64 bits, by the number KVM has for it. Both return
 * 0 or a negative errno. Thread: whichever may call KVM for the vCPU.
 */
int register_get(const struct vcpu *vcpu, uint64_t id, uint64_t *value);
int register_set(const struct vcpu *vcpu, uint64_t id, uint64_t value);
