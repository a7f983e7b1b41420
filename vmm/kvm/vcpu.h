#pragma once

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "vmm/base/err.h"
#include "vmm/kvm/bus.h"
#include "vmm/kvm/vm.h"

/*
 * One virtual CPU: its KVM file, the page it shares with KVM, and the loop
 * around KVM_RUN. Everything here but vcpu_open() and vcpu_kick() belongs to
 * the thread that runs it.
 */
enum vcpu_exit {
	VCPU_KICKED,   /* vcpu_kick() was called; run again at will */
	VCPU_RESET,    /* the guest asked for a reset or triple-faulted */
	VCPU_POWEROFF, /* the guest asked to be turned off */
	VCPU_FAILED,   /* KVM could not go on; *e says why */
};

/*
 * Why KVM_RUN came back, counted. Only the vCPU's thread writes, any may read:
 * so a count is a plain load and store, and never a locked instruction.
 */
struct vcpu_exits {
	_Atomic uint64_t io_in;
	_Atomic uint64_t io_out;
	_Atomic uint64_t mmio_read;
	_Atomic uint64_t mmio_write;
	_Atomic uint64_t interrupted;
	_Atomic uint64_t other;
};

struct vcpu {
	int fd; /* owned; -1 while closed */
	uint32_t id;
	uint32_t clock_khz;   /* its counter's; 0 where KVM does not say */
	bool is_clock_scaled; /* and that is not the host's */
	struct kvm_run *run;  /* owned mapping, shared with KVM */
	int run_bytes;
	struct bus *mmio; /* borrowed: machine */
	struct bus *pio;  /* borrowed: machine */
	pthread_t thread; /* set by whoever started it */
	/* What must settle before the guest goes on; NULL for nothing. */
	const struct bus_range *unsettled;
	struct vcpu_exits exits;
	/* It was loaded and has not run since: what time moves not is so. */
	bool is_loaded;
	/*
	 * Where the guest was when it left, 0 where KVM does not say; NULL
	 * before arch_vcpu_init(). Thread: the vCPU's.
	 */
	uint64_t (*where)(const struct vcpu *v);
};

/*
 * Makes the vCPU of v->id in vm. Returns 0 or a negative errno; a vcpu that was
 * zeroed and whose fd is -1 may be closed at any time. Thread: any, before that
 * which runs it looks.
 */
int vcpu_open(struct vcpu *v, const struct vm *vm, struct bus *mmio,
	      struct bus *pio, struct err *e);
void vcpu_close(struct vcpu *v);

/*
 * Runs the guest until something other than a device access happens. *e is
 * filled for VCPU_FAILED only.
 */
enum vcpu_exit vcpu_run(struct vcpu *v, struct err *e);

/*
 * Makes vcpu_run() return VCPU_KICKED soon, also when it is about to enter the
 * guest. Thread: any but the vCPU's, while that thread lives.
 */
void vcpu_kick(struct vcpu *v);

/*
 * Installs the empty handler of the kick's signal, SIGURG, for the process, and
 * adds it to what all threads but vCPUs' have blocked: others may send it, too.
 * Before the first vCPU thread.
 */
void vcpu_take_kicks(sigset_t *blocked);

/* Unblocks it. Thread: a vCPU's, before its filter. */
void vcpu_hear_kicks(void);
