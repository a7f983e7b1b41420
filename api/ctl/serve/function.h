#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/ctl/serve/histogram.h"
#include "api/ctl/serve/instance.h"
#include "vmm/event/loop.h"

/*
 * A function: what answers below /NAME/, its microVMs, and who waits for one.
 * Each request has a microVM of its own for as long as it takes, so nothing of
 * one is there for the next:
 *
 *	cold    booted for it, and ended after it
 *	clone   loaded from a snapshot that was taken when the server inside was
 *	        there, and ended after it
 *	reset   the same, but taken back to that snapshot after it
 */
enum function_mode { FUNCTION_COLD, FUNCTION_CLONE, FUNCTION_RESET };

/* What they are called; ends with NULL. */
extern const char *const function_modes[];

enum {
	FUNCTION_NAME_MAX = 32,
	FUNCTION_TYPE_MAX = 63,
	FUNCTION_WORDS = 24,
	FUNCTION_DIGEST_SIZE = 72,
	FUNCTION_MOST = 10000,
	FUNCTION_QUEUE_MOST = 100000
};

struct function_options {
	enum function_mode mode;
	unsigned max;	/* microVMs */
	unsigned spare; /* made before they are needed */
	unsigned queue; /* requests that may wait */
	uint64_t wait_ms, timeout_ms, start_ms;
	/* As `run` takes them. */
	char memory[24], cpus[8], net[8];
	char type[FUNCTION_TYPE_MAX + 1]; /* of what a program's stdout is */
	bool has_no_jail;
};

/* What a function is to be. */
struct function_plan {
	char *image; /* owned; in the store */
	char **argv; /* owned: what is started there; ends with NULL */
	struct function_options options;
	char digest[FUNCTION_DIGEST_SIZE]; /* of what the image was */
	uint16_t port; /* of the server; 0 where there is none */
	bool is_stdio; /* there is no server in it (stdio.h) */
	char name[FUNCTION_NAME_MAX + 1];
};

/* Accepts a zeroed one. */
void function_plan_fini(struct function_plan *p);

/* Whether a microVM that was made by one is as good as one of the other. */
bool function_plan_is_same(const struct function_plan *a,
			   const struct function_plan *b);

/* Who wants one; zeroed but for its functions. */
struct waiter {
	struct waiter *next;
	/* It has a microVM, until function_release(). */
	void (*granted)(struct waiter *w, struct instance *i);
	/* The microVM that it was granted is no more. */
	void (*lost)(struct waiter *w);
};

struct function {
	struct function_plan plan;
	struct function *next;	   /* the roster's */
	struct loop *loop;	   /* borrowed */
	const char *prefix;	   /* of its microVMs' names; borrowed */
	unsigned *made;		   /* how many there were, of all; borrowed */
	const char *place;	   /* of snapshots' folders; borrowed */
	struct template *template; /* what clones are made of; NULL: none yet */
	bool is_ended;		   /* it makes no more */
	bool is_leaving;	   /* it makes them for who waits alone */
	struct instance *instances;
	struct waiter *first, **last;
	unsigned waiting;
	struct loop_timer again; /* where making one failed */
	char why[MAKER_SAID_MAX];
	/* For /metrics. */
	uint64_t made_count, failed_count, reset_count, refused_count;
	uint64_t by_class[6]; /* answers, by the first digit */
	struct histogram wait, make, first_byte, whole;
};

/* Of one whose plan, loop, prefix, place and made are set. */
void function_init(struct function *f);

/* NAME is letters, digits, - and _; it begins with a letter or digit. */
bool function_is_name(const char *name);

/*
 * Asks for a microVM, which may be granted at once. -EAGAIN where too many wait
 * already.
 */
int function_ask(struct function *f, struct waiter *w);

/* No longer wanted. Does nothing for one that was granted. */
void function_forget(struct function *f, struct waiter *w);

/*
 * The request is over. why is a sentence where the microVM is not to be trusted
 * with another, of whatever mode.
 */
void function_release(struct function *f, struct instance *i, const char *why);

/*
 * It is to be what p says from now on, and takes what p owns. Where microVMs
 * differ by it the old ones end, those that serve a request after it, and who
 * waits gets a new one.
 */
void function_change(struct function *f, struct function_plan *p);

/*
 * Nobody comes any more: what waits for nobody ends, and the rest when those
 * who are there have been served.
 */
void function_leave(struct function *f);

/* Nothing is left of it. */
bool function_is_idle(const struct function *f);

/* Makes what is wanting. */
void function_tend(struct function *f);

unsigned function_count(const struct function *f, enum instance_stage stage);

/* Ends all that is there. */
void function_fini(struct function *f);
