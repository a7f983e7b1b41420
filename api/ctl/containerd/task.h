#pragma once

#include <task.pb-c.h>

#include "api/ctl/containerd/service.h"

/*
 * A container's life: what happens to it and its processes of itself, and who
 * is told. Loop thread.
 */

/*
 * Begins one, and with the first of a service its microVM. *out is there even
 * where this fails, but for a lack of memory, and then to be dropped.
 */
int task_begin(struct service *s, const Task__CreateRequest *r,
	       struct task **out, struct err *e);

/* NULL where there is none of this id. */
struct task *task_find(const struct service *s, const char *id);

/* t hears of what becomes of p, which is its container's or an exec in it. */
void task_own(struct task *t, struct process *p);

/* If the container's process has not ended by then its machine is killed. */
void task_kill_in(struct task *t, uint64_t ns);

/* The answer to Delete of p, which may be freed then; c is freed. */
void task_answer_delete(const struct process *p, struct ttrpc_call *c);

/* Deletes it, which has ended, and answers c. */
void task_delete(struct task *t, struct ttrpc_call *c);

/* Frees the container and all that is its; with the last one the microVM. */
void task_drop(struct task *t);
