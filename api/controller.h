#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/assembly.h"
#include "api/config.h"
#include "api/confine.h"
#include "api/metrics.h"
#include "vmm/base/err.h"
#include "vmm/base/rights.h"
#include "vmm/event/loop.h"
#include "vmm/machine/machine.h"
#include "vmm/state/state.h"

/*
 * The microVM: its configuration, its state, and the machine once there is
 * one. Routes and main() act on it; they never touch the machine themselves.
 * Thread: the loop's.
 */
enum controller_state {
	CONTROLLER_NOT_STARTED,
	CONTROLLER_PREPARED, /* waits for controller_finish() */
	CONTROLLER_RUNNING,
	CONTROLLER_PAUSED,
};

struct controller {
	struct loop *loop;	 /* borrowed: main */
	const char *id;		 /* borrowed: main */
	struct confine *confine; /* borrowed: main; NULL for no filters */
	struct vm_config config;
	struct state *kept; /* owned: what a reset goes back to */
	struct state_key snapshot_key;
	struct machine *machine; /* owned; NULL before the start */
	struct assembly devices; /* what requests at run time reach */
	/* owned; listens since it was told, until the machine takes it over */
	struct device *vsock;
	int signal_fd;	     /* borrowed: main; what waits for the loop */
	const char *handler; /* borrowed: assembly_saved, during a load */
	struct working_run *working; /* owned: of the load; NULL for none */
	enum controller_state state;
	bool is_open; /* it is loaded, and something is to be opened */
	bool has_boot_timer;
	bool tells_phases;     /* of a start or a load, in the log */
	bool has_api;	       /* somebody may ask for the state */
	bool is_configured;    /* something was asked that only boots have */
	uint64_t start_cpu_ns; /* CPU time of the process at the start */
	uint64_t end_ns;       /* CLOCK_MONOTONIC; 0 while it lives */
	enum machine_end end;  /* how it ended, once end_ns is set */
	struct err end_error;  /* why, for MACHINE_FAILED */
	struct fork *fork;     /* owned; one that is being made, see fork.c */
	bool is_fork;	       /* a load, of what was forked */
	/*
	 * Set afterwards or NULL: a fork has ended, with what there is to say
	 * and its descriptors (state, memory), which may be taken, or with *e.
	 */
	void (*forked)(void *context, json_t *json, int fds[RIGHTS_MAX],
		       const struct err *e);
	void *forked_context; /* borrowed: server */
	struct metrics metrics;
	struct loop_timer rest;	    /* see controller_rest() */
	struct machine_times times; /* kept over the machine's end */
};

/*
 * A microVM that is not configured, of a struct that is zeroed. When the
 * machine ends, the loop is stopped. id is the microVM's name. collect, for the
 * metrics, gets c as its context: controller_collect(), which knows the routes
 * and so stands above.
 */
void controller_init(struct controller *c, struct loop *loop, const char *id,
		     metrics_collect *collect);

/* Stops and frees the machine. Accepts a zeroed struct. */
void controller_fini(struct controller *c);

/* The word of the wire for the state: "Not started", "Running", "Paused". */
const char *controller_state_word(const struct controller *c);

/*
 * Starts the microVM. After a failure it is as before: it can be configured
 * and started again. -ENOMEM where the host has too little memory.
 */
int controller_start(struct controller *c, struct err *e);

/*
 * Makes the microVM that config, as a snapshot has it, and saved say; it is
 * paused, or prepared. On failure there is none.
 */
int controller_load(struct controller *c, const struct assembly_saved *saved,
		    struct err *e);

/* What a finish says of a microVM that was prepared. */
struct controller_finish {
	uint32_t drives; /* with other files: a bit for each, in order */
	bool clock_realtime;
};

/*
 * Has a microVM that was prepared go on as config says by now; it is paused. On
 * failure it can't be used.
 */
int controller_finish(struct controller *c,
		      const struct controller_finish *finish, struct err *e);

/*
 * Much was done, and little is to come: soon, when the answer is out, memory
 * that nobody uses any more is given back.
 */
void controller_rest(struct controller *c);

/* The microVM can't be: ends the loop, with *e for the process's last words. */
void controller_fail(struct controller *c, const struct err *e);

/* Idempotent; -EPERM before the start. */
int controller_pause(struct controller *c, struct err *e);
int controller_resume(struct controller *c, struct err *e);

/*
 * Presses Ctrl-Alt-Del on the guest's keyboard, or the power key where there is
 * none. -EPERM before the start.
 */
int controller_ctrl_alt_del(struct controller *c, struct err *e);

/*
 * What PATCH says at run time; the configuration follows. -ENOENT for an
 * unknown id; on failure nothing has changed. Only of a started microVM.
 */
int controller_patch_drive(struct controller *c,
			   struct config_drive_patch *body, struct err *e);
int controller_patch_net(struct controller *c,
			 const struct config_net_patch *body, struct err *e);

/*
 * The vsock device, whose socket stands from now on. On failure nothing has
 * changed. Only of a microVM that was not started.
 */
int controller_set_vsock(struct controller *c, struct config_vsock *body,
			 struct err *e);

/*
 * Writes a line of metrics, where there is a file and its reader takes it.
 * -EPERM before the start.
 */
int controller_flush_metrics(struct controller *c, struct err *e);

/* Opens the metrics' file, once. On failure nothing changes. */
int controller_set_metrics(struct controller *c, struct config_metrics *body,
			   struct err *e);

/* controller_metrics.c: process, requests, vCPUs and devices. */
metrics_collect controller_collect;

/*
 * Merges body into the logger's configuration and makes the log so; the file
 * is opened only where body names one. On failure nothing changes.
 */
int controller_set_logger(struct controller *c, struct config_logger *body,
			  struct err *e);

/* Makes the log as c->config.logger says, file included. */
int controller_apply_logger(struct controller *c, struct err *e);
