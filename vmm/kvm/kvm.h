#pragma once

#include <stdint.h>

#include "vmm/base/err.h"

/* The host's /dev/kvm. */
struct kvm {
	int fd; /* owned */
	int vcpu_map_bytes;
};

/*
 * Opens /dev/kvm and checks the API version. The error says what to do where
 * there is none, or no permission. Returns 0 or a negative errno.
 */
int kvm_open(struct kvm *k, struct err *e);

/*
 * The same with a descriptor of /dev/kvm that somebody else has opened for us,
 * who keeps it. The error says what the descriptor is not.
 */
int kvm_adopt(struct kvm *k, int fd, struct err *e);
void kvm_close(struct kvm *k);

/*
 * A word for error messages about a guest that KVM could not run: "" on
 * ordinary hosts; a sentence where the module is kvm_pvm, which runs tiny
 * guests but no ordinary kernel. Reads /sys, so only for failures.
 */
const char *kvm_host_advice(void);
