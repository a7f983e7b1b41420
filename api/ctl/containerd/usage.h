#pragma once

#include "api/ctl/containerd/resources.h"
#include "api/ctl/containerd/service.h"

/*
 * What a container uses and may use, which its guest is asked about: Stats,
 * Update, and kills for want of memory. Calls are answered when it has said so.
 */
void usage_tell(struct task *t, struct ttrpc_call *c);
void usage_limit(struct task *t, struct ttrpc_call *c,
		 const struct resources *limits);

/* Pause and Resume of one of several: its processes stand still, or go on. */
void usage_freeze(struct task *t, struct ttrpc_call *c, bool is_paused);

/* From now on the container's kills are told. */
void usage_watch(struct task *t);

/* It has ended: kills that were not told yet are, and then nothing more. */
void usage_settle(struct task *t);

/* Who waits is refused. */
void usage_drop(struct task *t);

/* Whom to ask about it. */
struct ask_whom usage_whom(const struct task *t);
