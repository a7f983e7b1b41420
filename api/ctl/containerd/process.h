#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <task.pb-c.h>
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
	/* The guest, which was at rest, does not answer, or not well. True: the
	 * owner has the process begun again; NULL: that is its end. */
	bool (*unheard)(struct process *p, const char *text);
	/* c asked by process_delete(): answers it, and may free p. */
	void (*deletable)(struct process *p, struct ttrpc_call *c);
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
	struct ttrpc_call *deleting; /* waits until the output was read */
	struct ttrpc_call *waiters;  /* owned: Wait's */
};

int process_init(struct process *p, struct loop *loop,
		 const struct process_words *w, struct err *e);

/*
 * Has the agent begin it: who calls at ready_fd, or, where that is -1, who
 * listens behind the microVM's socket. Again where that was unheard().
 */
int process_begin(struct process *p, struct loop *loop, int ready_fd,
		  const char *socket, struct err *e);

/* Whether nobody in the guest has heard of it. */
bool process_is_unheard(const struct process *p);

/*
 * -ESRCH where it is over. One that has not begun ends by it, whatever it is.
 */
int process_kill(struct process *p, int signal);

/* It is over because its machine is; nothing where it was already. */
void process_lose(struct process *p, const char *text);

/* Answers Wait now or when it is over. */
void process_wait_for(struct process *p, struct ttrpc_call *c);

/*
 * p, which does not run, is deletable as soon as its output was read, or after
 * 10 s: clients let go of a FIFO when Delete is answered, also of one that they
 * have not come round to opening, and a short command is over before that.
 */
void process_delete(struct process *p, struct ttrpc_call *c);

/* When it ended, as messages have it. */
Task__Timestamp process_exited_at(const struct process *p);

/* Accepts a zeroed struct. Who waits is refused. */
void process_fini(struct process *p);
