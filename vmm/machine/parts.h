#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/machine/cpus.h"
#include "vmm/machine/machine.h"

/* What the files of this folder know of a machine. */
struct machine {
	struct machine_config config;
	struct machine_hooks hooks;
	struct kvm kvm;
	struct vm vm;
	struct guest_mem mem;
	/* What the guest reads of virtio devices' registers; NULL: by exits. */
	uint8_t *shown; /* owned */
	struct guest_range shown_at;
	struct bus mmio;
	struct bus pio;
	struct arch *arch;			/* owned */
	struct cpus *cpus;			/* owned */
	struct device *devices[ARCH_SLOTS_MAX]; /* owned */
	unsigned device_count;
	struct device_host host;
	struct loop *loop; /* borrowed: main */
	struct loop_watch signal_watch;
	int signal_fd;			     /* owned eventfd */
	_Atomic uint32_t signals;	     /* bits: enum device_signal */
	_Atomic(const struct err *) failure; /* borrowed: a vCPU's */
	_Atomic uint64_t booted_ns;
	struct machine_times times;
	bool has_ended;
	/* Of a machine that was loaded, until its vCPUs stand; borrowed. */
	const struct state *state;
	bool is_quiet;	   /* its devices are held */
	bool is_tracked;   /* KVM and we note what is written */
	uint64_t *written; /* owned; noted and not yet in a memory file */
	uint64_t *fresh;   /* owned; room for what KVM tells */
	/* What to go back to, borrowed; and owned, the pages written since. */
	const struct state *marked;
	uint64_t *since_mark;
	uint64_t *since_copy;  /* owned; written since a fork copied it */
	struct forked *forked; /* owned; a fork that is being made */
};

/* The kind of a device, as messages and counters have it: "drive". */
static inline const char *machine_kind_of(const struct device *d)
{
	return d->name ? d->name : d->ops->name;
}
