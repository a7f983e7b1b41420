#pragma once

#include "guest/agent/rights.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What runs in a child between clone() and exec(): it may block, and whatever
 * it meets in a container can harm only it. It reports over a socket.
 */
/* A limit of resources, as setrlimit() has it. */
struct spawn_limit {
	uint32_t resource;
	uint64_t soft, hard;
};

enum { SPAWN_LIMITS = 32 };

struct spawn {
	uint32_t flags; /* enum proto_process_flags */
	uint16_t rows, columns;
	struct rights rights;
	char *user, *cwd;	     /* owned */
	char **argv, **env;	     /* owned, one allocation each */
	const char *const *base_env; /* borrowed: the container's, or NULL */
	const char *hostname;	     /* borrowed */
	const struct spawn_limit *limits; /* borrowed: the container's */
	size_t limits_len;
	int pidfd; /* of the container to join, or -1 */
	/* Of a first process: those whose namespaces it shares, or -1. */
	int ipc_fd, uts_fd, pid_fd;
	int group_fd; /* borrowed: the control group to be born in, or -1 */
	int fds[3];   /* the child's ends; -1: /dev/null */
	int status;   /* the socket to report to */
	bool is_init;
	/* What it makes by mknod() is a device, as far as its group lets it. */
	bool has_nodes;
};

/*
 * One report: an error, with what a command line exits with and a sentence, or
 * (error 0) the master of a terminal as SCM_RIGHTS. The end of the socket
 * without an error means that exec() has worked.
 */
struct report {
	int32_t error;
	int32_t status;
	char sentence[240];
};

/* In the child: reports and exits. @error is positive. */
_Noreturn void spawn_fail(const struct spawn *sp, int status, int error,
			  const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* In the child, in the container's root: becomes the process. */
_Noreturn void spawn_exec(struct spawn *sp);

void spawn_fini(struct spawn *sp);
