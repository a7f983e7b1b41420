#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "vmm/arch/arch.h"
#include "vmm/base/err.h"
#include "vmm/boot/boot.h"
#include "vmm/event/loop.h"
#include "vmm/machine/device.h"
#include "vmm/mem/guest_mem.h"
#include "vmm/mem/image.h"
#include "vmm/state/state.h"

/*
 * A machine: memory, vCPUs, buses and devices, assembled, started, paused and
 * taken apart. All functions belong to the loop thread.
 */
struct machine_config {
	uint64_t mem_bytes;
	struct guest_mem_backing backing;
	uint32_t vcpus; /* 1 to ARCH_VCPUS_MAX */
	bool smt;
	enum arch_template template;
	int kvm_fd;	       /* borrowed: /dev/kvm; 0 to open it */
	unsigned virtio_count; /* devices of it that will be added */
	bool is_tracked;       /* note what is written, for diffs */
	/*
	 * To load: what the machine goes on from, borrowed until machine_load()
	 * has returned; NULL to boot. backing is then of its memory.
	 */
	const struct state *state;
	bool clock_realtime; /* see struct arch_topology */
};

enum machine_end {
	MACHINE_RESET,	  /* reboot or triple fault */
	MACHINE_POWEROFF, /* poweroff */
	MACHINE_FAILED,	  /* the error says why */
};

enum machine_thread { MACHINE_VCPU, MACHINE_LOOP, MACHINE_WORKER };

struct machine_hooks {
	/* The guest is gone; e is set for MACHINE_FAILED. Loop thread. */
	void (*ended)(void *context, enum machine_end how, const struct err *e);
	/* The guest says that its init runs. Loop thread. */
	void (*booted)(void *context);
	/*
	 * Before the guest's first instruction: takes from the calling thread
	 * what it will not need any more. Returns 0 or a negative errno, which
	 * fails the start. NULL where there is nothing to take. Thread: each
	 * vCPU's, then the loop's, and later each that a device makes.
	 */
	int (*confine)(void *context, enum machine_thread which, struct err *e);
	/*
	 * The guest's memory is mapped, and nobody has touched it yet. NULL
	 * where that is nobody's business. Thread: the loop's.
	 */
	int (*mapped)(void *context, const struct guest_mem *mem,
		      struct err *e);
	void *context;
};

/* Moments of a start, CLOCK_MONOTONIC in nanoseconds, 0 for not yet. */
struct machine_times {
	uint64_t begin_ns;  /* machine_new() was called */
	uint64_t loaded_ns; /* kernel and tables are in memory */
	uint64_t run_ns;    /* first KVM_RUN */
	uint64_t booted_ns; /* boot timer written by the guest */
};

struct machine;

/*
 * Makes a machine without devices: VM, memory, interrupt controller; vCPU
 * threads come up beside it, so vcpu_take_kicks() was before. -ENOMEM where the
 * host has too little memory.
 */
int machine_new(struct machine **out, const struct machine_config *config,
		struct loop *loop, const struct machine_hooks *hooks,
		struct err *e);

/* Stops the machine if it runs and frees all of it. Takes NULL. */
void machine_free(struct machine *m);

/*
 * Gives d a place in the machine. Takes d in every case: on failure it is
 * freed. Only before machine_start().
 */
int machine_add(struct machine *m, struct device *d, struct err *e);

/* Loads the kernel and lets the vCPUs go. The files may be closed after. */
int machine_start(struct machine *m, const struct boot_source *source,
		  struct err *e);

/*
 * In the place of machine_start() for one that was made with a state: it goes
 * on where that was saved, with machine_resume().
 */
int machine_load(struct machine *m, struct err *e);

/*
 * A machine that was loaded, and has waited since for its moment, at which its
 * clocks go on: what they were at the load is told anew. clock_realtime as in
 * struct machine_config. After machine_mark_loaded(), before machine_resume().
 */
int machine_renew(struct machine *m, bool clock_realtime, struct err *e);

/*
 * In the same time: loads a device once more, as its other end at the host is
 * another by now.
 */
int machine_reload(struct machine *m, struct device *d, struct err *e);

/*
 * Adds the machine's sections to s. It has to be paused; what devices have in
 * flight is waited for, -EBUSY where that takes too long. Afterwards all is as
 * it was.
 */
int machine_save(struct machine *m, struct state *s, struct err *e);

enum machine_image {
	MACHINE_IMAGE_FULL,
	MACHINE_IMAGE_DIFF, /* what was written since the last that was kept */
};

/*
 * Writes the memory of a paused machine into fd from offset on (image.h): with
 * the devices still, as machine_save() has them, so call this between
 * machine_quiet() and machine_unquiet(), with that. machine_image_kept() says
 * that the file is safe: until then the next diff has its pages too.
 */
int machine_write_image(struct machine *m, enum machine_image kind, int fd,
			uint64_t offset, struct image_figures *figures,
			struct err *e);
void machine_image_kept(struct machine *m);

/* Devices take nothing of the guest's until all is let go; may be nested in a
 * loaded machine's first pause. -EBUSY as machine_save(). */
int machine_quiet(struct machine *m, struct err *e);
void machine_unquiet(struct machine *m);

/*
 * This is the moment that machine_reset() goes back to: s is what
 * machine_save() gave, borrowed until the next mark or the machine's end. Of a
 * paused machine, between machine_quiet() and machine_unquiet().
 */
int machine_mark(struct machine *m, const struct state *s, struct err *e);

/* The same of one that was just loaded from s, with a memory file. */
void machine_mark_loaded(struct machine *m, const struct state *s);

/*
 * Back to the mark, of a paused machine; drives keep what was written to them.
 * It goes on with machine_resume(). -EPERM and -EOPNOTSUPP where it can't, and
 * nothing has changed; after other failures it can't go on at all.
 */
int machine_reset(struct machine *m, struct err *e);

/*
 * A fork: the memory of this instant as a file that others map, while the
 * machine goes on. It is begun, then takes steps of a millisecond while the
 * guest runs (or, where runs is false, is held by the caller): 1 where it may
 * be held now, 0 where the next step is due in *rest_ns. Then the caller holds
 * the machine, machine_quiet(), and machine_fork() is the instant. After it
 * runs again machine_fork_memory() gives the file, which nobody can write to;
 * and in every case machine_fork_end() is the last. There is one at a time, and
 * neither a mark nor a reset meanwhile. Who was told 1 may let time go by, and
 * take up the steps with machine_fork_again().
 */
int machine_fork_begin(struct machine *m, bool runs, struct err *e);
int machine_fork_step(struct machine *m, uint64_t *rest_ns, struct err *e);
void machine_fork_again(struct machine *m);

/*
 * What else is copied for a fork goes along with its steps, and holds the guest
 * as they do; and who finds that it gets nowhere has them hold it longer.
 */
int machine_fork_beside(struct machine *m,
			int (*act)(void *context, struct err *e), void *context,
			struct err *e);
void machine_fork_slow(struct machine *m);
int machine_fork(struct machine *m, struct err *e);
int machine_fork_memory(struct machine *m, int *fd, struct err *e);
void machine_fork_end(struct machine *m);

/* Bytes of guest memory. */
uint64_t machine_memory(const struct machine *m);

/* Holds the vCPUs outside the guest, and lets them go again. Idempotent. */
void machine_pause(struct machine *m);
void machine_resume(struct machine *m);

const struct machine_times *machine_times(const struct machine *m);

/* Where a machine tells its counters. */
struct machine_counters {
	struct device_counters counters;
	/*
	 * The counters from here on belong to the device id called name
	 * ("drive", "rootfs"), or to all vCPUs ("vcpu", "").
	 */
	void (*begin)(struct machine_counters *c, const char *name,
		      const char *id);
};

/* Tells all counters, of vCPUs and devices; same ones, same order each time. */
void machine_count(struct machine *m, struct machine_counters *c);

/* KVM exits so far over all vCPUs. */
uint64_t machine_exits(const struct machine *m);
