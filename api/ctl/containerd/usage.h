#pragma once

#include "api/ctl/containerd/resources.h"
#include "api/ctl/containerd/service.h"

/*
 * What a container uses and may use, which its guest is asked about: Stats,
 * Update, and kills for want of memory. Calls are answered when it has said so.
 */
void usage_tell(struct service *s, struct ttrpc_call *c);
void usage_limit(struct service *s, struct ttrpc_call *c,
		 const struct resources *limits);

/* From now on the container's kills are told. */
void usage_watch(struct service *s);

/* It has ended: kills that were not told yet are, and then nothing more. */
void usage_settle(struct service *s);

/* Who waits is refused. */
void usage_drop(struct service *s);
