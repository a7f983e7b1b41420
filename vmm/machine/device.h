#pragma once

#include <stdint.h>

#include "vmm/arch/arch.h"
#include "vmm/base/err.h"
#include "vmm/base/thread.h"
#include "vmm/event/loop.h"
#include "vmm/kvm/vm.h"
#include "vmm/mem/guest_mem.h"
#include "vmm/state/visit.h"

/*
 * What a device is, seen from the machine. A device embeds struct device as
 * its first member. Life:
 *
 *	xxx_new()        configure: open files, nothing of the machine yet
 *	machine_add()    the machine owns it and gives it a slot
 *	ops->start()     host services are there: connect interrupts
 *	ops->read/write  guest accesses, vCPU threads, d->lock held
 *	ops->stop()      no vCPU runs: finish or cancel what is in flight
 *	ops->free()      gone
 */
enum device_signal {
	DEVICE_RESET,	 /* the guest pulled the reset line */
	DEVICE_POWEROFF, /* the guest turned itself off */
	DEVICE_BOOTED,	 /* the guest says that its init runs */
	DEVICE_WORK,	 /* there is something for device_ops.work */
};

/* What the machine offers to its devices. */
struct device_host {
	struct loop *loop;	     /* borrowed: main */
	struct vm *vm;		     /* borrowed: machine */
	const struct guest_mem *mem; /* borrowed: machine */
	int sink_fd; /* an eventfd that nobody reads; 0 where none is needed */
	/* Tells the machine. Thread: any; never blocks. */
	void (*signal)(void *machine, enum device_signal what);
	/*
	 * What each thread that a device makes does first; see
	 * machine_hooks.confine. May be NULL.
	 */
	int (*confine)(void *machine, struct err *e);
	void *machine;
};

/* Where a device tells its counters; see device_ops.count. */
struct device_counters {
	/*
	 * name is a word of letters, digits and underscores, the same in each
	 * call: "read_bytes". Counters only grow.
	 */
	void (*put)(struct device_counters *c, const char *name,
		    uint64_t value);
};

struct device;

struct device_ops {
	const char *name; /* "block": for messages and metrics */
	enum arch_kind kind;
	/*
	 * The contract of struct bus_range: offset and len are in bounds, len
	 * is 1, 2, 4 or 8, the value is the guest's. Both are NULL where the
	 * device's place is memory.
	 */
	void (*read)(struct device *d, uint64_t offset, void *data,
		     uint32_t len);
	void (*write)(struct device *d, uint64_t offset, const void *data,
		      uint32_t len);
	/*
	 * Serves what needs no lock, as bus_range.quick; NULL where nothing
	 * does. For what the guest does so often that waiting for the loop
	 * thread would hurt. Thread: a vCPU's, lock not held.
	 */
	bool (*quick)(struct device *d, uint64_t offset, void *data,
		      uint32_t len, bool is_write);
	/* As bus_range.settle; NULL where no write begins anything long. */
	bool (*settle)(struct device *d);
	/*
	 * Does what was left to the loop thread by a DEVICE_WORK, of this
	 * device or of another: there may be nothing. NULL where there never
	 * is. Thread: the loop's, lock not held.
	 */
	void (*work)(struct device *d);
	/*
	 * Thread: the loop's; no vCPU runs yet. NULL where there is nothing
	 * to do. On failure the machine does not start.
	 */
	int (*start)(struct device *d, struct err *e);
	/*
	 * Ends what is in flight, and soon: false where something still is,
	 * and the device and the guest's memory have to stay until the process
	 * ends. Thread: the loop's; no vCPU runs. NULL where nothing is ever
	 * in flight.
	 */
	bool (*stop)(struct device *d);
	/*
	 * For whoever wants the device's state, or the guest's memory, to stay
	 * as it is: takes nothing of the guest's any more, until release().
	 * False while something is in flight; ask again then. NULL where
	 * nothing ever is. Thread: the loop's, lock not held; no vCPU runs.
	 */
	bool (*hold)(struct device *d);
	void (*release)(struct device *d);
	/*
	 * Walks all that the guest could tell, for saving and loading; state is
	 * the version that is saved. To load, the device was started, it may
	 * have worked since, and what it knew is forgotten. Host files and
	 * names are not part of it: they come from the configuration. Loaded
	 * values are judged as a driver's would be, for they may be anybody's.
	 * What interrupt the guest may still wait for is raised again by
	 * release(). Thread: the loop's, lock not held; held, quiet, no vCPU
	 * runs. NULL where there is nothing to tell.
	 */
	void (*visit)(struct device *d, struct visitor *v);
	uint32_t state;
	/*
	 * Tells all counters of the device, always the same ones in the same
	 * order. NULL where there are none. Thread: the loop's, lock not held.
	 */
	void (*count)(struct device *d, struct device_counters *c);
	/* Frees d, whatever state it is in. Thread: the loop's. */
	void (*free)(struct device *d);
};

struct device {
	const struct device_ops *ops;
	const char *name; /* "drive"; NULL where ops->name is it */
	const char *id;	  /* owned by the device; "rootfs" */
	/*
	 * Guards all the guest can reach. A leaf: nothing else is locked
	 * under it. Taken by the bus for vCPU threads and by the device's own
	 * loop callbacks.
	 */
	struct mutex lock;
	struct arch_slot slot; /* from machine_add() on */
	/*
	 * What the guest reads at its place without leaving KVM_RUN, slot.size
	 * bytes; NULL where it reads by ops->read. Likewise.
	 */
	uint8_t *shown;
	const struct device_host *host; /* borrowed: machine; likewise */
};
