#pragma once

#include "guest/agent/loop.h"
#include "guest/agent/session.h"
#include "guest/agent/spawn.h"
#include "guest/agent/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct container;
struct process;

enum process_kind {
	PROCESS_INIT, /* a container's first */
	PROCESS_EXEC,
	PROCESS_COPY_IN,
	PROCESS_COPY_OUT,
	PROCESS_HELPER, /* does what blocks, answers DONE or ERROR */
};

/* What a container wants to know of its first process. */
struct process_ops {
	void (*started)(struct container *c);
	void (*output)(struct container *c, uint8_t stream, const void *data,
		       size_t len);
	/* It is over: nobody has been told yet; its session has. */
	void (*ending)(struct container *c);
	void (*ended)(struct container *c, uint32_t status, uint32_t signal);
	void (*failed)(struct container *c); /* never began */
};

/*
 * A child: of a container, or one that does for a session what would block. A
 * container outlives both.
 */
struct process {
	enum process_kind kind;
	pid_t pid;
	uint32_t flags;		       /* enum proto_process_flags */
	struct container *container;   /* borrowed; of a first process */
	const struct process_ops *ops; /* the container's, or NULL */
	struct session *session;       /* borrowed, NULL without */
	struct watch status;
	struct watch fd[3]; /* our ends; -1 when closed */
	bool is_started, is_reaped, is_failed;
	int wait_status;
	uint32_t drain[3]; /* bytes still to come after the end */
	struct writer in;  /* of stdin, waiting for the process */
	bool in_ends;
	struct report report;
	void (*ended)(struct process *p, int status); /* helpers */
	struct process *next;
};

/* One that is not there yet, in the list of all; NULL without memory. */
struct process *process_new(struct session *s, enum process_kind kind);
void process_free(struct process *p);

/* The session has the process's streams from now on, or none any more. */
void process_join(struct process *p, struct session *s);
void process_leave(struct process *p);

/* What is called when a stream, or the socket of reports, is ready. */
void process_stream_ready(struct watch *w, uint32_t events);
void process_status_ready(struct watch *w, uint32_t events);

void process_signal(const struct process *p, int signal);

/* There may be room for output again. */
void process_pump(struct process *p);

/* Reaps all that have ended. */
void processes_reap(void);

/* ---- what goes in ---------------------------------------------------------
 */

/* What a session has for its process; DATA may not exceed the window. */
void process_input(struct process *p, const void *data, size_t len);
void process_input_end(struct process *p);
/* Closes it for good; what still comes is thrown away. */
void process_input_drop(struct process *p);
void process_input_ready(struct watch *w, uint32_t events);
void process_resize(const struct process *p, unsigned rows, unsigned columns);
