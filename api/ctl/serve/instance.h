#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/ctl/agent/dial.h"
#include "api/ctl/serve/maker.h"
#include "api/ctl/vm/vm.h"
#include "vmm/base/err.h"
#include "vmm/event/loop.h"

/*
 * One microVM of a function, from the order to make it until nothing is left of
 * it:
 *
 *	MAKING ──▶ PROBING ──▶ READY ◀──▶ BUSY
 *	                │        ▲          │
 *	              SAVING     └─RESETTING┘
 *
 * and from each of them to ENDING. PROBING asks until the server inside takes a
 * connection, where there is one: of port 0 it is over at once. SAVING is the
 * template's alone, of which clones are made.
 */
enum instance_stage {
	INSTANCE_MAKING,
	INSTANCE_PROBING,
	INSTANCE_SAVING,
	INSTANCE_READY,
	INSTANCE_BUSY,
	INSTANCE_RESETTING,
	INSTANCE_ENDING,
	INSTANCE_STAGES,
};

struct instance;

/* What becomes of it. */
struct instance_calls {
	/* Of PROBING, RESETTING: the server inside takes connections. */
	void (*ready)(struct instance *i);
	/* Of SAVING: the folder is there. */
	void (*saved)(struct instance *i);
	/* Nothing is left of it: to be freed. why is NULL where it was told
	 * to end. */
	void (*gone)(struct instance *i, const char *why);
};

struct instance {
	const struct instance_calls *calls;
	void *owner; /* borrowed */
	void *user;  /* borrowed: whose request it serves; the owner's */
	struct instance *next;
	struct template *template; /* owned: what it is made of; the owner's */
	bool is_old;		   /* the owner's: not as one is made now */
	struct loop *loop;
	enum instance_stage stage;
	char name[VM_NAME_MAX + 1];
	char socket[VM_PATH_MAX]; /* of the guest's ports */
	uint16_t port;
	uint64_t start_ms; /* it may take to get ready */
	struct maker maker;
	struct loop_watch monitor, shim; /* their ends */
	int monitor_fd, shim_fd;	 /* owned; pidfds */
	struct loop_timer timer;
	struct loop_watch probe;
	struct dial dial;
	int probe_fd; /* owned */
	uint64_t begun_ns, due_ns;
	uint64_t made_ns; /* what it took to get ready */
	unsigned served;  /* requests */
	char why[MAKER_SAID_MAX];
};

/*
 * Makes one by `mayctl WORDS`, which has to run a microVM of i->name in the
 * background. Of a zeroed struct with calls, loop, name, port and start_ms.
 */
int instance_make(struct instance *i, const char *const *words, struct err *e);

/* READY to BUSY. */
void instance_take(struct instance *i);

/* BUSY to RESETTING. */
void instance_reset(struct instance *i);

/* PROBING's end to SAVING, into a folder; then it ends. */
void instance_save(struct instance *i, const char *folder);

/* It is of no use any more. why is a sentence where something went wrong. */
void instance_end(struct instance *i, const char *why);

/* At once, when we end: no call comes any more. */
void instance_drop(struct instance *i);

extern const char *const instance_words[INSTANCE_STAGES];
