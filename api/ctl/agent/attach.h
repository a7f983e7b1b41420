#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/ctl/agent/session.h"
#include "vmm/event/loop.h"

/*
 * A command in a guest and whoever looks after it here: foreground mayctl with
 * its terminal, or the shim with its log. Everything happens in a loop; nothing
 * waits.
 */
struct attach;

enum { ATTACH_DIAL_MS = 20000 };

struct attach_calls {
	/*
	 * Bytes of stream 1 or 2. Returns how many were taken; with less than
	 * all of them nothing more is read from the guest until
	 * attach_resume(). A negative errno ends the attach.
	 */
	ssize_t (*output)(struct attach *a, int stream, const void *bytes,
			  size_t len);
	/* The agent has called, or answered our call; may be NULL. */
	void (*called)(struct attach *a);
	void (*started)(struct attach *a);
	/*
	 * It is over: code is the command's status, or CTL_FAILED with a
	 * sentence. Called once, nothing after it.
	 */
	void (*ended)(struct attach *a, uint32_t code, const char *text);
};

struct attach {
	struct loop *loop;		  /* borrowed */
	const struct attach_calls *calls; /* borrowed */
	const struct session_plan *plan;  /* borrowed */
	struct session session;
	struct loop_watch listen;
	struct loop_watch wire;
	struct loop_watch input;
	int input_fd;	    /* borrowed; -1 for none */
	bool is_input_file; /* always ready: the loop can't watch it */
	bool is_paused;
	bool is_over;
	bool is_syncing; /* the command has ended, with code */
	uint32_t code;
	struct session_frame frame; /* output not all taken */
	uint64_t ready_ns;	    /* when the agent called, or answered */
	const char *socket;	    /* borrowed; of attach_dial() */
	bool is_dialing;
	struct loop_timer again; /* dials again, or gives up */
	uint64_t give_up_ns;
};

/* Waits at listen_fd (borrowed) until the agent calls; then starts plan. */
int attach_await(struct attach *a, struct loop *loop,
		 const struct attach_calls *calls, int listen_fd,
		 const struct session_plan *plan, struct err *e);

/* Calls the agent of a microVM that runs already, then starts plan. */
int attach_connect(struct attach *a, struct loop *loop,
		   const struct attach_calls *calls, const char *socket,
		   const struct session_plan *plan, struct err *e);

/*
 * The same for one that is only being loaded, without waiting: it is called
 * from attach_call() on until it answers, and where it was at rest is another,
 * at most ATTACH_DIAL_MS. Until then nothing is read of its stdin, so that it
 * can be tried otherwise.
 */
void attach_dial(struct attach *a, struct loop *loop,
		 const struct attach_calls *calls, const char *socket,
		 const struct session_plan *plan);
void attach_call(struct attach *a);

/* What fd (borrowed) gives is the command's stdin. */
void attach_input(struct attach *a, int fd);

void attach_signal(struct attach *a, int signal);
void attach_resize(struct attach *a, struct terminal_size size);

/* There is room for output again. */
void attach_resume(struct attach *a);

/* Accepts a zeroed struct. */
void attach_fini(struct attach *a);
