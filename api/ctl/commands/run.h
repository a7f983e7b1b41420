#pragma once

#include <stdint.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/commands/run_disks.h"
#include "api/ctl/commands/run_options.h"
#include "api/ctl/image/image.h"
#include "api/ctl/vm/cell.h"
#include "api/ctl/vm/monitor.h"
#include "api/ctl/vm/network.h"
#include "api/ctl/vm/shim.h"
#include "api/ctl/vm/vm.h"
#include "api/ctl/vm/warm.h"

/* One `mayctl run`: what was asked for, and what is made of it. */
struct run;

/*
 * What is made for a microVM, and unmade in the reverse order where a later
 * step fails or a signal comes; each undo accepts what its step left half done,
 * and may be NULL. Whatever lies outside its directory is told of in the state
 * before it is made, for who is killed undoes nothing: the next mayctl does
 * (orphan.h).
 */
struct run_step {
	int (*make)(struct run *r, struct err *e);
	void (*unmake)(struct run *r);
};

struct run {
	struct run_options options;
	struct image image;
	struct monitor_files files;
	struct vm vm;
	const struct run_step *steps; /* borrowed */
	unsigned made; /* steps that were taken, and are not the shim's yet */
	char *id;      /* owned: the microVM's, while the shim has it */
	struct cell cell;
	struct run_disks disks;
	char hostname[VM_NAME_MAX + 1]; /* of the name */
	struct network network;
	struct monitor_plan monitor;
	struct session_plan session;
	struct shim_plan shim;
	const char **argv; /* owned */
	const char **env;  /* owned, and its strings are not */
	int control;	   /* owned */
	/* What is loaded is made another machine by it; NULL: it is booted. */
	int (*revive)(struct run *r, struct err *e);
	uint64_t begin_ns, image_ns;
	struct warm warm; /* what it could go on from */
	bool wants_warm;  /* there is none yet */
	bool is_answered; /* of -d: by the agent */
	char broken[256]; /* why it could not go on from it; "" for nothing */
	pid_t warm_maker; /* 0 for none */
	int warm_pipe;	  /* owned; the maker begins when it is closed */
};

/*
 * What is to run in the container, out of the options and the image: argv, env,
 * session. Returns 0 or a negative errno with a sentence.
 */
int run_make_session(struct run *r, struct err *e);

/* The word for what `stop` is to send. */
const char *run_stop_signal(const struct run *r);

/* Of a zeroed struct. */
void run_init(struct run *r);

/* Unmakes what is not the shim's, and frees the rest. */
void run_fini(struct run *r);

/* Takes steps until one fails or a signal comes. */
int run_take_steps(struct run *r, const struct run_step *steps, unsigned count,
		   struct err *e);

/* Out of options: what of the state, the ports and the shim follows of them. */
int run_fill_state(struct run *r, struct err *e);
int run_open_ports(struct run *r, struct err *e);
void run_plan_shim(struct run *r);

/* Steps. */
int run_choose_cell(struct run *r, struct err *e);
int run_make_dir(struct run *r, struct err *e);
int run_make_cell(struct run *r, struct err *e);
int run_add_network(struct run *r, struct err *e);
int run_configure(struct run *r, struct err *e);
void run_drop_cell(struct run *r);
void run_remove_dir(struct run *r);
void run_drop_network(struct run *r);

/* run_warm.c: a step. Looks whether there is a guest at rest to go on from. */
int run_choose_warm(struct run *r, struct err *e);

/*
 * Has a guest at rest made for the next one, in the background, where it is
 * wanted: not before run_release_warm(), or as long as this one should be left
 * alone.
 */
void run_begin_warm(struct run *r);
void run_release_warm(struct run *r);

/*
 * What was to go on from a guest at rest never answered, as why says: that is
 * removed, and r is made ready for a start without it.
 */
void run_give_warm_up(struct run *r, const char *why);

/* Makes one of an image for a microVM as `run` makes it without options. */
int run_warm_image(const struct image *image, struct err *e);

/* -d: waits until the command runs, and prints the name. A status. */
uint32_t run_await_start(struct run *r);

/* The shim was killed, and with it the microVM ends; sees to it that it has. */
void run_lost_shim(struct run *r);
