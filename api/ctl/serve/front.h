#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/ctl/serve/function.h"
#include "vmm/base/err.h"
#include "vmm/event/loop.h"

/* What all clients of a function host have in common. */
enum { FRONT_CLIENTS_MAX = 4096, FRONT_FUNCTIONS_MAX = 64 };

struct client;
struct client_calls;

struct front {
	struct loop *loop;		  /* borrowed */
	const struct client_calls *calls; /* of functions that are servers */
	const struct client_calls *stdio; /* and of programs that are not */
	/* Owned by the roster (roster.h). */
	struct function *functions[FRONT_FUNCTIONS_MAX];
	unsigned function_count;
	struct client *clients; /* owned */
	unsigned client_count;
	int log_fd;	  /* borrowed: the access log; -1 for none */
	bool is_draining; /* no connection is kept for another request */
	uint64_t accepted_count, bad_count;
};

/* The function that a target is of, and the rest of it, from / on. */
struct function *front_find(struct front *f, const char *target,
			    const char **path);

/* What /metrics answers: owned text, NULL where there is no memory. */
char *front_metrics(const struct front *f);

/* A request, as the access log has it. */
struct front_entry {
	const char *peer, *method, *target, *referer, *agent; /* NULL: - */
	unsigned minor;
	int status;
	uint64_t body_bytes;
};

/* The combined format; what can't be printed is escaped. */
void front_log(const struct front *f, const struct front_entry *entry);
