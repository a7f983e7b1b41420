#pragma once

#include <task.pb-c.h>

#include "api/ctl/containerd/service.h"

/*
 * A container's life: what happens to it and its processes of itself, and who
 * is told. Loop thread.
 */

/* Begins one and its microVM; s->task is there even where this fails. */
int task_begin(struct service *s, const Task__CreateRequest *r, struct err *e);

/* s hears of what becomes of p, which is its container's or an exec in it. */
void task_own(struct service *s, struct process *p);

/* The answer to Delete of p, which may be freed then; c is freed. */
void task_answer_delete(const struct process *p, struct ttrpc_call *c);

/* Frees the container and all that is its, the microVM too. */
void task_drop(struct service *s);
