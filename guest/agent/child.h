#pragma once

#include "guest/agent/process.h"
#include "guest/agent/root.h"
#include "guest/agent/spawn.h"

/*
 * RUN and EXEC: starts @sp. @root, @c and @ops are for a container's first
 * process, else NULL. Answers on @s as it goes on; NULL, with nothing said, and
 * the error in @error if it could not be forked.
 */
struct process *child_start(struct session *s, struct spawn *sp,
			    const struct root *root, struct container *c,
			    const struct process_ops *ops, int *error);

/* Runs @fn(@arg) in a child, whose result (0 or a positive errno) is the
 * answer; without a session, nobody's. @ended, if not NULL, answers instead. */
typedef int child_fn(void *arg, int in, int out, char *sentence, size_t len);
struct process *child_help(struct session *s, enum process_kind kind,
			   child_fn *fn, void *arg,
			   void (*ended)(struct process *p, int status));

/* For child_help(): syncs the disks. */
child_fn child_sync;
