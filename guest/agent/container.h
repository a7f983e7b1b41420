#pragma once

#include "guest/agent/log.h"
#include "guest/agent/process.h"
#include "guest/agent/session.h"

#include <stdbool.h>
#include <stdint.h>

struct container {
	char id[PROTO_ID_MAX + 1];
	char image[24];
	char hostname[65];
	char *user, *cwd;   /* owned */
	char **argv, **env; /* owned */
	bool own_network;
	struct rights rights; /* its filter is owned */
	bool shares_pids;     /* another's PID namespace */
	struct spawn_limit limits[SPAWN_LIMITS];
	size_t limits_len;
	struct process *init; /* NULL when it has ended */
	int pidfd, mntfd;
	uint32_t stop_signal, status, signal;
	uint64_t started_ns, ended_ns;
	struct log log;
	struct container *next;
};

struct container *container_find(struct bytes id);
struct container *containers_first(void);

/* Those that run and are called @from, as the machine was, get its new name. */
int containers_rename(const char *from, const char *name);

/* Of one that has ended: nothing holds its mounts any more. */
void container_release(struct container *c);

/* @ended is called whenever one has ended. */
void containers_watch(void (*ended)(void));

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
