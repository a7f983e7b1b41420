#pragma once

#include "api/ctl/containerd/service.h"

/*
 * What happens, told to containerd: in the order in which it happened. Where it
 * has no socket for events nobody is told.
 */
void event_created(struct service *s, const struct task *t);
void event_started(struct service *s, const struct task *t,
		   const struct process *p);
void event_ended(struct service *s, const struct task *t,
		 const struct process *p);
void event_deleted(struct service *s, const struct task *t);
void event_exec_added(struct service *s, const struct task *t,
		      const struct process *p);
void event_paused(struct service *s, const struct task *t, bool is_paused);

/* The guest has killed processes of it for want of memory. */
void event_oom(struct service *s, const struct task *t);
