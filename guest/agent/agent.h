#pragma once

#include "guest/agent/loop.h"
#include "guest/agent/root.h"
#include "guest/agent/spawn.h"
#include "guest/agent/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The agent's three nouns and how they know each other. A session is one
 * connection. A process is a child: of a container, or one that does for a
 * session what would block. A container outlives both.
 */
struct session;
struct process;
struct container;

/* ---- the machine ----------------------------------------------------------
 */

struct machine {
	char image[24];	   /* serial, of CONFIGURE */
	char resolv[2048]; /* what containers find in /etc/resolv.conf */
	const char *base;  /* where containers write */
	const char *tree;  /* tests: a directory instead of images */
	bool is_configured;
	bool is_test; /* not a machine of our own: it is left alone */
	uint64_t agent_us, ready_us;
};

extern struct machine machine;

uint64_t machine_uptime_us(void);
uint64_t machine_realtime_ns(void);
int machine_clock_set(uint64_t ns);
/* Credits @len random bytes and, if asked, reseeds at once. 0 or -errno. */
int machine_entropy(const void *data, size_t len, bool reseed);
int machine_hostname_set(const char *name, size_t len);

/* Each answers for itself and is called with a payload. */
void machine_configure(struct session *s, struct reader *r);
void machine_identity(struct session *s, struct reader *r);
void machine_shutdown(struct session *s, struct reader *r);
/* A container has ended, which a shutdown may wait for. */
void machine_container_ended(void);

/* The next interface of a CONFIGURE. 0, or -errno with what failed in @what. */
int network_interface(struct reader *r, char what[static 80]);
void network_loopback(void);

/* ---- sessions -------------------------------------------------------------
 */

enum session_mode {
	SESSION_IDLE,
	SESSION_PROCESS, /* RUN, EXEC, ATTACH, COPY, and what blocks */
	SESSION_LOGS,
	SESSION_WAIT,
	SESSION_RAW, /* FORWARD */
};

struct session {
	struct watch io;
	enum session_mode mode;
	bool is_greeted;
	bool is_ending; /* sends what is left and closes */
	uint8_t *rx;	/* owned */
	size_t rx_from, rx_to, rx_size;
	struct writer tx;
	uint32_t window[3];	 /* 1, 2: what may still be sent; 0: come in */
	uint32_t used;		 /* of stream 0, not yet given back */
	struct process *process; /* borrowed, knows us as well */
	struct container *container; /* borrowed: LOGS, WAIT */
	struct forward *forward;     /* owned */
	uint64_t log_at;
	bool log_follows, removes;
	struct session *next;
};

/* Takes @fd, which is non-blocking. */
void session_accept(int fd);

/* Answers ERROR and ends; @error is positive. */
void session_error(struct session *s, int error, int status, const char *fmt,
		   ...) __attribute__((format(printf, 4, 5)));

/* Answers, and takes up the next request. */
void session_done(struct session *s);
void session_answer(struct session *s, uint8_t type, const void *data,
		    size_t len);
void session_idle(struct session *s);

/* Whether there is room for more DATA, and how much of @stream. */
size_t session_room(const struct session *s, int stream);
/* What was put into tx leaves as far as it can; may end nothing. */
void session_flush(struct session *s);
/* What came in of stream 0 has been used: its window is given back. */
void session_used(struct session *s, size_t bytes);

/* For each session; @fn may not end them. */
void sessions_each(void (*fn)(struct session *s, void *arg), void *arg);
/* Serves what had to wait, then frees what has ended; once a turn, in order. */
void sessions_resume(void);
void sessions_sweep(void);

/* A request, whole: see guest/proto.h. */
void request_serve(struct session *s, uint8_t type, struct reader *r);

/* ---- processes ------------------------------------------------------------
 */

enum process_kind {
	PROCESS_INIT, /* a container's first */
	PROCESS_EXEC,
	PROCESS_COPY_IN,
	PROCESS_COPY_OUT,
	PROCESS_HELPER, /* does what blocks, answers DONE or ERROR */
};

struct process {
	enum process_kind kind;
	pid_t pid;
	uint32_t flags;		     /* enum proto_process_flags */
	struct container *container; /* borrowed, NULL without */
	struct session *session;     /* borrowed, NULL without */
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

/* RUN and EXEC: starts @sp, which is freed, in @c; answers on @s. */
void process_start(struct session *s, struct container *c, struct spawn *sp,
		   const struct root *root);

/* Runs @fn(@arg) in a child, whose result (0 or a positive errno) is the
 * answer; without a session, nobody's. @ended, if not NULL, answers instead. */
typedef int process_fn(void *arg, int in, int out, char *sentence, size_t len);
struct process *process_help(struct session *s, enum process_kind kind,
			     process_fn *fn, void *arg,
			     void (*ended)(struct process *p, int status));

/* What a session has for its process; DATA may not exceed the window. */
void process_input(struct process *p, const void *data, size_t len);
void process_input_end(struct process *p);
/* Closes it for good; what still comes is thrown away. */
void process_input_drop(struct process *p);
void process_input_ready(struct watch *w, uint32_t events);
void process_signal(const struct process *p, int signal);
void process_resize(const struct process *p, unsigned rows, unsigned columns);

/* There may be room for output again. */
void process_pump(struct process *p);

/* The session has gone. */
void process_detach(struct process *p);

/* Reaps all that have ended. */
void processes_reap(void);

/* ---- containers -----------------------------------------------------------
 */

/* The last bytes of a container's output, as records. */
struct log {
	uint8_t *buf;	   /* owned */
	uint64_t from, to; /* since the beginning; from is a record's */
	uint32_t size;
};

void log_add(struct log *log, uint8_t stream, const void *data, size_t len);
/* Takes at most @max bytes of what is at *@at into @data, all of one stream;
 * 0 at the end. */
size_t log_read(const struct log *log, uint64_t *at, uint8_t *stream,
		size_t max, void *data);
/* The stream of what is at *@at, moved to what is left; false at the end. */
bool log_peek(const struct log *log, uint64_t *at, uint8_t *stream);
/* Where the last @lines lines begin. */
uint64_t log_tail(const struct log *log, uint32_t lines);

struct container {
	char id[PROTO_ID_MAX + 1];
	char image[24];
	char hostname[65];
	char *user, *cwd;   /* owned */
	char **argv, **env; /* owned */
	bool own_network;
	struct process *init; /* NULL when it has ended */
	int pidfd, mntfd;
	uint32_t stop_signal, status, signal;
	uint64_t started_ns, ended_ns;
	struct log log;
	struct container *next;
};

struct container *container_find(struct bytes id);
struct container *containers_first(void);

/* The requests. */
void container_run(struct session *s, struct reader *r);
void container_exec(struct session *s, struct reader *r);
void container_attach(struct session *s, struct reader *r);
void container_logs(struct session *s, struct reader *r);
void container_wait(struct session *s, struct reader *r);
void container_kill(struct session *s, struct reader *r);
void container_remove(struct session *s, struct reader *r);
void container_list(struct session *s, struct reader *r);
void container_copy(struct session *s, struct reader *r, uint8_t type);

/* Its first process runs; has ended; never began. */
void container_started(struct container *c);
void container_ended(struct container *c, uint32_t status, uint32_t signal);
void container_failed(struct container *c);

/* LOGS goes on. */
void container_log_pump(struct session *s);

/* ---- files and ports ------------------------------------------------------
 */

/* Process functions: arg is struct copy. */
struct copy {
	int mntfd;
	uint32_t flags;
	const char *path;
};

process_fn tar_write;
process_fn tar_read;

void forward_start(struct session *s, struct reader *r);
/* The session's connection is ready. */
void forward_ready(struct session *s, uint32_t events);
void forward_end(struct session *s);
