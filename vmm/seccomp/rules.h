#pragma once

#include <stdint.h>

/*
 * What each thread of the monitor may ask of its kernel, as tables. A system
 * call that is not in the table of its thread ends the process (filter.h).
 */

/*
 * Filters stack: a thread's calls must pass all that it, or whoever made it,
 * has put on. So the program of FILTER_START is made of all tables, that of
 * FILTER_LOOP of its own and the workers', and FILTER_STATE adds to those. What
 * the loop thread needs at any time stands in its table, though the workers'
 * may have it too.
 */
enum filter_kind {
	FILTER_VCPU,   /* a vCPU's thread, from before it enters the guest */
	FILTER_LOOP,   /* the loop thread, from just before the guest runs */
	FILTER_WORKER, /* a drive's or an interface's thread, made by the
			  loop's, from its start */
	FILTER_PAGES,  /* one that records or reads pages of a loaded guest */
	FILTER_STATE, /* the loop thread where somebody may ask for the state */
	FILTER_START, /* the loop thread while the API still configures */
	FILTERS,
};

enum { RULE_ARGS_MAX = 2, RULE_NAME = 32 };

/*
 * Passes where (argument & mask) == value for each of args[], of which there is
 * one condition an argument at most.
 */
struct rule {
	/* Not pointers, for which each process would have tables of its own. */
	char name[RULE_NAME]; /* of the system call, as libseccomp has it */
	char why[56];
	struct rule_arg {
		unsigned index;
		uint64_t mask;
		uint64_t value;
	} args[RULE_ARGS_MAX];
	unsigned arg_count;
	int error; /* not 0: the call fails with it, and nothing else happens */
};

struct rules {
	const char *thread;
	const struct rule *rules;
	unsigned count;
};

/* By enum filter_kind; each has only what it allows beyond those within it. */
extern const struct rules rules_tables[FILTERS];
