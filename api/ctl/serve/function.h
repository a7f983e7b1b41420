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

enum { FUNCTION_NAME_MAX = 32, FUNCTION_WORDS = 24 };

struct function_options {
	enum function_mode mode;
	unsigned max;	/* microVMs */
	unsigned spare; /* made before they are needed */
	unsigned queue; /* requests that may wait */
	uint64_t wait_ms, timeout_ms, start_ms;
	const char *memory, *cpus, *net; /* as `run` takes them */
	bool has_no_jail;
};

/* Who wants one; zeroed but for its functions. */
struct waiter {
	struct waiter *next;
	/* It has a microVM, until function_release(). */
	void (*granted)(struct waiter *w, struct instance *i);
	/* The microVM that it was granted is no more. */
	void (*lost)(struct waiter *w);
};

struct function {
	char name[FUNCTION_NAME_MAX + 1];
	const char *image; /* borrowed */
	uint16_t port;
	struct function_options options;
	struct loop *loop;     /* borrowed */
	const char *prefix;    /* of its microVMs' names; borrowed */
	unsigned *made;	       /* how many there were, of all; borrowed */
	char folder[PATH_MAX]; /* the snapshot's */
	bool has_folder;       /* it is there */
	bool is_ended;	       /* it makes no more */
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

/* Of one whose name, image, port, options, loop, prefix and made are set. */
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

/* Makes what is wanting. */
void function_tend(struct function *f);

unsigned function_count(const struct function *f, enum instance_stage stage);

/* Ends all that is there. */
void function_fini(struct function *f);
