#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "api/ctl/agent/attach.h"
#include "api/ctl/containerd/spec.h"
#include "api/ctl/containerd/stdio.h"
#include "api/ctl/ttrpc/server.h"

/*
 * One process that containerd knows of: a container's own, or an exec. It is
 * created, runs, and stops; each once.
 */
enum process_stage {
	PROCESS_CREATED = 1, /* as Task's Status numbers them */
	PROCESS_RUNNING,
	PROCESS_STOPPED,
};

/* What was asked for, as Create and Exec say it; all borrowed. */
struct process_words {
	const char *exec_id; /* "": the container's own */
	const char *in, *out, *err;
	bool has_tty;
};

struct process {
	struct process *next; /* the owner's list */
	/* The owner's, set before process_open(): it runs; it is over, or
	 * never ran: then text says why, else it is NULL. */
	void (*started)(struct process *p);
	void (*ended)(struct process *p, const char *text);
	void *owner;
	char *exec_id, *in, *out, *err; /* owned */
	bool has_tty;
	struct spec spec; /* the owner fills it in; freed with this */
	struct attach attach;
	struct stdio io;
	enum process_stage stage;
	uint32_t pid;
	uint32_t exit_status;
	struct timespec exited_at;
	struct ttrpc_call *starting; /* waits for started or ended */
	struct ttrpc_call *waiters;  /* owned: Wait's */
};

int process_init(struct process *p, struct loop *loop,
		 const struct process_words *w, struct err *e);

/*
 * Has the agent begin it: who calls at ready_fd, or, where that is -1, who
 * listens behind the microVM's socket.
 */
int process_begin(struct process *p, struct loop *loop, int ready_fd,
		  const char *socket, struct err *e);

/*
 * -ESRCH where it is over. One that has not begun ends by it, whatever it is.
 */
int process_kill(struct process *p, int signal);

/* It is over because its machine is; nothing where it was already. */
void process_lose(struct process *p, const char *text);

/* Answers Wait now or when it is over. */
void process_wait_for(struct process *p, struct ttrpc_call *c);

/* Accepts a zeroed struct. Who waits is refused. */
void process_fini(struct process *p);
