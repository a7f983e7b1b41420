#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/ctl/agent/session.h"
#include "vmm/event/loop.h"

/*
 * One question about a container, asked of its guest's agent over a
 * connection of its own, in a loop: nothing waits.
 */
struct ask {
	/*
	 * The owner's: what the agent says, or in e why it does not; f is one
	 * of SESSION_DONE, SESSION_USAGE and SESSION_KILLS, or NULL. Called
	 * once; ask_fini(), also in it, and then another question may be asked.
	 */
	void (*answered)(struct ask *a, const struct session_frame *f,
			 const struct err *e);
	struct loop *loop; /* borrowed; NULL: nothing is asked */
	struct session session;
	struct loop_watch wire;
	struct loop_timer deadline;
	const uint8_t *input; /* borrowed: what goes with it */
	size_t input_left;
	bool has_input;
};

/* Whom a question is asked, and about which container (NULL as in a plan). */
struct ask_whom {
	struct loop *loop;
	const char *socket;
	const char *id;
};

/* Gives its control group other limits, as struct session_plan has them. */
int ask_limits(struct ask *a, const struct ask_whom *w,
	       const char *const *limits, struct err *e);

/* What its control group has used. */
int ask_usage(struct ask *a, const struct ask_whom *w, struct err *e);

/* Ends it, and forgets what it wrote. */
int ask_removal(struct ask *a, const struct ask_whom *w, struct err *e);

/*
 * Has a directory that containers share become what a tar archive has of it,
 * which stays the caller's, and is there until it is answered.
 */
int ask_shared(struct ask *a, const struct ask_whom *w, const char *name,
	       const uint8_t *archive, size_t len, struct err *e);

/* Of SESSION_USAGE, the group's files one by one; content has no NUL. */
int ask_files(const uint8_t *bytes, size_t len,
	      void (*file)(void *arg, const char *name, const char *content,
			   size_t len),
	      void *arg, struct err *e);

/*
 * Answered when more than seen processes were killed for want of memory, or
 * with as many as there were when the container has ended; so it has no end
 * of its own.
 */
int ask_kills(struct ask *a, const struct ask_whom *w, uint64_t seen,
	      struct err *e);

/* Looks whether it has been answered: answered() may be called. */
void ask_look(struct ask *a);

/* Takes it back. Accepts a zeroed struct, and one that is answered. */
void ask_fini(struct ask *a);
