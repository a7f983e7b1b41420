#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/ctl/agent/session.h"
#include "api/ctl/vm/forward.h"
#include "api/ctl/vm/monitor.h"
#include "api/ctl/vm/vm.h"

/*
 * The supervisor of one microVM: a fork of `mayctl run`, in a session of its
 * own. It is the monitor's parent, forwards ports, keeps the output of a
 * detached container, bounds the time, writes the state, and tidies up. When
 * mayctl dies the microVM lives on under the shim; when the shim is killed, a
 * second process, the guard, which does nothing but wait for that, ends the
 * microVM; should it be killed too, the next mayctl does (orphan.h).
 */
struct shim_plan {
	struct vm *vm;
	const struct monitor_plan *monitor;
	const struct session_plan *session; /* what the agent is to do */
	bool is_detached;		    /* the shim has the command */
	/* It is loaded, not booted: its command runs, and mayctl makes another
	 * machine of it before the shim has it. */
	bool is_restored;
	bool is_kept; /* of the state, once it is restored */
	/* It is loaded as it was at rest: its agent is called. */
	bool is_warm;
	int order_fd;	     /* to the monitor, of is_warm */
	int drop_fd;	     /* is mayctl's alone, and closed; 0 or -1: none */
	uint64_t timeout_ms; /* 0 for none */
	uint64_t start_ms;   /* until the guest has to have called */
	const struct forward_rule *ports;
	unsigned port_count;
	int ready_fd; /* listens for the agent; the detached shim's */
	int image_fd; /* held, so that the image stays; -1 for none */
	int port_fds[VM_PORTS_MAX];   /* listen for ports, in their order */
	int disk_fds[VM_VOLUMES_MAX]; /* hold locks of disks; 0 or -1: none */
};

/*
 * What mayctl and shim tell each other, over a socket that keeps messages
 * apart.
 */
enum shim_word {
	SHIM_MONITOR = 1, /* shim: the monitor runs, code is its pid */
	SHIM_STARTED,	  /* shim of -d: the command runs */
	SHIM_TAKEN,	  /* either: it has the agent's call */
	SHIM_RENEWED,	  /* mayctl: what was restored is another machine */
	SHIM_OVER,	  /* mayctl: the command ended, with code */
	SHIM_ENDED,	  /* shim: all is over and tidied up, with code */
};

struct shim_message {
	uint32_t word;
	uint32_t code;
	char text[512]; /* a sentence, or "" */
};

/*
 * Forks the shim. *control becomes mayctl's end of the socket, owned by the
 * caller. From then on the microVM is the shim's.
 */
int shim_start(struct shim_plan *plan, int *control, struct err *e);

/* 0, -EPIPE where the other is gone, or another negative errno. */
int shim_send(int control, enum shim_word word, uint32_t code,
	      const char *text);
int shim_receive(int control, struct shim_message *m);
