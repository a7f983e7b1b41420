#pragma once

#include <stdbool.h>

#include "api/config.h"
#include "devices/block_overlay.h"
#include "vmm/base/err.h"
#include "vmm/event/limiter.h"
#include "vmm/event/loop.h"
#include "vmm/machine/machine.h"

/* What a machine that is prepared gets only at its finish. */
struct assembly_late {
	uint32_t nets; /* taps; a bit for each, in the configuration's order */
	bool vsock;    /* its socket */
};

/*
 * From a configuration to a machine with its devices. Thread: the loop's.
 *
 * The devices that requests at run time reach, in the configuration's order;
 * borrowed: machine.
 */
struct assembly {
	struct device *keyboard;  /* NULL where none is */
	struct device *power_key; /* likewise; a machine has one or the other */
	struct device *generation; /* NULL where ACPI is off */
	struct device *drives[CONFIG_DRIVES_MAX];
	struct device *nets[CONFIG_NETS_MAX];
	struct device *vsock; /* NULL where none is */
	struct assembly_late late;
};

/* What a machine goes on from; both are borrowed until assembly_load(). */
struct assembly_saved {
	const struct state *state;
	struct guest_mem_backing backing;
	const char *handler; /* the socket of who has it; NULL for a file */
	bool clock_realtime; /* the guest's clock has gone on meanwhile */
	bool is_prepared;    /* it waits for assembly_finish() */
	struct assembly_late late;
};

/*
 * Makes the bare machine; saved is NULL for one that is to boot. -ENOMEM where
 * the host has too little memory.
 */
int assembly_make(struct machine **out, const struct vm_config *config,
		  const struct assembly_saved *saved, struct loop *loop,
		  const struct machine_hooks *hooks, struct err *e);

/*
 * Makes the vsock device, which listens from then on; the machine that it goes
 * into comes later. Where listen_fd is not 0 it listens there, at a copy.
 */
int assembly_vsock(struct device **out, const struct config_vsock *config,
		   int listen_fd, struct err *e);

/*
 * Adds all devices to m, loads the kernel and starts. *vsock is a device of
 * assembly_vsock(), which m takes over and which then is NULL; where it was
 * NULL already, one is made if config has one. On failure m is to be freed, and
 * with it what *out names.
 */
int assembly_start(struct machine *m, const struct vm_config *config,
		   struct device **vsock, bool has_boot_timer,
		   struct assembly *out, struct err *e);

/*
 * The same for a machine that was made of a saved one; it is paused. What
 * out->late names is left open.
 */
int assembly_load(struct machine *m, const struct vm_config *config,
		  struct device **vsock, bool has_boot_timer,
		  struct assembly *out, struct err *e);

/* Opens what was left open, as config has it by now. */
int assembly_open_late(struct assembly *a, const struct vm_config *config,
		       struct err *e);

/*
 * Has a machine that was loaded go on as one of its own: it gets an id. The
 * last before it runs.
 */
int assembly_identify(const struct assembly *a, struct err *e);

/* The same for one that was reset: it stays the one that it was. */
int assembly_identify_again(const struct assembly *a, struct err *e);

/* A limiter's configuration as devices take it. */
struct limiter_config assembly_limiter(const struct config_limiter *l);
struct block_overlay_config assembly_overlay(const struct config_drive *drive);
