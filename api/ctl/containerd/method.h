#pragma once

#include "api/ctl/containerd/service.h"

/* One call of containerd.task.v2.Task: answered now, or when it can be. */
void method_serve(struct service *s, struct ttrpc_call *c);

/* Frees the container and all that is its, the microVM too. */
void method_drop_task(struct service *s);
